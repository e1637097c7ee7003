"""Options, reports and results of an index."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import cast

from sidecar.errors import ChercheError, Code, invalid
from sidecar.pb.cherche.v1 import index_pb2 as pb
from sidecar.values.documents import IngestResult, Outcome, State, StoredDocument
from sidecar.values.encoded import DumpedDocument
from sidecar.values.index import (
    Chunks,
    EngineInfo,
    GroupSummary,
    IndexMeta,
    IndexOptions,
    IndexReport,
    IndexStats,
    SetupPlan,
    SetupResult,
    TextField,
)
from sidecar.wire.columns import fingerprint_from_pb, fingerprint_to_pb, item_error, item_to_pb
from sidecar.wire.search import source_bytes
from sidecar.wire.status import clean

OUTCOMES: dict[Outcome, pb.WriteOutcome.ValueType] = {
    "encoded": pb.WRITE_OUTCOME_ENCODED,
    "reused": pb.WRITE_OUTCOME_REUSED,
    "unchanged": pb.WRITE_OUTCOME_UNCHANGED,
    "failed": pb.WRITE_OUTCOME_FAILED,
}


def options_from_pb(options: pb.IndexOptions) -> IndexOptions:
    """Options from the wire, defaults filled in."""
    return IndexOptions(
        model=options.model,
        reranker=options.reranker,
        fields=tuple(_field_from_pb(field) for field in options.fields),
        max_length=options.max_length,
        prune=options.prune or "none",
        codec=options.codec,
        sparse_boost=options.sparse_boost or None,
        rerank_weight=options.rerank_weight if options.HasField("rerank_weight") else None,
        rerank_window=options.rerank_window,
        chunks=options.chunks,
        chunk_overlap=options.chunk_overlap if options.HasField("chunk_overlap") else None,
    )


def options_to_pb(options: IndexOptions) -> pb.IndexOptions:
    """Options for the wire.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a negative length or window, which the wire cannot carry.
    """
    counts = {
        "max_length": options.max_length,
        "rerank_window": options.rerank_window,
        "chunks": options.chunks,
        "chunk_overlap": options.chunk_overlap or 0,
    }
    for name, value in counts.items():
        if value < 0:
            raise invalid(f"{name} is {value}", "give 0 for the default, or more")
    return pb.IndexOptions(
        model=options.model,
        reranker=options.reranker,
        fields=[_field_to_pb(field) for field in options.fields],
        max_length=options.max_length,
        prune=options.prune,
        codec=options.codec,
        sparse_boost=options.sparse_boost or 0.0,
        rerank_weight=options.rerank_weight,
        rerank_window=options.rerank_window,
        chunks=options.chunks,
        chunk_overlap=options.chunk_overlap,
    )


def setup_to_pb(result: SetupResult) -> pb.SetupIndexResponse:
    """What setup did, for the wire."""
    return pb.SetupIndexResponse(
        plan_json=json.dumps(list(result.plan.requests)),
        applied=result.applied,
        documents=result.plan.documents,
        projected_bytes=result.projected_bytes,
        warnings=[clean(warning) for warning in result.warnings],
        fingerprint=fingerprint_to_pb(result.fingerprint),
    )


def setup_from_pb(response: pb.SetupIndexResponse) -> SetupResult:
    """What setup did, from the wire."""
    return SetupResult(
        plan=SetupPlan(tuple(json.loads(response.plan_json)), response.documents),
        applied=response.applied,
        projected_bytes=response.projected_bytes,
        fingerprint=fingerprint_from_pb(response.fingerprint),
        warnings=tuple(response.warnings),
    )


def report_to_pb(report: IndexReport) -> pb.GetIndexResponse:
    """How an index was set up, for the wire."""
    meta = report.meta
    return pb.GetIndexResponse(
        index=report.index,
        is_set_up=meta is not None,
        options=_options_of(meta) if meta else None,
        fingerprint=fingerprint_to_pb(meta.fingerprint) if meta else None,
        documents=report.stats.documents,
        encoded=report.stats.encoded,
        pending=report.stats.pending,
        is_served=report.served,
        findings=[clean(finding) for finding in report.findings],
        engine=f"{report.engine.product} {report.engine.version}",
        parts=[
            pb.IndexPart(
                indices=group.names,
                model=group.model,
                fingerprint=fingerprint_to_pb(group.fingerprint) if group.fingerprint else None,
            )
            for group in report.groups
        ],
        replaced=report.replaced,
    )


def report_from_pb(response: pb.GetIndexResponse) -> IndexReport:
    """How an index was set up, from the wire; the engine's limits are not told."""
    product, _, version = response.engine.rpartition(" ")
    return IndexReport(
        index=response.index,
        meta=_meta_of(response) if response.is_set_up else None,
        stats=IndexStats(response.documents, response.encoded, response.pending),
        engine=EngineInfo(product, version, 0),
        served=response.is_served,
        findings=tuple(response.findings),
        groups=tuple(_summary_of(part) for part in response.parts),
        replaced=tuple(response.replaced),
    )


