"""Sentence encoders as teachers: the student learns their cosines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from cherche_models import backbone, tokenizer
from cherche_models.layouts.digest import digest
from cherche_models.layouts.files import read_json
from cherche_models.layouts.plain import body_of
from cherche_models.layouts.pooling import takes_first
from cherche_models.runtime.batches import collate, plan
from cherche_models.tokenizer import Kind, TextFormat
from cherche_models.train.vectors import Vectors

_WRITTEN_AT_ONCE = 4096
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
    vectors : Path, optional
        Folder of a cache on disk instead, without a limit; of this encoder and length alone, which it records.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded, or its pooling is neither mean nor first token, or further modules follow.
    ValueError
        If `vectors` holds those of another encoder or length.
    """

    def __init__(
        self,
        folder: Path,
        *,
        temperature: float = 0.05,
        max_length: int = 512,
        dtype: torch.dtype = torch.float32,
        held: int = HELD,
        vectors: Path | None = None,
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
        self._encoder = _hashed(digest(folder), length)
        self._stored = Vectors(vectors, self._backbone.hidden_size, self._encoder) if vectors else None

    @property
    def digest(self) -> str:
        """sha256 of what its scores depend on: the checkpoint's files, the length and the temperature."""
        return _hashed(self._encoder, self.temperature)

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Cosines over the temperature, shape (queries, documents)."""
        return self.embed(queries, "query") @ self.embed(documents).T / self.temperature

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Tensor:
        """Unit vectors, shape (texts, hidden), float32."""
        self.learn(texts, kind)
        if self._stored is not None:
            return self._stored.get([self._formats[kind].prompt + text for text in texts])
        found = torch.stack([self._known[self._key(text, kind)] for text in texts]).float()
        for key in list(islice(self._known, max(0, len(self._known) - self._held))):
            del self._known[key]
        return found

    def learn(self, texts: Iterable[str], kind: Kind = "document") -> None:
        """Encode the texts that are not cached yet."""
        if self._stored is not None:
            self._store(texts, kind, self._stored)
            return
        new = [text for text in dict.fromkeys(texts) if self._key(text, kind) not in self._known]
        for positions, vectors in self._encoded(new, kind):
            for position, vector in zip(positions, vectors, strict=True):
                self._known[self._key(new[position], kind)] = vector.clone()

    def _store(self, texts: Iterable[str], kind: Kind, stored: Vectors) -> None:
        prompt = self._formats[kind].prompt
        new = [text for text in dict.fromkeys(texts) if prompt + text not in stored]
        for start in range(0, len(new), _WRITTEN_AT_ONCE):
            part = new[start : start + _WRITTEN_AT_ONCE]
            for positions, vectors in self._encoded(part, kind):
                stored.add([prompt + part[position] for position in positions], vectors)

    def _encoded(self, texts: Sequence[str], kind: Kind) -> Iterator[tuple[list[int], Tensor]]:
        """Positions of the texts of a batch, and their vectors in half precision."""
        tokens = self._tokenizer.tokenize(texts, self._formats[kind])
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
                yield positions, normalize(vectors, dim=-1).half()

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
            about = {"texts": " ".join(self._known), "encoder": self._encoder}
            save_file({"vectors": torch.stack(list(self._known.values()))}, path, about)

    def load(self, path: Path) -> None:
        """Add the vectors of a file written by `save` to the cache.

        Raises
        ------
        ValueError
            If they are those of another encoder or length.
        """
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
        if about.get("encoder") != self._encoder:
            raise ValueError(f"{path} holds the vectors of another teacher — remove it, or name another file")
        texts = about["texts"].split()
        self._known.update(zip(texts, load_file(path)["vectors"], strict=True))


class Ensemble:
    """The mean of several teachers' scores, each divided by its own temperature.

    The teachers' cosines spread differently: a temperature makes their logits comparable.

    Parameters
    ----------
    teachers : sequence of Teacher
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = tuple(teachers)
        self.digest = _hashed(*(teacher.digest for teacher in teachers))

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Mean logits, shape (queries, documents)."""
        return torch.stack([teacher.scores(queries, documents) for teacher in self.teachers]).mean(dim=0)


class AnyTeacher(Protocol):
    """What scores every query of a batch with every document: `Teacher`, `Ensemble`, `SelfTeacher`."""

    @property
    def digest(self) -> str:
        """Of what its scores depend on."""

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Logits, shape (queries, documents)."""


def _hashed(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    mask = attention_mask.unsqueeze(-1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)
