"""Documents for indices larger than any collection at hand: each is made of two of SciFact's.

Each holds the first half of one text and the second half of another, and a random half of the term weights of each, so
that no document is there twice: copies would fill the best hundred hits with one. Weights and codes are those that an
index would store of the texts themselves, by `cherche-tiny`; only the texts are encoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import codec, grid, hub, naming
from cherche_models.evaluate import read
from cherche_models.types import TermWeights
from sidecar.values.first_stage import SparseClause

COMPARED, QUERIES = 100, 50
SOURCES = 2000
_BATCH, _SEED = 32, 7
_LONG = 4  # letters, from which on a word is taken for a short query
Asked = tuple[str, tuple[SparseClause, ...]]
"""A query and its terms, heaviest first."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A document of two: its text, its weights, and the place of the first of both."""

    text: str
    weights: TermWeights
    first: int


class Corpus:
    """Texts, term weights and token codes of the first of SciFact, and queries with their clauses.

    Parameters
    ----------
    folder : Path
        The collection.
    sources : int
        How many texts documents are made of.
    """

    def __init__(self, folder: Path, sources: int = SOURCES) -> None:
        model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu")
        self._names = naming.feature_names(model.vocabulary)
        self._quoted = [json.dumps(name) for name in self._names]
        test, train = read(folder), read(folder, "train")
        self.texts = list(test.texts().values())[:sources]
        words = [text.split() for text in self.texts]
        self._heads = [" ".join(one[: len(one) // 2]) for one in words]
        self._tails = [" ".join(one[len(one) // 2 :]) for one in words]
        encoded = _encoded(model, self.texts, "document")
        self._weights = [one.weights for one in encoded]
        self.codes = [one.codes for one in encoded]
        queries = list({**test.queries, **train.queries}.values())[:COMPARED]
        self.queries = self._asked(model, queries)
        long = [[word for word in text.split() if len(word) >= _LONG] for text in queries[:QUERIES]]
        short = [" ".join(words[: 1 + place % 3]) for place, words in enumerate(long) if words]
        self.groups = {"queries": self.queries[:QUERIES], "of one to three words": self._asked(model, short)}

    def _asked(self, model: Any, texts: Sequence[str]) -> list[Asked]:
        encoded = _encoded(model, texts, "query")
        return [(text, self._clauses(one.weights)) for text, one in zip(texts, encoded, strict=True)]

    def _clauses(self, weights: TermWeights) -> tuple[SparseClause, ...]:
        heaviest = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(SparseClause(token, self._names[token], weight) for token, weight in heaviest)

    def mixed(self, count: int) -> Iterator[Mixed]:
        """So many documents; fewer are the first of more."""
        rng = np.random.default_rng(_SEED)
        for _ in range(count):
            one, two = (int(place) for place in rng.integers(len(self.texts), size=2))
            both = self._weights[one], self._weights[two]
            kept = rng.random(sum(len(each.ids) for each in both)) < 0.5
            ids = np.concatenate([each.ids for each in both])[kept]
            weights = np.concatenate([each.weights for each in both])[kept]
            order = np.lexsort((-weights, ids))
            ids, weights = ids[order], weights[order]
            new = np.append(True, ids[1:] != ids[:-1])  # of a term that both have, the larger weight
            yield Mixed(f"{self._heads[one]} {self._tails[two]}", TermWeights(ids[new], weights[new]), one)

    def features(self, weights: TermWeights) -> dict[str, float]:
        """Weights by name in the index."""
        return {self._names[token]: weight for token, weight in weights.items()}

    def source(self, document: Mixed) -> str:
        """JSON of a document with its weights, as a cluster takes it; a million take minutes less than by `json`."""
        pairs = zip(document.weights.ids.tolist(), document.weights.weights.tolist(), strict=True)
        features = ",".join([f"{self._quoted[token]}:{weight!r}" for token, weight in pairs])
        return f'{{"text":{json.dumps(document.text)},"cherche_weights":{{{features}}}}}'


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What an index would store of a text; no codes of a query."""

    weights: TermWeights
    codes: bytes


def _encoded(model: Any, texts: Sequence[str], kind: Any) -> list[_Encoded]:
    """Term weights on the grid and codes, in the order of the texts."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, _Encoded] = {}
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        for place, one in zip(places, model.encode([texts[place] for place in places], kind), strict=True):
            kept = grid.storable(one.weights.weights)
            weights = TermWeights(one.weights.ids[kept], grid.round_to_grid(one.weights.weights[kept]))
            found[place] = _Encoded(weights, codec.pack_codes(one.embeddings) if kind == "document" else b"")
    return [found[place] for place in range(len(texts))]
