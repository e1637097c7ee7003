"""TF-IDF with cosine similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cherche_models.retrieve import store
from cherche_models.retrieve.grams import Analyzer, Grams, Vectorizer, lenlp_vectorizer, vectorized
from cherche_models.retrieve.sparse import Rows, SparseRetriever
from cherche_models.tokenizer import Kind
from cherche_models.types import Compat


class Lexical(SparseRetriever):
    """Retrieval by term counts, of an analyzer or a custom vectorizer."""

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        vectorizer: Vectorizer | None,
        fit: bool,
        analyzer: Analyzer | Callable[[str], Iterable[str]],
        ngram_range: tuple[int, int] | None,
    ) -> None:
        super().__init__(key, on)
        self.fit = fit
        self._vectorizer = vectorizer
        self._grams = Grams(analyzer, ngram_range) if vectorizer is None else None

    def _encode_all(self, texts: list[str], kind: Kind, batch_size: int, tqdm_bar: bool, desc: str) -> list[Rows]:
        """Encode all texts in one batch, because a custom vectorizer is fitted on the first call only."""
        return self._encode(texts, kind)

    def _encode(self, texts: Sequence[str], kind: Kind) -> list[Rows]:
        fit = self.fit and kind == "document"
        if self._grams is not None:
            return self._grams.fit_transform(texts) if fit else self._grams.transform(texts)
        if self._vectorizer is None:
            raise ValueError("there is neither a vectorizer nor an analyzer")
        rows = vectorized(self._vectorizer, texts, fit)
        self.fit = self.fit and not fit
        return rows

    def _settings(self) -> dict[str, Any]:
        if self._grams is None or callable(self._grams.analyzer):
            raise ValueError(
                "a custom vectorizer or analyzer cannot be saved without pickle: "
                "save the result of encode_documents, and add it to a new retriever"
            )
        return {"analyzer": self._grams.analyzer, "ngram_range": self._grams.ngram_range, "fit": self.fit}

    def _arrays(self, embeddings: list[Rows]) -> dict[str, NDArray[Any]]:
        terms = "\0".join(self._grams.vocabulary) if self._grams else ""
        return {**super()._arrays(embeddings), "vocabulary": np.frombuffer(terms.encode(), np.uint8)}

    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[Rows]:
        terms = arrays["vocabulary"].tobytes().decode()
        if self._grams and terms:
            self._grams.vocabulary = {term: i for i, term in enumerate(terms.split("\0"))}
        return super()._embeddings(arrays)

    @classmethod
    def _restore(cls, header: store.Header, arguments: Mapping[str, Any]) -> Self:
        settings = dict(header.settings)
        settings["ngram_range"] = tuple(settings["ngram_range"])
        return cls(header.key, header.on, **{**settings, **arguments})


class TfIdf(Lexical):
    """Retrieval by the cosine of TF-IDF vectors.

    ``idf = ln((1 + N) / (1 + df)) + 1``, smoothed as in scikit-learn, over the index at
    search time: scores do not depend on the order of additions.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    tfidf : vectorizer or None
        Fitted on the first documents only; its rows are used unchanged.
    fit : bool
        False to keep the vocabulary unchanged.
    analyzer : {"char", "char_wb", "word"} or callable
    ngram_range : pair of int or None
        None for 3 to 5 characters, or single words.
    compat : {"1.4"} or None
        Reproduce the scores of that release of neural-cherche, with lenlp's vectorizer unless one is given.

    Examples
    --------
    >>> retriever = TfIdf(key="id", on="text")
    >>> retriever = retriever.add_documents([{"id": 1, "text": "ducks swim"}, {"id": 2, "text": "cows graze"}])
    >>> [hit["id"] for hit in retriever.search("duck", k=2)]
    [1]
    """

    kind = "tfidf"

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        tfidf: Vectorizer | None = None,
        fit: bool = True,
        *,
        analyzer: Analyzer | Callable[[str], Iterable[str]] = "char",
        ngram_range: tuple[int, int] | None = None,
        compat: Compat | None = None,
    ) -> None:
        vectorizer = lenlp_vectorizer("TfidfVectorizer", "char") if compat and not tfidf else None
        super().__init__(key, on, tfidf or vectorizer, fit, analyzer, ngram_range)
        self._idf: NDArray[np.float32] = np.empty(0, np.float32)

    def _weigh(self, rows: Rows) -> Rows:
        frequencies = np.bincount(rows.indices, minlength=rows.shape[1])
        self._idf = (np.log((1 + rows.shape[0]) / (1 + frequencies)) + 1).astype(np.float32)
        return self._weigh_queries(rows)

    def _weigh_queries(self, rows: Rows) -> Rows:
        if self._grams is None:
            return rows
        weights = rows.data * self._idf[rows.indices]
        owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        norms = np.sqrt(np.bincount(owners, weights**2, rows.shape[0]))
        return sparse.csr_array(
            ((weights / norms[owners]).astype(np.float32), rows.indices, rows.indptr), shape=rows.shape
        )