def _summary_of(part: pb.IndexPart) -> GroupSummary:
    fingerprint = fingerprint_from_pb(part.fingerprint) if part.HasField("fingerprint") else None
    return GroupSummary(tuple(part.indices), part.model, fingerprint)


def ingested_to_pb(index: int, result: IngestResult) -> pb.IndexDocumentsResponse:
    """What became of the document at `index` of a feed, for the wire."""
    seen = {"truncated": result.truncated, "unknown_language": result.unknown_language}
    item = item_to_pb(index, result.id, result.error, tokens=result.tokens, **seen)
    return pb.IndexDocumentsResponse(
        item=item, outcome=OUTCOMES[result.outcome], terms=result.terms, bytes=result.bytes
    )


def ingested_from_pb(response: pb.IndexDocumentsResponse) -> IngestResult:
    """What became of a document, from the wire; an unknown outcome counts as failed."""
    outcome = next((name for name, number in OUTCOMES.items() if number == response.outcome), None)
    error = item_error(response.item)
    if outcome is None and error is None:
        error = ChercheError(Code.INTERNAL, f"document {response.item.id!r} came back without an outcome")
    return IngestResult(
        id=response.item.id,
        outcome=outcome or "failed",
        error=error,
        truncated=response.item.truncated,
        unknown_language=response.item.unknown_language,
        tokens=response.item.token_count,
        terms=response.terms,
        bytes=response.bytes,
    )


def dumped_to_pb(document: StoredDocument) -> pb.DumpIndexResponse:
    """What is stored of a document, for the wire."""
    return pb.DumpIndexResponse(
        id=document.id,
        source_json=source_bytes(document.source, canonical=True),
        hash=document.hash,
        state=document.state or "",
        terms_digest=_digest(document.terms),
        codes_digest=_digest(document.codes),
    )


def dumped_from_pb(response: pb.DumpIndexResponse) -> DumpedDocument:
    """What is stored of a document, from the wire."""
    return DumpedDocument(
        id=response.id,
        source_json=response.source_json,
        hash=response.hash,
        state=cast(State, response.state) if response.state else None,
        terms_digest=response.terms_digest,
        codes_digest=response.codes_digest,
    )


def _digest(data: bytes | None) -> str:
    return sha256(data).hexdigest() if data else ""


def _field_from_pb(field: pb.TextField) -> TextField:
    return TextField(field.name, field.token_share, field.boost or 1.0)


def _field_to_pb(field: TextField) -> pb.TextField:
    return pb.TextField(name=field.name, token_share=field.token_share, boost=field.boost)


def _options_of(meta: IndexMeta) -> pb.IndexOptions:
    return pb.IndexOptions(
        model=meta.model,
        reranker=meta.reranker,
        fields=[_field_to_pb(field) for field in meta.fields],
        max_length=meta.max_length,
        prune=meta.prune,
        codec=meta.codec,
        sparse_boost=meta.sparse_boost,
        rerank_weight=meta.rerank_weight,
        rerank_window=meta.rerank_window,
        chunks=meta.chunks.most,
        chunk_overlap=meta.chunks.overlap,
    )


def _meta_of(response: pb.GetIndexResponse) -> IndexMeta:
    options = response.options
    return IndexMeta(
        model=options.model,
        fingerprint=fingerprint_from_pb(response.fingerprint),
        fields=tuple(_field_from_pb(field) for field in options.fields),
        max_length=options.max_length,
        reranker=options.reranker,
        prune=options.prune,
        codec=options.codec,
        sparse_boost=options.sparse_boost,
        rerank_weight=options.rerank_weight,
        rerank_window=options.rerank_window,
        chunks=Chunks(options.chunks or 1, options.chunk_overlap),
    )
