"""MaxSim over residual codes, with candidate generation by centroids (PLAID).

Santhanam et al. 2022, "PLAID: An Efficient Engine for Late Interaction Retrieval":
candidates are the documents that share a centroid with a query token. They are ranked by
MaxSim with centroids in place of tokens, and the best by MaxSim with the decoded tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cherche_models.codec import CODECS, Form
from cherche_models.codes import codebook
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.codecs.residual import Residual
from cherche_models.codes.pool import pool
from cherche_models.models import Model
from cherche_models.retrieve import store
from cherche_models.retrieve.base import ModelRetriever, Scored
from cherche_models.retrieve.colbert import check_late_interaction, token_embeddings
from cherche_models.scores import Packed, maxsim, offsets
from cherche_models.types import Encoding, Floats, TokenEmbeddings
from cherche_models.utils.documents import Filter, Key, Result

BLOCK = 1 << 16
"""Tokens decoded at a time: 32 MiB of float32 at 128 dimensions."""


class TokenCodes(NamedTuple):
    """A compressed document: centroid of each token, shape (tokens,), and residuals, shape (tokens, bytes)."""

    ids: NDArray[np.uint16]
    packed: NDArray[np.uint8]


Stored: TypeAlias = Floats | TokenCodes


class PLAID(ModelRetriever[Stored]):
    """A compressed index of token embeddings; exhaustive or by candidates. Files are memory-mapped.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : Model
        With token embeddings: ColBERT, or a joint model.
    device : str or None
        Moves the model there; MaxSim runs on the CPU.
    codec : str
        A residual codec, pooled or not: ``residual2``, ``pool2+residual4``, …
    book : Codebook or None
        None for the model's own; without one, it is trained on the documents added first.
    probe : int
        Centroids to probe for each query token; 0 scores every document.
    candidates : int
        Maximum documents to decode for a query; at least `k`.

    Raises
    ------
    ValueError
        If the model has no token embeddings, the codec is not a residual one, or a number is too small.
    """

    kind = "plaid"

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        model: Model,
        device: str | None = None,
        *,
        codec: str = "residual2",
        book: Codebook | None = None,
        probe: int = 8,
        candidates: int = 1024,
    ) -> None:
        super().__init__(key, on, model, device)
        self.form = Form.parse(codec)
        residual = {name: one for name, one in CODECS.items() if isinstance(one, Residual)}
        if self.form.codec not in residual:
            raise ValueError(f"codec {codec!r} has no centroids: choose one of {', '.join(residual)}, pooled or not")
        self._codec = residual[self.form.codec]
        if probe < 0 or candidates < 1:
            raise ValueError(f"probe {probe} is below 0, or candidates {candidates} below 1")
        self.book = book if book is not None else model.codebook
        self.probe, self.candidates = probe, candidates
        self._index = _Index.of([], 0)

    def _check(self, model: Model) -> None:
        check_late_interaction(model)

    def _embedding(self, encoding: Encoding) -> Stored:
        return token_embeddings(encoding)

    def add(self, documents_embeddings: Mapping[Key, Stored]) -> Self:
        """Compress documents and add them; documents with the same id are replaced.

        Raises
        ------
        ValueError
            If a vector is not of unit length, or there are no tokens to train the codebook on.
        """
        if self.book is None and documents_embeddings:
            self.book = _trained([one for one in documents_embeddings.values() if isinstance(one, np.ndarray)])
        return super().add({key: self._compressed(one) for key, one in documents_embeddings.items()})

    def __call__(
        self,
        queries_embeddings: Mapping[str, Stored],
        *,
        k: int | None = None,
        batch_size: int = 64,
        tqdm_bar: bool = True,
        filters: Filter | None = None,
    ) -> list[list[Result]]:
        """Search by encoded queries; see `Retriever`. Without `k` every document is scored."""
        score = partial(self._best, k=k)
        return self._find(queries_embeddings, k, batch_size, tqdm_bar, filters, score)

    def _scores(self, queries: Sequence[Stored], allowed: NDArray[np.bool_] | None) -> Iterator[Scored]:
        return self._best(queries, allowed, k=None)

    def _best(self, queries: Sequence[Stored], allowed: NDArray[np.bool_] | None, k: int | None) -> Iterator[Scored]:
        index = self._index
        eligible = np.diff(index.offsets) > 0 if allowed is None else (np.diff(index.offsets) > 0) & allowed
        for query in queries:
            assert isinstance(query, np.ndarray)
            positions = np.flatnonzero(eligible)
            wanted = max(self.candidates, k or 0)
            if k is not None and self.probe and positions.size > wanted and len(query):
                positions = self._candidates(query, eligible, wanted)
            yield positions.astype(np.int64), self._maxsim(query, positions)

    def _candidates(self, query: Floats, eligible: NDArray[np.bool_], wanted: int) -> NDArray[np.int64]:
        """The `wanted` best documents by MaxSim with centroids that share one with a query token; increasing."""
        similarity = query @ self._book.centroids.T
        probe = min(self.probe, similarity.shape[1])
        near = np.unique(np.argpartition(-similarity, probe - 1, axis=1)[:, :probe])
        found = self._index.with_centroids(near)
        found = found[eligible[found]]
        if found.size <= wanted:
            return found
        rows, ends = self._index.rows(found)
        best = np.maximum.reduceat(similarity.T[self._index.ids[rows]], ends[:-1], axis=0)
        approximate = best.sum(axis=1)
        return np.sort(found[np.argpartition(-approximate, wanted - 1)[:wanted]])

    def _maxsim(self, query: Floats, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim with the decoded tokens of the given documents, in blocks of about `BLOCK` tokens."""
        sizes = np.diff(self._index.offsets)[positions]
        blocks = (np.cumsum(sizes) - sizes) // BLOCK
        starts = np.unique(blocks, return_index=True)[1]
        found = [np.empty(0, np.float32)]
        for start, end in pairwise([*starts.tolist(), positions.size]):
            rows, ends = self._index.rows(positions[start:end])
            vectors = self._codec.restore(self._index.ids[rows], self._index.packed[rows], self._book)
            found.append(maxsim(TokenEmbeddings(query), Packed(vectors, ends)))
        return np.concatenate(found)

    @property
    def _book(self) -> Codebook:
        assert self.book is not None
        return self.book

    def _compressed(self, document: Stored) -> TokenCodes:
        if isinstance(document, TokenCodes):
            return document
        pooled = pool(TokenEmbeddings(document), self.form.pool)
        return TokenCodes(*self._codec.quantise(pooled.vectors, self._book))

    def _build(self) -> None:
        documents = [self._documents[key] for key in self._ids]
        self._index = _Index.of([one for one in documents if isinstance(one, TokenCodes)], len(self._book.centroids))
        self._documents.update(zip(self._ids, self._index.documents(), strict=True))

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "codec": str(self.form), "probe": self.probe, "candidates": self.candidates}

    def _arrays(self, embeddings: list[Stored]) -> dict[str, NDArray[Any]]:
        self._refresh()
        if self.book is None:
            return {}
        levels = {f"levels_{bits}": values for bits, values in self.book.levels.items()}
        return {"codebook": self.book.centroids.astype(np.float16), **levels, **self._index._asdict()}

    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[Stored]:
        return list(_Index(**{name: arrays[name] for name in _Index._fields}).documents()) if arrays else []

    @classmethod
    def load(cls, path: str | Path, **arguments: object) -> Self:
        """Load an index written by `save`; its codes are memory-mapped.

        Parameters
        ----------
        path : str or Path
            Must not be modified while the index is in use.
        **arguments
            ``model=``; ``probe=`` and ``candidates=`` override the file's.

        Raises
        ------
        ValueError
            If the file has another kind of retriever or another version, or was made
            with another model.
        """
        header, arrays = store.read(Path(path), cls.kind, mapped=True)
        settings = {name: header.settings[name] for name in ("codec", "probe", "candidates")}
        if arrays:
            levels = {bits: np.array(arrays[f"levels_{bits}"], np.float32) for bits in codebook.BITS}
            settings["book"] = Codebook(np.array(arrays["codebook"], np.float32), levels)
        retriever = cls._restore(header, {**settings, **arguments})
        if arrays:
            retriever._index = _Index(**{name: arrays[name] for name in _Index._fields})
            retriever._documents.update(zip(header.ids, retriever._index.documents(), strict=True))
            retriever._ids = list(header.ids)
        return retriever


