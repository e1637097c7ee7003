"""Searches, hits and explanations."""

from __future__ import annotations

import json

from sidecar.errors import invalid
from sidecar.pb.cherche.v1 import search_pb2 as pb
from sidecar.pb.cherche.v1.plugin_pb2 import PrepareQueryRequest
from sidecar.values.documents import Json
from sidecar.values.passages import Passage, PassageAnswer
from sidecar.values.search import (
    Explanation,
    Hit,
    RerankOutcome,
    ScoreParts,
    SearchRequest,
    SearchResult,
    SparseOutcome,
    TermContribution,
    TokenMatch,
)
from sidecar.wire.columns import fingerprint_from_pb, fingerprint_to_pb, timings_from_pb, timings_to_pb
from sidecar.wire.fields import from_message, to_message, to_request


def request_from_pb(request: pb.SearchRequest) -> SearchRequest:
    """A search from the wire, defaults filled in.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an unknown enum value, or a body that is no JSON object.
    """
    body, paginate = _object("body_json", request.body_json), request.paginate or bool(request.page_token)
    return from_message(request, SearchRequest, body=body, paginate=paginate)


def request_to_pb(request: SearchRequest) -> pb.SearchRequest:
    """A search for the wire.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for what the wire cannot carry: a negative number, an unknown mode, a lone surrogate.
    """
    return to_request(request, pb.SearchRequest, body_json=dumps(request.body) if request.body else "")


def query_from_pb(request: PrepareQueryRequest) -> SearchRequest:
    """A plugin's query from the wire, defaults filled in; the plugin itself searches.

    The mode of a plugin of a later release is read as the default: its search must not fail for that.
    """
    known = request.query_mode in pb.QueryMode.DESCRIPTOR.values_by_number
    given = {} if known else {"query_mode": SearchRequest(index="", text="").query_mode}
    return from_message(request, SearchRequest, index="", rerank=request.embeddings, **given)


def result_to_pb(result: SearchResult) -> pb.SearchResponse:
    """A page for the wire."""
    return to_message(
        result,
        pb.SearchResponse,
        hits=[_hit_to_pb(hit) for hit in result.hits],
        rerank=outcome_to_pb(result.rerank),
        fingerprint=fingerprint_to_pb(result.fingerprint),
        timings=timings_to_pb(result.timings),
        aggregations_json="" if result.aggregations is None else dumps(result.aggregations),
        engine_request_json="" if result.engine_request is None else dumps(result.engine_request),
        sparse=sparse_to_pb(result.sparse),
    )


def result_from_pb(response: pb.SearchResponse) -> SearchResult:
    """A page from the wire."""
    return from_message(
        response,
        SearchResult,
        hits=tuple(_hit_from_pb(hit) for hit in response.hits),
        rerank=from_message(response.rerank, RerankOutcome),
        fingerprint=fingerprint_from_pb(response.fingerprint),
        timings=timings_from_pb(response.timings),
        aggregations=json.loads(response.aggregations_json) if response.aggregations_json else None,
        engine_request=json.loads(response.engine_request_json) if response.engine_request_json else None,
        sparse=from_message(response.sparse, SparseOutcome),
    )


def explanation_to_pb(explanation: Explanation) -> pb.Explanation:
    """An explanation for the wire."""
    return to_message(
        explanation,
        pb.Explanation,
        terms=[to_message(term, pb.TermContribution) for term in explanation.terms],
        matches=[to_message(match, pb.TokenMatch) for match in explanation.matches],
    )


def explanation_from_pb(explanation: pb.Explanation) -> Explanation:
    """An explanation from the wire."""
    return from_message(
        explanation,
        Explanation,
        terms=tuple(from_message(term, TermContribution) for term in explanation.terms),
        matches=tuple(from_message(match, TokenMatch) for match in explanation.matches),
    )


def dumps(value: Json) -> str:
    """JSON that fits a protobuf string: lone surrogates stay escaped."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def source_bytes(source: Json, *, canonical: bool = False) -> bytes:
    """A document's fields as UTF-8 JSON, keys in their own order or, canonical, sorted.

    >>> source_bytes({"b": "é", "a": 1}, canonical=True).decode()
    '{"a":1,"b":"é"}'
    """
    try:
        return _json(source, canonical, ascii_only=False).encode()
    except UnicodeEncodeError:  # a lone surrogate survives as its escape
        return _json(source, canonical, ascii_only=True).encode()


def _json(source: Json, canonical: bool, *, ascii_only: bool) -> str:
    return json.dumps(source, sort_keys=canonical, ensure_ascii=ascii_only, separators=(",", ":"))


def _object(name: str, text: str) -> Json:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{name} is not JSON: {error}", "send one JSON object") from None
    if not isinstance(value, dict):
        raise invalid(f"{name} is a JSON {type(value).__name__}, not an object", "send one JSON object")
    return value


# Hits are converted field by field: a page holds many of them, and by name 100 take 1.1 ms more both ways together.
def _hit_to_pb(hit: Hit) -> pb.Hit:
    parts = hit.parts
    return pb.Hit(
        id=hit.id,
        rank=hit.rank,
        score=hit.score,
        parts=pb.ScoreParts(
            lexical=parts.lexical,
            sparse=parts.sparse,
            first_stage=parts.first_stage,
            first_stage_rank=parts.first_stage_rank,
            maxsim=parts.maxsim,
            first_stage_scaled=parts.first_stage_scaled,
            maxsim_scaled=parts.maxsim_scaled,
            lexical_rank=parts.lexical_rank,
            sparse_rank=parts.sparse_rank,
        ),
        source_json=source_bytes(hit.source),
        extra_json=dumps(hit.extra) if hit.extra else "",
        passages=[passage_to_pb(passage) for passage in hit.passages],
    )


def _hit_from_pb(hit: pb.Hit) -> Hit:
    parts = hit.parts
    return Hit(
        id=hit.id,
        rank=hit.rank,
        score=hit.score,
        parts=ScoreParts(
            lexical=parts.lexical,
            sparse=parts.sparse,
            first_stage=parts.first_stage,
            first_stage_rank=parts.first_stage_rank,
            maxsim=parts.maxsim if parts.HasField("maxsim") else None,
            first_stage_scaled=parts.first_stage_scaled if parts.HasField("first_stage_scaled") else None,
            maxsim_scaled=parts.maxsim_scaled if parts.HasField("maxsim_scaled") else None,
            lexical_rank=parts.lexical_rank if parts.HasField("lexical_rank") else None,
            sparse_rank=parts.sparse_rank if parts.HasField("sparse_rank") else None,
        ),
        source=json.loads(hit.source_json) if hit.source_json else {},
        extra=json.loads(hit.extra_json) if hit.extra_json else {},
        passages=tuple(_passage_from_pb(passage) for passage in hit.passages),
    )


def passage_to_pb(passage: Passage) -> pb.Passage:
    """A passage for the wire."""
    return to_message(passage, pb.Passage, answers=[to_message(answer, pb.PassageAnswer) for answer in passage.answers])


def _passage_from_pb(passage: pb.Passage) -> Passage:
    answers = tuple(from_message(answer, PassageAnswer) for answer in passage.answers)
    return from_message(passage, Passage, answers=answers)


def outcome_to_pb(outcome: RerankOutcome) -> pb.RerankOutcome:
    """Rerank status for the wire."""
    return to_message(outcome, pb.RerankOutcome)


def sparse_to_pb(outcome: SparseOutcome) -> pb.SparseOutcome:
    """Status of the sparse clause for the wire."""
    return to_message(outcome, pb.SparseOutcome)
