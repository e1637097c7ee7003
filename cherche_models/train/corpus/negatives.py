"""Hard negatives from the documents of a field by BM25, without likely duplicates of the positive."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.queries import Query, Rarity, rarest, view
from cherche_models.train.corpus.text import STOP, words

_SEARCHED_WORDS, _ALIKE = 8, 0.5
_K1, _B = 1.2, 0.75


class Negatives:
    """The documents of a field as candidates.

    Parameters
    ----------
    documents : sequence of Document
    rarity : Rarity
        Of their words.
    depth : int
        Ranks to consider.
    skip : int
        First ranks to leave out, after the positive and what is like it: they contain most unjudged relevant texts.
    keep : int
        Negatives of a query; what BM25 does not find is filled with random documents.
    """

    def __init__(
        self, documents: Sequence[Document], rarity: Rarity, *, depth: int = 40, skip: int = 2, keep: int = 8
    ) -> None:
        self._documents, self._rarity = documents, rarity
        self._depth, self._skip, self._keep = depth, skip, keep
        tokens = [words(f"{document.title} {document.body}") for document in documents]
        self._words = [frozenset(found) - STOP for found in tokens]
        self._titles = [document.title.lower() for document in documents]
        self._postings = _postings(tokens)

    def of(self, query: Query, place: int, chance: random.Random) -> list[str]:
        """Texts that are no answer to a query made from the document at `place`, hardest first."""
        found: list[str] = []
        skipped = 0
        for other in self._ranked(query.text):
            if other == place or self._alike(place, other):
                continue
            if skipped < self._skip:
                skipped += 1
                continue
            found.append(view(self._documents[other], query.kind))
            if len(found) == self._keep:
                break
        for _ in range(4 * self._keep):  # a field smaller than that has too few
            if len(found) >= self._keep:
                break
            other = chance.randrange(len(self._documents))
            if other != place and not self._alike(place, other):
                found.append(view(self._documents[other], query.kind))
        return [text for text in dict.fromkeys(found) if text.strip()]

    def _ranked(self, query: str) -> list[int]:
        """Documents in descending order of BM25 over the query's rarest words; ties in the order given."""
        scores = np.zeros(len(self._documents), np.float32)
        for word in rarest(query, _SEARCHED_WORDS, self._rarity):
            if word in self._postings:
                places, weights = self._postings[word]
                scores[places] += self._rarity(word) * weights
        count = min(self._depth, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        return [int(place) for place in best[np.lexsort((best, -scores[best]))] if scores[place] > 0]

    def _alike(self, place: int, other: int) -> bool:
        """Whether two documents share their title, a question, or more than half of the words of the shorter one."""
        own, found = self._words[place], self._words[other]
        if not set(self._documents[place].questions).isdisjoint(self._documents[other].questions):
            return True
        if self._titles[place] and self._titles[place] == self._titles[other]:
            return True
        return len(own & found) > _ALIKE * max(1, min(len(own), len(found)))


def _postings(tokens: Sequence[Sequence[str]]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Documents of each word and its saturated frequency in each (BM25 without the inverse document frequency)."""
    mean = sum(map(len, tokens)) / max(1, len(tokens))
    found: dict[str, tuple[list[int], list[float]]] = {}
    for place, document in enumerate(tokens):
        norm = _K1 * (1 - _B + _B * len(document) / max(1.0, mean))
        for word, count in Counter(document).items():
            places, weights = found.setdefault(word, ([], []))
            places.append(place)
            weights.append(count / (count + norm))
    return {word: (np.array(places), np.array(weights, np.float32)) for word, (places, weights) in found.items()}
