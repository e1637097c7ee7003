"""Answers as JSON text, and what their headers tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fastapi import Response

from cherche_models.types import Floats, TermWeights
from sidecar.gateway.encode import Outcome, fingerprint, term_weights
from sidecar.gateway.rerank import Documents, Ranking
from sidecar.gateway.shapes import Naming
from sidecar.gateway.wire import array, mapping, numbers, quoted
from sidecar.values.model import Kind

PLACES_SHOWN = 64
_STAGES = ("tokenize", "queue", "encode", "total")

Pairs = list[tuple[str, str]]
"""Quoted name, or id, and number of each term of a text."""


@dataclass(frozen=True, slots=True)
class Sparse:
    """Term weights of a request's texts, ready to be written."""

    outcome: Outcome
    texts: list[Pairs]
    how: Naming

    def maps(self) -> str:
        """An array with a JSON object for each text."""
        return array(map(mapping, self.texts))

    def lists(self, name: str, value: str) -> list[str]:
        """An array of ``{name: term, value: weight}`` for each text."""
        keys = quoted(name), quoted(value)
        return [array(mapping(zip(keys, pair, strict=True)) for pair in pairs) for pairs in self.texts]

    def response(self, content: str) -> Response:
        """With what made the weights."""
        return _response(content, self.outcome, fingerprint(self.outcome.encoder, "sparse", self.how))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores of a request's documents, ready to be written."""

    documents: Documents
    ranking: Ranking
    scores: list[str]

    def results(self, result: Callable[[int, str], str], most: int | None) -> str:
        """An array of what `result` makes of place and score, by falling score."""
        return array(result(place, self.scores[place]) for place in self.ranking.order[:most])

    def response(self, content: str) -> Response:
        """With what made the scores, and which documents have none."""
        made_with = fingerprint(self.documents.encoder, "late_interaction")
        response = _response(content, self.documents, made_with)
        if self.documents.failures:
            response.headers["x-cherche-unscored"] = _places(self.documents.failures)
        return response


async def sparse(outcome: Outcome, kind: Kind, how: Naming, spelled: Sequence[str] | None) -> Sparse:
    """Names, or ids where `spelled` is None, and numbers of all texts, off the event loop."""
    weights = await term_weights(outcome, kind)
    return Sparse(outcome, await asyncio.to_thread(lambda: [_pairs(one, spelled) for one in weights]), how)


def ranked(documents: Documents, ranking: Ranking) -> Ranked:
    """Numbers of all scores."""
    return Ranked(documents, ranking, numbers(ranking.scores))


async def multivector(outcome: Outcome, matrices: Sequence[Floats]) -> Response:
    """A matrix for each text."""
    info = outcome.encoder.info
    written = await asyncio.to_thread(lambda: array(map(_matrix, matrices)))
    content = f'{{"model":{quoted(info.name)},"dim":{info.dim},"embeddings":{written}}}'
    return _response(content, outcome, fingerprint(outcome.encoder, "late_interaction"))


def _pairs(weights: TermWeights, spelled: Sequence[str] | None) -> Pairs:
    ids = weights.ids.tolist()
    terms = [str(i) for i in ids] if spelled is None else [spelled[i] for i in ids]
    return list(zip(terms, numbers(weights.weights), strict=True))


def _matrix(matrix: Floats) -> str:
    return array(array(numbers(row)) for row in matrix)


def _response(content: str, outcome: Outcome | Documents, made_with: str) -> Response:
    stages = ((stage, getattr(outcome.timings, stage)) for stage in _STAGES)
    headers = {
        "x-cherche-model": quoted(outcome.encoder.info.name)[1:-1],
        "x-cherche-fingerprint": made_with,
        "server-timing": ", ".join(f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in stages),
    }
    if outcome.truncated:
        headers["x-cherche-truncated"] = _places(outcome.truncated)
    if isinstance(outcome, Outcome) and outcome.unknown_language:
        headers["x-cherche-unknown-language"] = _places(outcome.unknown_language)
    return Response(content, headers=headers, media_type="application/json")


def _places(places: Collection[int]) -> str:
    """Places for a header, whose length is bounded.

    >>> _places([3, 1])
    '1,3'
    """
    shown = ",".join(map(str, sorted(places)[:PLACES_SHOWN]))
    return shown if len(places) <= PLACES_SHOWN else f"{shown},... {len(places)} in all"
