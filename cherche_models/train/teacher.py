"""A sentence encoder whose cosines a student learns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models import backbone, tokenizer
from cherche_models.runtime.batches import collate, plan
from cherche_models.tokenizer import TextFormat


class Teacher:
    """Mean-pooled, L2-normalised sentence embeddings, each text encoded once.

    Parameters
    ----------
    folder : Path
        A Sentence Transformers checkpoint with mean pooling (all-MiniLM-L6-v2 and its like).
    temperature : float
        What cosines are divided by.
    max_length : int
        Tokens of a text that are read.
    dtype : torch.dtype
    """

    def __init__(
        self,
        folder: Path,
        *,
        temperature: float = 0.05,
        max_length: int = 512,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.temperature = temperature
        self._backbone = backbone.load(folder, vocabulary=False, dtype=dtype)
        self._tokenizer = tokenizer.load(folder)
        self._format = TextFormat(max_length)
        self._known: dict[str, Tensor] = {}

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Cosines over the temperature, shape (queries, documents)."""
        return self.embed(queries) @ self.embed(documents).T / self.temperature

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, shape (texts, hidden), float32."""
        self.learn(texts)
        return torch.stack([self._known[_digest(text)] for text in texts]).float()

    def learn(self, texts: Iterable[str]) -> None:
        """Encode the texts that are new, so that `embed` finds them."""
        new = [text for text in dict.fromkeys(texts) if _digest(text) not in self._known]
        tokens = self._tokenizer.tokenize(new, self._format)
        with torch.inference_mode():
            for positions in plan(tokens, budget=4096):
                batch = collate(
                    [tokens[i] for i in positions], self._tokenizer, self._format, self._backbone.device, positions
                )
                hidden = self._backbone(batch.input_ids, batch.attention_mask).float()
                vectors = _mean(hidden, batch.attention_mask)
                for position, vector in zip(positions, vectors.half(), strict=True):
                    self._known[_digest(new[position])] = vector.clone()

    def tokens(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors of tokens, shape (batch, length, hidden), float32.

        Parameters
        ----------
        ids, attention_mask : int64 tensors, shape (batch, length)
            A student's input: both must have the same vocabulary; see `shares_vocabulary`.
        """
        with torch.inference_mode():
            hidden = self._backbone(ids, attention_mask).float()
        return torch.nn.functional.normalize(hidden, dim=-1).clone()

    def shares_vocabulary(self, other: tokenizer.Tokenizer) -> bool:
        """Whether token ids mean the same to a student."""
        return self._tokenizer.vocabulary == other.vocabulary

    def save(self, path: Path) -> None:
        """Keep what was encoded."""
        if self._known:
            save_file({"vectors": torch.stack(list(self._known.values()))}, path, {"texts": " ".join(self._known)})

    def load(self, path: Path) -> None:
        """Take back what `save` kept."""
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            texts = (file.metadata() or {})["texts"].split()
        self._known.update(zip(texts, load_file(path)["vectors"], strict=True))


def _mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    mask = attention_mask.unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
