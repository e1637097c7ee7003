"""BM25, Lucene's variant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cherche_models.retrieve.grams import Analyzer, Vectorizer, lenlp_vectorizer
from cherche_models.retrieve.sparse import Rows
from cherche_models.retrieve.tfidf import Lexical
from cherche_models.types import Compat
from cherche_models.utils.documents import Key


class BM25(Lexical):
    """Retrieval by BM25, Lucene's variant.

    Each query term contributes ``ln(1 + (N - df + 0.5) / (df + 0.5)) * (tf / (tf + k1 *
    (1 - b + b * length / mean length)) + epsilon)`` (Robertson & Zaragoza 2009,
    "The Probabilistic Relevance Framework", without the constant ``k1 + 1``;
    Kamphuis et al. 2020, "Which BM25 Do You Mean?"). Document frequencies and the mean
    length are those of the index at search time.

    neural-cherche's class of this name differs: it uses the collection frequency as
    df, and normalises each term over the documents of one `add`. ``compat="1.4"``
    reproduces its scores.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    count_vectorizer : vectorizer or None
        Fitted on the first documents; must return counts.
    b, k1 : float
    epsilon : float
        Added for each document with the term, independent of its length
        (delta in Lv & Zhai 2011, "Lower-Bounding Term Frequency Normalization").
    fit : bool
        False to keep the vocabulary unchanged.
    analyzer : {"char_wb", "char", "word"} or callable
    ngram_range : pair of int or None
        None for 3 to 5 characters, or single words.
    compat : {"1.4"} or None
        Reproduce the scores of that release of neural-cherche, with lenlp's vectorizer unless one is given.

    Raises
    ------
    ImportError
        If compat 1.4 needs lenlp and it is not installed.
    ValueError
        If `b` is outside [0, 1], or `k1` or `epsilon` negative.

    Examples
    --------
    >>> documents = [{"id": "a", "text": "the duck"}, {"id": "b", "text": "the cow"}]
    >>> retriever = BM25(key="id", on="text", analyzer="word").add_documents(documents)
    >>> [(hit["id"], round(hit["similarity"], 4)) for hit in retriever.search("duck")]
    [('a', 0.2773)]
    """

    kind = "bm25"

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        count_vectorizer: Vectorizer | None = None,
        b: float = 0.75,
        k1: float = 1.5,
        epsilon: float = 0.0,
        fit: bool = True,
        *,
        analyzer: Analyzer | Callable[[str], Iterable[str]] = "char_wb",
        ngram_range: tuple[int, int] | None = None,
        compat: Compat | None = None,
    ) -> None:
        vectorizer = lenlp_vectorizer("CountVectorizer", "char_wb") if compat and not count_vectorizer else None
        super().__init__(key, on, count_vectorizer or vectorizer, fit, analyzer, ngram_range)
        if not 0 <= b <= 1 or k1 < 0 or epsilon < 0:
            raise ValueError(f"b {b} must be in [0, 1], k1 {k1} and epsilon {epsilon} at least 0")
        self.b, self.k1, self.epsilon = b, k1, epsilon
        self.compat: Compat | None = compat
        self._adds: dict[Key, int] = {}

    def add(self, documents_embeddings: Mapping[Key, Rows]) -> Self:
        """Add documents; documents with the same id are replaced."""
        latest = max(self._adds.values(), default=-1) + 1
        self._adds.update(dict.fromkeys(documents_embeddings, latest))
        return super().add(documents_embeddings)

    def _weigh(self, rows: Rows) -> Rows:
        if self.compat:
            return compat_weights(rows, np.array([self._adds[key] for key in self._ids]), self.b, self.k1, self.epsilon)
        number = rows.shape[0]
        frequencies = np.bincount(rows.indices, minlength=rows.shape[1])
        idf = np.log1p((number - frequencies + 0.5) / (frequencies + 0.5))
        owners = np.repeat(np.arange(number), np.diff(rows.indptr))
        lengths = np.bincount(owners, rows.data, number)
        norms = self.k1 * (1 - self.b + self.b * lengths / max(lengths.mean(), 1e-9))
        saturated = rows.data / (rows.data + norms[owners]) + self.epsilon
        return _weighted(rows, idf[rows.indices] * saturated)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "b": self.b, "k1": self.k1, "epsilon": self.epsilon}


def compat_weights(rows: Rows, batches: NDArray[np.int64], b: float, k1: float, epsilon: float) -> Rows:
    """Weights as in neural-cherche 1.4, whose statistics cover each batch and the batches before it.

    Parameters
    ----------
    rows : sparse array, shape (documents, terms)
        Counts.
    batches : int array, shape (documents,)
        Number of the `add` call of each document.
    b, k1, epsilon : float
    """
    weights = np.zeros(rows.nnz)
    frequencies, number = np.zeros(rows.shape[1]), 0
    owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    for batch in np.unique(batches):
        own = batches[owners] == batch
        counts, terms, lengths = rows.data[own], rows.indices[own], np.bincount(owners[own], rows.data[own])
        frequencies += np.bincount(terms, counts, rows.shape[1])
        members = int(np.count_nonzero(batches == batch))
        number += members
        norms = k1 * (1 - b + b * lengths[owners[own]] / max(counts.sum() / members, 1e-9))
        idf = np.log((number - frequencies[terms] + 0.5) / (frequencies[terms] + 0.5) + 1)
        found = (counts * (k1 + 1) / (counts + norms) + epsilon) * idf
        weights[own] = found / np.maximum(np.sqrt(np.bincount(terms, found**2, rows.shape[1]))[terms], 1e-30)
    return _weighted(rows, weights)


def _weighted(rows: Rows, weights: NDArray[np.float64]) -> Rows:
    return sparse.csr_array((weights.astype(np.float32), rows.indices, rows.indptr), shape=rows.shape)
