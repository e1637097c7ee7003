"""Searches, hits and reasons."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from sidecar.errors import invalid
from sidecar.pb.cherche.v1 import search_pb2 as pb
from sidecar.values.documents import Json
from sidecar.values.search import (
    Explanation,
    Hit,
    MatchSet,
    Mode,
    QueryMode,
    RerankOutcome,
    RerankStatus,
    ScoreParts,
    SearchRequest,
    SearchResult,
    SparseOutcome,
    SparseStatus,
    TermContribution,
    TokenMatch,
)
from sidecar.wire.columns import fingerprint_from_pb, fingerprint_to_pb, timings_from_pb, timings_to_pb
from sidecar.wire.status import clean

T = TypeVar("T")

MODES: dict[int, Mode] = {
    pb.SEARCH_MODE_UNSPECIFIED: "hybrid",
    pb.SEARCH_MODE_BM25: "bm25",
    pb.SEARCH_MODE_SPARSE: "sparse",
    pb.SEARCH_MODE_HYBRID: "hybrid",
}
QUERY_MODES: dict[int, QueryMode] = {
    pb.QUERY_MODE_UNSPECIFIED: "full",
    pb.QUERY_MODE_FULL: "full",
    pb.QUERY_MODE_PRUNED: "pruned",
    pb.QUERY_MODE_DOC_ONLY: "doc_only",
}
MATCH_SETS: dict[int, MatchSet] = {
    pb.MATCH_SET_UNSPECIFIED: "auto",
    pb.MATCH_SET_LEXICAL: "lexical",
    pb.MATCH_SET_UNION: "union",
}
STATUSES: dict[int, str] = {
    pb.RERANK_STATUS_UNSPECIFIED: RerankStatus.NOT_REQUESTED,
    pb.RERANK_STATUS_APPLIED: RerankStatus.APPLIED,
    pb.RERANK_STATUS_PARTIAL: RerankStatus.PARTIAL,
    pb.RERANK_STATUS_SKIPPED_SORT: RerankStatus.SKIPPED_SORT,
    pb.RERANK_STATUS_OUTSIDE_WINDOW: RerankStatus.OUTSIDE_WINDOW,
    pb.RERANK_STATUS_DEADLINE: RerankStatus.DEADLINE,
    pb.RERANK_STATUS_UNAVAILABLE: RerankStatus.UNAVAILABLE,
    pb.RERANK_STATUS_CODES_MISSING: RerankStatus.CODES_MISSING,
    pb.RERANK_STATUS_UNKNOWN_LANGUAGE: RerankStatus.UNKNOWN_LANGUAGE,
}
SPARSE_STATUSES: dict[int, str] = {
    pb.SPARSE_STATUS_UNSPECIFIED: SparseStatus.NOT_REQUESTED,
    pb.SPARSE_STATUS_APPLIED: SparseStatus.APPLIED,
    pb.SPARSE_STATUS_NO_TERMS: SparseStatus.NO_TERMS,
    pb.SPARSE_STATUS_UNKNOWN_LANGUAGE: SparseStatus.UNKNOWN_LANGUAGE,
}


def request_from_pb(request: pb.SearchRequest) -> SearchRequest:
    """A search from the wire, defaults filled in.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an unknown enum value, or a body that is no JSON object.
    """
    return SearchRequest(
        index=request.index,
        text=request.text,
        mode=_known("mode", request.mode, MODES),
        query_mode=_known("query_mode", request.query_mode, QUERY_MODES),
        match_set=_known("match_set", request.match_set, MATCH_SETS),
        query_terms=request.query_terms or 16,
        rerank=request.rerank,
        rerank_window=request.rerank_window,
        rerank_weight=request.rerank_weight if request.HasField("rerank_weight") else None,
        sparse_boost=request.sparse_boost if request.HasField("sparse_boost") else None,
        size=request.size or 10,
        page_token=request.page_token,
        body=_object("body_json", request.body_json),
        source_fields=tuple(request.source_fields),
        include_engine_request=request.include_engine_request,
        model=request.model,
        fields=tuple(request.fields),
        paginate=request.paginate or bool(request.page_token),
    )


def request_to_pb(request: SearchRequest) -> pb.SearchRequest:
    """A search for the wire."""
    return pb.SearchRequest(
        index=request.index,
        text=request.text,
        mode=pb.SearchMode.Value(f"SEARCH_MODE_{request.mode.upper()}"),
        query_mode=pb.QueryMode.Value(f"QUERY_MODE_{request.query_mode.upper()}"),
        match_set=_number(MATCH_SETS, request.match_set),
        query_terms=request.query_terms,
        rerank=request.rerank,
        rerank_window=request.rerank_window,
        rerank_weight=request.rerank_weight,
        sparse_boost=request.sparse_boost,
        size=request.size,
        page_token=request.page_token,
        body_json=dumps(request.body) if request.body else "",
        source_fields=request.source_fields,
        include_engine_request=request.include_engine_request,
        model=request.model,
        fields=request.fields,
        paginate=request.paginate,
    )


def result_to_pb(result: SearchResult) -> pb.SearchResponse:
    """A page for the wire."""
    return pb.SearchResponse(
        hits=[_hit_to_pb(hit) for hit in result.hits],
        total=result.total,
        total_is_lower_bound=result.total_is_lower_bound,
        rerank=outcome_to_pb(result.rerank),
        fingerprint=fingerprint_to_pb(result.fingerprint),
        timings=timings_to_pb(result.timings),
        next_page_token=result.next_page_token,
        aggregations_json="" if result.aggregations is None else dumps(result.aggregations),
        engine_request_json="" if result.engine_request is None else dumps(result.engine_request),
        warnings=[clean(warning) for warning in result.warnings],
        query_terms=result.query_terms,
        sparse=sparse_to_pb(result.sparse),
    )


def result_from_pb(response: pb.SearchResponse) -> SearchResult:
    """A page from the wire."""
    return SearchResult(
        hits=tuple(_hit_from_pb(hit) for hit in response.hits),
        total=response.total,
        total_is_lower_bound=response.total_is_lower_bound,
        rerank=_outcome_from_pb(response.rerank),
        fingerprint=fingerprint_from_pb(response.fingerprint),
        timings=timings_from_pb(response.timings),
        next_page_token=response.next_page_token,
        aggregations=json.loads(response.aggregations_json) if response.aggregations_json else None,
        engine_request=json.loads(response.engine_request_json) if response.engine_request_json else None,
        warnings=tuple(response.warnings),
        query_terms=response.query_terms,
        sparse=_sparse_from_pb(response.sparse),
    )


def explanation_to_pb(explanation: Explanation) -> pb.Explanation:
    """Reasons for the wire."""
    return pb.Explanation(
        id=explanation.id,
        terms=[
            pb.TermContribution(
                token=clean(term.token),
                query_weight=term.query_weight,
                document_weight=term.document_weight,
                contribution=term.contribution,
            )
            for term in explanation.terms
        ],
        matches=[
            pb.TokenMatch(
                query_token=clean(match.query_token),
                document_token=clean(match.document_token),
                document_position=match.document_position,
                similarity=match.similarity,
            )
            for match in explanation.matches
        ],
        sparse_boost=explanation.sparse_boost,
        notes=[clean(note) for note in explanation.notes],
    )


def explanation_from_pb(explanation: pb.Explanation) -> Explanation:
    """Reasons from the wire."""
    return Explanation(
        id=explanation.id,
        terms=tuple(
            TermContribution(term.token, term.query_weight, term.document_weight, term.contribution)
            for term in explanation.terms
        ),
        matches=tuple(
            TokenMatch(match.query_token, match.document_token, match.document_position, match.similarity)
            for match in explanation.matches
        ),
        sparse_boost=explanation.sparse_boost,
        notes=tuple(explanation.notes),
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


def _known(name: str, number: int, names: dict[int, T]) -> T:
    if number not in names:
        raise invalid(f"{name} {number} is unknown to this release", "upgrade the sidecar, or use a known value")
    return names[number]


def _number(names: dict[int, Any], wanted: str) -> Any:  # noqa: ANN401  # an enum's value
    return next(number for number, name in names.items() if name == wanted)


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
            maxsim=parts.maxsim,
            first_stage_scaled=parts.first_stage_scaled,
            maxsim_scaled=parts.maxsim_scaled,
            first_stage_rank=parts.first_stage_rank,
        ),
        source_json=source_bytes(hit.source),
        extra_json=dumps(hit.extra) if hit.extra else "",
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
        ),
        source=json.loads(hit.source_json) if hit.source_json else {},
        extra=json.loads(hit.extra_json) if hit.extra_json else {},
    )


def sparse_to_pb(outcome: SparseOutcome) -> pb.SparseOutcome:
    """What became of the sparse part, for the wire."""
    return pb.SparseOutcome(
        status=_number(SPARSE_STATUSES, outcome.status),
        reason=clean(outcome.reason),
        terms=outcome.terms,
        tokens=outcome.tokens,
    )


def _sparse_from_pb(outcome: pb.SparseOutcome) -> SparseOutcome:
    status = _known("sparse status", outcome.status, SPARSE_STATUSES)
    return SparseOutcome(status, outcome.reason, outcome.terms, outcome.tokens)


def outcome_to_pb(outcome: RerankOutcome) -> pb.RerankOutcome:
    """What became of a rerank, for the wire."""
    return pb.RerankOutcome(
        status=_number(STATUSES, outcome.status),
        reason=clean(outcome.reason),
        window=outcome.window,
        reranked=outcome.reranked,
        codes_missing=outcome.codes_missing,
        weight=outcome.weight,
    )


def _outcome_from_pb(outcome: pb.RerankOutcome) -> RerankOutcome:
    return RerankOutcome(
        status=_known("rerank status", outcome.status, STATUSES),
        reason=outcome.reason,
        window=outcome.window,
        reranked=outcome.reranked,
        codes_missing=outcome.codes_missing,
        weight=outcome.weight,
    )
