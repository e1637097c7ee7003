"""Cross-encoder: query and document read together, one score a pair.

Nogueira & Cho 2019, "Passage Re-ranking with BERT". Nothing of a document can be
computed beforehand, so it costs a pass for each pair: a yardstick for rerankers,
and one for few candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import nn

from cherche_models import tokenizer
from cherche_models.runtime.batches import ACCELERATOR_TOKENS, CPU_TOKENS
from cherche_models.texts import check_texts


class CrossEncoder(nn.Module):
    """A sequence classification checkpoint with one label; `hub.load_cross_encoder` loads one.

    Parameters
    ----------
    model : nn.Module
        Of transformers; gives ``logits`` of shape (pairs, 1).
    words : tokenizer.Tokenizer
    max_length : int
        Tokens of a pair, special ones included; the longer text is cut first.
    """

    def __init__(self, model: nn.Module, words: tokenizer.Tokenizer, max_length: int) -> None:
        super().__init__()
        self.model = model
        self.max_length = max_length
        self._pad = words.pad_id
        self._has_types = words.has_types
        self._tokenizer = words.for_pairs(max_length)

    def predict(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs of query and document.

        Returns
        -------
        float32 array, shape (pairs,)
            The label's logit: any real number, larger is better.

        Raises
        ------
        ItemError
            If a text is no string or holds a lone surrogate; its position counts query and document of each pair.
        """
        check_texts([text for pair in pairs for text in pair])
        encodings = self._tokenizer.encode_batch(list(pairs))
        scores = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for positions in self._plan([len(encoding.ids) for encoding in encodings]):
                scores[positions] = self._score([encodings[i] for i in positions])
        return scores

    def _plan(self, sizes: Sequence[int]) -> list[list[int]]:
        """Positions of each batch: longest first, at most so many tokens with padding."""
        budget = CPU_TOKENS if self._device.type == "cpu" else ACCELERATOR_TOKENS
        batches: list[list[int]] = []
        for i in np.argsort(-np.array(sizes, np.int64), kind="stable").tolist():
            if not batches or sizes[batches[-1][0]] * (len(batches[-1]) + 1) > budget:
                batches.append([])
            batches[-1].append(i)
        return batches

    def _score(self, encodings: Sequence[tokenizers.Encoding]) -> NDArray[np.float32]:
        shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
        ids, types, mask = np.full(shape, self._pad, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, encoding in enumerate(encodings):
            width = len(encoding.ids)
            ids[row, :width], types[row, :width], mask[row, :width] = encoding.ids, encoding.type_ids, 1
        given = {"input_ids": ids, "attention_mask": mask}
        if self._has_types:
            given["token_type_ids"] = types
        tensors = {name: torch.from_numpy(array).to(self._device) for name, array in given.items()}
        found: NDArray[np.float32] = self.model(**tensors).logits[:, 0].float().cpu().numpy()
        return found

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