class _Index(NamedTuple):
    """The concatenated codes of all documents, and the documents of each centroid (an inverted index).

    Attributes
    ----------
    ids : shape (tokens,)
        Centroid of each token.
    packed : shape (tokens, bytes)
    offsets : shape (documents + 1,)
        Document ``i`` owns rows ``offsets[i]:offsets[i + 1]``.
    starts : shape (centroids + 1,)
        Centroid ``c`` occurs in the documents ``holders[starts[c]:starts[c + 1]]``.
    holders : shape (pairs,)
    """

    ids: NDArray[np.uint16]
    packed: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    holders: NDArray[np.int32]

    @classmethod
    def of(cls, documents: Sequence[TokenCodes], centroids: int) -> _Index:
        """Concatenate documents and invert their centroids."""
        ends = offsets([len(document.ids) for document in documents])
        ids = np.concatenate([np.empty(0, np.uint16), *(document.ids for document in documents)])
        width = documents[0].packed.shape[1] if documents else 0
        packed = np.concatenate([np.empty((0, width), np.uint8), *(document.packed for document in documents)])
        owners = np.repeat(np.arange(len(documents)), np.diff(ends))
        # Sorted distinct (centroid, document) pairs, each as one integer.
        pairs = np.unique(ids.astype(np.int64) * max(1, len(documents)) + owners)
        centroid, holder = np.divmod(pairs, max(1, len(documents)))
        starts = np.searchsorted(centroid, np.arange(centroids + 1))
        return cls(ids, packed, ends, starts.astype(np.int64), holder.astype(np.int32))

    def documents(self) -> Iterator[TokenCodes]:
        """Each document as views of the rows, not copies."""
        for start, end in pairwise(self.offsets.tolist()):
            yield TokenCodes(self.ids[start:end], self.packed[start:end])

    def with_centroids(self, centroids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the documents with one of the centroids, increasing."""
        parts = [self.holders[self.starts[i] : self.starts[i + 1]] for i in centroids.tolist()]
        return np.unique(np.concatenate([np.empty(0, np.int32), *parts])).astype(np.int64)

    def rows(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the given documents, concatenated, and the offsets of each document among them."""
        first = self.offsets[positions]
        ends = offsets((self.offsets[positions + 1] - first).tolist())
        return np.repeat(first - ends[:-1], np.diff(ends)) + np.arange(ends[-1]), ends


def _trained(documents: Sequence[Floats]) -> Codebook:
    """A codebook of PLAID's size: a power of two up to 16 sqrt(tokens), at most a quarter of the tokens."""
    vectors = np.concatenate(documents) if documents else np.empty((0, 0), np.float32)
    if not len(vectors):
        raise ValueError("the model has no codebook, and the first documents have no tokens to train one on")
    wanted = 1 << int(np.log2(16 * np.sqrt(len(vectors))))
    sample = np.random.default_rng(0).permutation(len(vectors))[: 256 * wanted]
    return codebook.train(vectors[sample], min(wanted, codebook.CENTROIDS * 4, max(1, len(vectors) // 4)))
