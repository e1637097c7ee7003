"""Words and character n-grams, counted over a vocabulary that grows with the documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from cherche_models.retrieve.sparse import Rows, split

Analyzer = Literal["word", "char", "char_wb"]

_WORD = r"(?u)\b\w+\b"


class Vectorizer(Protocol):
    """What a caller may bring: scikit-learn's vectorizers and their likes."""

    def fit_transform(self, texts: list[str], /) -> object:
        """Learn a vocabulary; give a sparse matrix of texts × terms."""

    def transform(self, texts: list[str], /) -> object:
        """The same with the vocabulary learned before."""


class Grams:
    """Counts of words or n-grams, accents and case folded.

    scikit-learn cuts the texts; unlike its vectorizers, every batch of documents may
    bring new terms, so that documents added later are found by their own words.

    Parameters
    ----------
    analyzer : {"word", "char", "char_wb"} or callable
        ``char_wb`` cuts n-grams inside words. A callable gives the terms of a text:
        a stemmer, or the words of a language without spaces.
    ngram_range : pair of int or None
        Shortest and longest; None for single words, or for 3 to 5 characters.

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
        """Counts of each text; its terms join the vocabulary."""
        return self._rows(texts, lambda term: self.vocabulary.setdefault(term, len(self.vocabulary)))

    def transform(self, texts: Sequence[str]) -> list[Rows]:
        """Counts of the terms that the vocabulary knows."""
        return self._rows(texts, self.vocabulary.get)

    def _rows(self, texts: Sequence[str], number: Callable[[str], int | None]) -> list[Rows]:
        """Text by text, so that no more than one text's terms are held as strings."""
        terms, weights = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for text in texts:
            count = Counter(self._terms(text))
            found = [(i, times) for term, times in count.items() if (i := number(term)) is not None]
            terms.append(np.array([i for i, _ in found], dtype=np.int64))
            weights.append(np.array([times for _, times in found], dtype=np.float32))
        ends = np.cumsum([part.size for part in terms])
        return split(np.concatenate(weights), np.concatenate(terms), ends, len(self.vocabulary))


def vectorized(vectorizer: Vectorizer, texts: Sequence[str], fit: bool) -> list[Rows]:
    """Rows of a vectorizer of the caller's."""
    from scipy import sparse

    found: Any = vectorizer.fit_transform(list(texts)) if fit else vectorizer.transform(list(texts))
    rows = sparse.csr_array(found, dtype=np.float32)
    return split(rows.data, rows.indices, rows.indptr, rows.shape[1])


def lenlp_vectorizer(name: Literal["CountVectorizer", "TfidfVectorizer"], analyzer: str) -> Vectorizer:
    """What neural-cherche counts with where no vectorizer is given.

    Raises
    ------
    ImportError
        If lenlp is not installed.
    """
    try:
        from lenlp import sparse as lenlp
    except ImportError as error:
        raise ImportError("compat 1.4 counts as lenlp does: pip install lenlp, or give a vectorizer") from error
    made: Vectorizer = getattr(lenlp, name)(normalize=True, ngram_range=(3, 5), analyzer=analyzer)
    return made


def _analyzer(analyzer: Analyzer, ngram_range: tuple[int, int]) -> Callable[[str], Iterable[str]]:
    try:
        from sklearn.feature_extraction.text import CountVectorizer
    except ImportError as error:
        raise ImportError("TfIdf and BM25 need scikit-learn: pip install 'cherche-sidecar[retrieve]'") from error
    vectorizer = CountVectorizer(
        analyzer=analyzer, ngram_range=ngram_range, strip_accents="unicode", token_pattern=_WORD
    )
    cut: Callable[[str], Iterable[str]] = vectorizer.build_analyzer()
    return cut
