"""A sentence encoder as teacher: the student learns its cosines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from cherche_models import backbone, tokenizer
from cherche_models.layouts.files import read_json
from cherche_models.layouts.plain import body_of
from cherche_models.layouts.pooling import takes_first
from cherche_models.runtime.batches import collate, plan
from cherche_models.tokenizer import Kind, TextFormat

HELD = 100_000
"""Maximum vectors cached by a teacher: some 200 MB at 384 dimensions."""


class Teacher:
    """L2-normalised sentence embeddings with a cache.

    Parameters
    ----------
    folder : Path
        A Sentence Transformers checkpoint, from which pooling (mean or first token) and prompts
        are read.
    temperature : float
        Divisor of cosines.
    max_length : int
        Maximum tokens of a text, up to the encoder's own maximum.
    dtype : torch.dtype
    held : int
        Size of the cache in vectors; first in, first out.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded, or its pooling is neither mean nor first token, or further modules follow.
    """

    def __init__(
        self,
        folder: Path,
        *,
        temperature: float = 0.05,
        max_length: int = 512,
        dtype: torch.dtype = torch.float32,
        held: int = HELD,
    ) -> None:
        self.temperature = temperature
        self._held = held
        self._backbone = backbone.load(body_of(folder), vocabulary=False, dtype=dtype)
        self._tokenizer = tokenizer.load(body_of(folder))
        length = min(max_length, self._backbone.max_length)
        prompts = read_json(folder / "config_sentence_transformers.json").get("prompts", {})
        self._formats: dict[Kind, TextFormat] = {
            "query": TextFormat(length, prompts.get("query", "")),
            "document": TextFormat(length, prompts.get("document", "")),
        }
        self._first = takes_first(folder)
        self._known: dict[str, Tensor] = {}

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Cosines over the temperature, shape (queries, documents)."""
        return self.embed(queries, "query") @ self.embed(documents).T / self.temperature

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Tensor:
        """Unit vectors, shape (texts, hidden), float32."""
        self.learn(texts, kind)
        found = torch.stack([self._known[self._key(text, kind)] for text in texts]).float()
        for key in list(islice(self._known, max(0, len(self._known) - self._held))):
            del self._known[key]
        return found

    def learn(self, texts: Iterable[str], kind: Kind = "document") -> None:
        """Encode the texts that are not cached yet."""
        new = [text for text in dict.fromkeys(texts) if self._key(text, kind) not in self._known]
        tokens = self._tokenizer.tokenize(new, self._formats[kind])
        with torch.inference_mode():
            for positions in plan(tokens, budget=4096):
                batch = collate(
                    [tokens[i] for i in positions],
                    self._tokenizer,
                    self._formats[kind],
                    self._backbone.device,
                    positions,
                )
                hidden = self._backbone(batch.input_ids, batch.attention_mask).float()
                vectors = hidden[:, 0] if self._first else _mean(hidden, batch.attention_mask)
                for position, vector in zip(positions, normalize(vectors, dim=-1).half(), strict=True):
                    self._known[self._key(new[position], kind)] = vector.clone()

    def _key(self, text: str, kind: Kind) -> str:
        whole = self._formats[kind].prompt + text  # queries and documents share the cache if their prompts are equal
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    def tokens(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors of tokens, shape (batch, length, hidden), float32.

        Parameters
        ----------
        ids, attention_mask : int64 tensors, shape (batch, length)
            Model input of the student, which must have the same vocabulary; see `shares_vocabulary`.
        """
        with torch.inference_mode():
            hidden = self._backbone(ids, attention_mask).float()
        return normalize(hidden, dim=-1).clone()

    def shares_vocabulary(self, other: tokenizer.Tokenizer) -> bool:
        """Whether a student's tokenizer has the same vocabulary."""
        return self._tokenizer.vocabulary == other.vocabulary

    def save(self, path: Path) -> None:
        """Write the cache to a file."""
        if self._known:
            save_file({"vectors": torch.stack(list(self._known.values()))}, path, {"texts": " ".join(self._known)})

    def load(self, path: Path) -> None:
        """Add the vectors of a file written by `save` to the cache."""
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            texts = (file.metadata() or {})["texts"].split()
        self._known.update(zip(texts, load_file(path)["vectors"], strict=True))


def _mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    mask = attention_mask.unsqueeze(-1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)
