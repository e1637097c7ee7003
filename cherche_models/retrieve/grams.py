"""Counts of words and character n-grams over a vocabulary that grows with the documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from cherche_models.retrieve.sparse import Rows, split

Analyzer = Literal["word", "char", "char_wb"]

_WORD = r"(?u)\b\w+\b"


class Vectorizer(Protocol):
    """A custom vectorizer with scikit-learn's interface."""

    def fit_transform(self, texts: list[str], /) -> object:
        """Learn a vocabulary; return a sparse matrix of texts × terms."""

    def transform(self, texts: list[str], /) -> object:
        """Return a sparse matrix over the learned vocabulary."""


class Grams:
    """Counts of words or n-grams, without accents and case.

    scikit-learn tokenises the texts. Unlike its vectorizers, every batch of documents may
    add terms to the vocabulary, so documents added later are found by their own words.

    Parameters
    ----------
    analyzer : {"word", "char", "char_wb"} or callable
        ``char_wb`` forms n-grams within words. A callable returns the terms of a text, such as
        stems, or the words of a language without spaces.
    ngram_range : pair of int or None
        Minimum and maximum length; None for single words, or for 3 to 5 characters.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """

    def __init__(
        self,
        analyzer: Analyzer | Callable[[str], Iterable[str]] = "char_wb",
        ngram_range: tuple[int, int] | None = None,
    ) -> None:
        self.analyzer = analyzer
        self.ngram_range = ngram_range or ((1, 1) if analyzer == "word" else (3, 5))
        self.vocabulary: dict[str, int] = {}
        self._terms = analyzer if callable(analyzer) else _analyzer(analyzer, self.ngram_range)

    def fit_transform(self, texts: Sequence[str]) -> list[Rows]:
        """Counts of each text; new terms are added to the vocabulary."""
        return self._rows(texts, lambda term: self.vocabulary.setdefault(term, len(self.vocabulary)))

    def transform(self, texts: Sequence[str]) -> list[Rows]:
        """Counts of the terms in the vocabulary."""
        return self._rows(texts, self.vocabulary.get)

    def _rows(self, texts: Sequence[str], number: Callable[[str], int | None]) -> list[Rows]:
        """Rows of counts; texts are processed one by one, so that only one text's terms are in memory as strings."""
        terms, weights = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for text in texts:
            count = Counter(self._terms(text))
            found = [(i, times) for term, times in count.items() if (i := number(term)) is not None]
            terms.append(np.array([i for i, _ in found], dtype=np.int64))
            weights.append(np.array([times for _, times in found], dtype=np.float32))
        ends = np.cumsum([part.size for part in terms])
        return split(np.concatenate(weights), np.concatenate(terms), ends, len(self.vocabulary))


def vectorized(vectorizer: Vectorizer, texts: Sequence[str], fit: bool) -> list[Rows]:
    """Rows of a custom vectorizer."""
    from scipy import sparse

    found: Any = vectorizer.fit_transform(list(texts)) if fit else vectorizer.transform(list(texts))
    rows = sparse.csr_array(found, dtype=np.float32)
    return split(rows.data, rows.indices, rows.indptr, rows.shape[1])


def lenlp_vectorizer(name: Literal["CountVectorizer", "TfidfVectorizer"], analyzer: str) -> Vectorizer:
    """neural-cherche's default vectorizer.

    Raises
    ------
    ImportError
        If lenlp is not installed.
    """
    try:
        from lenlp import sparse as lenlp
    except ImportError as error:
        raise ImportError("compat 1.4 needs lenlp — run: pip install lenlp, or pass a vectorizer") from error
    made: Vectorizer = getattr(lenlp, name)(normalize=True, ngram_range=(3, 5), analyzer=analyzer)
    return made


def _analyzer(analyzer: Analyzer, ngram_range: tuple[int, int]) -> Callable[[str], Iterable[str]]:
    try:
        from sklearn.feature_extraction.text import CountVectorizer
    except ImportError as error:
        raise ImportError("TfIdf and BM25 need scikit-learn — run: pip install 'cherche-sidecar[retrieve]'") from error
    vectorizer = CountVectorizer(
        analyzer=analyzer, ngram_range=ngram_range, strip_accents="unicode", token_pattern=_WORD
    )
    cut: Callable[[str], Iterable[str]] = vectorizer.build_analyzer()
    return cut
