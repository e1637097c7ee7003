"""What every adapter makes of an answer, in no framework's types."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Unpack, cast

from sidecar.client import RerankResult, SearchOptions, SearchResult, Text
from sidecar.errors import invalid
from sidecar.values.search import RerankStatus, SparseStatus

FIELDS = ("title", "text")
"""Fields of a document that hold what is read, in order."""
ERROR = "rerank_error"
"""Key of the metadata of a document that could not be scored: the reason."""
_EXPECTED = {RerankStatus.NOT_REQUESTED, RerankStatus.APPLIED, SparseStatus.NOT_REQUESTED, SparseStatus.APPLIED}
_LOG = logging.getLogger("sidecar.adapters")


class Searching(Protocol):
    """What an adapter calls of `sidecar.client.Client`."""

    def search(self, index: str, text: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Find hits."""
        ...

    def rerank(self, query: str, texts: Sequence[str | Text], *, model: str = "") -> RerankResult:
        """Score texts."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A hit as frameworks hold it.

    Attributes
    ----------
    id : str
    text : str
        Its fields of text, a line each.
    metadata : dict
        All other fields of the document.
    score : float
    """

    id: str
    text: str
    score: float
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """A text by its `place` in the request; where it could not be scored, `score` is None and `error` the reason."""

    place: int
    score: float | None
    error: str = ""


def merged(*given: Mapping[str, Any] | None) -> SearchOptions:
    """Options of a search, where later ones win; an unknown one is the client's to refuse."""
    return cast(SearchOptions, {name: value for one in given if one for name, value in one.items()})


def found(result: SearchResult, fields: Sequence[str] = FIELDS) -> Iterator[Found]:
    """The hits of a page, their text taken from `fields`; what the search went without is logged as a warning.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where no hit has any of the fields: it would be a page of empty texts.
    """
    for outcome in (result.rerank, result.sparse):
        if outcome.status not in _EXPECTED:
            _LOG.warning("%s: %s", outcome.status, outcome.reason)
    for warning in result.warnings:
        _LOG.warning("%s", warning)
    sources = [hit.source for hit in result.hits]
    if sources and not any(name in source for source in sources for name in fields):
        known = ", ".join(sorted({name for source in sources for name in source})) or "none"
        raise invalid(
            f"no hit has a field {' or '.join(fields)}, of which its text would be made; its fields: {known}",
            "name others with content_fields",
        )
    for hit in result.hits:
        lines = [line for name in fields for line in _lines(hit.source.get(name))]
        rest = {name: value for name, value in hit.source.items() if name not in fields}
        yield Found(hit.id, "\n".join(lines), hit.score, rest)


def scored(
    client: Searching, query: str, texts: Sequence[str], most: int | None = None, *, model: str = ""
) -> list[Scored]:
    """Places of the first `most` texts in the order of their MaxSim; those without a score last, as they came.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where `most` is below 0, which would leave out the last ones.
    """
    if most is not None and most < 0:
        raise invalid(f"{most} of the texts are asked for", "give 0 or more, or None for all")
    if not texts:
        return []
    result = client.rerank(query, texts, model=model)
    failures = sorted(result.failures, key=lambda failure: failure.index)
    order = [
        *(Scored(score.index, score.score) for score in result.scores),
        *(Scored(failure.index, None, str(failure.error)) for failure in failures),
    ]
    return order[:most]


def with_error(metadata: Mapping[str, Any], one: Scored) -> dict[str, Any]:
    """Metadata of a document, with the reason where it could not be scored."""
    return {**metadata, ERROR: one.error} if one.error else dict(metadata)


def _lines(value: Any) -> list[str]:  # noqa: ANN401  # a value of JSON
    if isinstance(value, list):
        return [line for one in value for line in _lines(one)]
    return [str(value)] if value not in (None, "") else []
