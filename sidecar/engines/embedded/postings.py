"""Term weights and text lengths of an index in memory: segments of postings, extended as documents change.

The packed terms in the file are authoritative. A mirror reads those written since the generation that it holds,
appends them as a segment and marks the documents that they replace as deleted. More than `MAX_SEGMENTS` segments
are merged into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cherche_models.codec import CodecError
from cherche_models.codes.terms import unpack_terms
from cherche_models.lexical import FullText, Scorer, lengths
from cherche_models.types import TermWeights

if TYPE_CHECKING:  # functions import it, so that a sidecar starts without: the first document of the file brings it
    import scipy.sparse as sp

MAX_SEGMENTS = 8
_NONE = TermWeights.empty()


@dataclass(slots=True)
class Segment:
    """Postings of some documents.

    Attributes
    ----------
    postings : sparse array, shape (vocabulary, documents)
        Row = term, column = index into `documents`.
    documents : int64 array
        Positions in the mirror.
    live : bool array
        False where a later segment replaces the document.
    """

    postings: sp.csr_array
    documents: NDArray[np.int64]
    live: NDArray[np.bool_]

    @classmethod
    def build(cls, documents: NDArray[np.int64], terms: Sequence[TermWeights]) -> Segment:
        """Invert documents into postings."""
        import scipy.sparse as sp

        offsets = np.cumsum([0, *map(len, terms)])
        ids = np.concatenate([_NONE.ids, *(t.ids for t in terms)]).astype(np.int64)
        weights = np.concatenate([_NONE.weights, *(t.weights for t in terms)])
        shape = (len(terms), int(ids.max(initial=-1)) + 1)
        postings = sp.csr_array((weights, ids, offsets), shape=shape).T.tocsr()
        return cls(postings, documents, np.ones(len(terms), np.bool_))

    def dot(self, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inner product of a query with each document, summed in float64."""
        known = ids < self.postings.shape[0]
        products: NDArray[np.float64] = self.postings[ids[known]].T @ weights[known]
        products[~self.live] = 0.0
        return products

    def frequencies(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of live documents with each term."""
        counts = np.zeros(len(ids), np.int64)
        known = ids < self.postings.shape[0]
        # float32 counts exactly to 2**24 only.
        chosen = self.postings[ids[known]].astype(np.float64)
        chosen.data[:] = 1.0
        counts[known] = chosen @ self.live
        return counts


@dataclass(slots=True)
class Mirror:
    """The data of an index that searches need, in memory.

    Attributes
    ----------
    generation : int
        Generation of the index that is mirrored.
    rows : int64 array
        Row numbers in the table of documents, ascending; the index into it is a document's position.
    ids : list of str
        Document ids by position.
    segments : list of Segment
    damaged : set of str
        Ids whose packed terms could not be read.
    masks : dict
        Cached filters of this generation.
    lengths : int64 array, shape (fields, documents)
        Number of words.
    scorer : Scorer
        BM25 over this generation.
    """

    generation: int = -1
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ids: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64))
    scorer: Scorer = field(default_factory=lambda: Scorer(np.empty(0, np.int64), ()))

    def __len__(self) -> int:
        return len(self.ids)

    def catch_up(self, text: FullText, index_id: int, generation: int) -> None:
        """Read what was written since the last call."""
        if generation == self.generation:
            return
        changed = text.connection.execute(
            f"SELECT row, documents.id, terms, sz FROM documents LEFT JOIN {text.lengths_table} AS stored "
            "ON stored.id = row WHERE index_id = ? AND generation > ? ORDER BY row",
            (index_id, self.generation),
        ).fetchall()
        self.masks.clear()
        if changed:
            self._extend([one[:3] for one in changed], lengths((one[3] for one in changed), text.fields))
        self.scorer = Scorer.of(self.rows, self.lengths)
        self.generation = generation

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of mirrored row numbers."""
        return np.searchsorted(self.rows, rows).astype(np.int64)

    def dot(self, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inner product of a query with every document; equals `TermWeights.dot`."""
        products = np.zeros(len(self), np.float64)
        for segment in self.segments:
            products[segment.documents] += segment.dot(ids, weights)
        return products

    def frequencies(self, ids: NDArray[np.int64]) -> list[int]:
        """Number of documents with each term."""
        counts = np.zeros(len(ids), np.int64)
        for segment in self.segments:
            counts += segment.frequencies(ids)
        return [int(count) for count in counts]

    def _extend(self, changed: Sequence[tuple[int, str, bytes | None]], sizes: NDArray[np.int64]) -> None:
        rows = np.array([row for row, _, _ in changed], np.int64)
        # Row numbers only grow (AUTOINCREMENT), so the arrays stay sorted by appending.
        new = rows > (self.rows[-1] if len(self) else -1)
        self.rows = np.concatenate([self.rows, rows[new]])
        self.ids.extend(id for (_, id, _), is_new in zip(changed, new, strict=True) if is_new)
        documents = self.positions(rows)
        self.lengths = np.pad(self.lengths, ((0, len(sizes) - len(self.lengths)), (0, int(new.sum()))))
        self.lengths[:, documents] = sizes
        for segment in self.segments:
            segment.live &= ~np.isin(segment.documents, documents)
        self.segments.append(Segment.build(documents, [self._read(id, terms) for _, id, terms in changed]))
        if len(self.segments) > MAX_SEGMENTS:
            self.segments = [merged(self.segments)]

    def _read(self, id: str, terms: bytes | None) -> TermWeights:
        self.damaged.discard(id)
        if terms is None:
            return _NONE
        try:
            return unpack_terms(terms)
        except CodecError:
            self.damaged.add(id)
            return _NONE


def merged(segments: Sequence[Segment]) -> Segment:
    """Merge segments into one of their live documents."""
    import scipy.sparse as sp

    vocabulary = max(segment.postings.shape[0] for segment in segments)
    parts = [_widened(segment.postings[:, segment.live], vocabulary) for segment in segments]
    documents = np.concatenate([segment.documents[segment.live] for segment in segments])
    return Segment(sp.hstack(parts, format="csr"), documents, np.ones(len(documents), np.bool_))


def _widened(postings: sp.csr_array, vocabulary: int) -> sp.csr_array:
    """The same postings over a larger vocabulary."""
    import scipy.sparse as sp

    documents = postings.shape[1]
    indptr = np.pad(postings.indptr, (0, vocabulary - postings.shape[0]), mode="edge")
    return sp.csr_array((postings.data, postings.indices, indptr), shape=(vocabulary, documents))


def top(scores: NDArray[np.float64], members: NDArray[np.int64], ids: Sequence[str], k: int) -> list[int]:
    """The `k` best members in descending order of score, ties by id.

    >>> top(np.array([1.0, 2.0, 1.0]), np.array([0, 1, 2]), ["b", "c", "a"], 2)
    [1, 2]
    """
    if k <= 0:
        return []
    if members.size > k:
        chosen = scores[members]
        # All that tie with the k-th stay, until their ids decide.
        members = members[chosen >= np.partition(chosen, -k)[-k]]
    ranked = zip((-scores[members]).tolist(), members.tolist(), strict=True)
    return [i for _, i in sorted(ranked, key=lambda pair: (pair[0], ids[pair[1]]))[:k]]
