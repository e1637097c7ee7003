"""Options, reports and results of an index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import cast

from cherche_models.chunks import MAX, RMS
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import index_pb2 as pb
from sidecar.values.chunks import Chunks
from sidecar.values.documents import IngestResult, Outcome, State, StoredDocument
from sidecar.values.encoded import DumpedDocument
from sidecar.values.index import (
    EngineInfo,
    GroupSummary,
    IndexList,
    IndexMeta,
    IndexOptions,
    IndexReport,
    IndexStats,
    IndexSummary,
    SetupPlan,
    SetupResult,
    TextField,
)
from sidecar.values.maintenance import Removal
from sidecar.wire.columns import fingerprint_from_pb, fingerprint_to_pb, item_error, item_to_pb
from sidecar.wire.fields import from_message, to_message, to_request
from sidecar.wire.search import source_bytes

OUTCOMES: dict[Outcome, pb.WriteOutcome.ValueType] = {
    "encoded": pb.WRITE_OUTCOME_ENCODED,
    "reused": pb.WRITE_OUTCOME_REUSED,
    "unchanged": pb.WRITE_OUTCOME_UNCHANGED,
    "no_text": pb.WRITE_OUTCOME_NO_TEXT,
    "failed": pb.WRITE_OUTCOME_FAILED,
}


def options_from_pb(options: pb.IndexOptions) -> IndexOptions:
    """Options from the wire, defaults filled in."""
    return from_message(options, IndexOptions, fields=_fields_from_pb(options))


def options_to_pb(options: IndexOptions) -> pb.IndexOptions:
    """Options for the wire.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a negative number, which the wire cannot carry.
    """
    return to_request(options, pb.IndexOptions, fields=_fields_to_pb(options.fields))


def setup_to_pb(result: SetupResult) -> pb.SetupIndexResponse:
    """What setup did, for the wire."""
    return to_message(
        result,
        pb.SetupIndexResponse,
        plan_json=json.dumps(list(result.plan.requests)),
        documents=result.plan.documents,
        fingerprint=fingerprint_to_pb(result.fingerprint),
    )


def setup_from_pb(response: pb.SetupIndexResponse) -> SetupResult:
    """What setup did, from the wire."""
    plan = SetupPlan(tuple(json.loads(response.plan_json)), response.documents)
    return from_message(response, SetupResult, plan=plan, fingerprint=fingerprint_from_pb(response.fingerprint))


def report_to_pb(report: IndexReport) -> pb.GetIndexResponse:
    """How an index was set up, for the wire."""
    meta = report.meta
    return to_message(
        report,
        pb.GetIndexResponse,
        is_set_up=meta is not None,
        options=_meta_to_pb(meta) if meta else None,
        fingerprint=fingerprint_to_pb(meta.fingerprint) if meta else None,
        documents=report.stats.documents,
        encoded=report.stats.encoded,
        pending=report.stats.pending,
        is_served=report.served,
        engine=f"{report.engine.product} {report.engine.version}",
        parts=[_summary_to_pb(group) for group in report.groups],
    )


def report_from_pb(response: pb.GetIndexResponse) -> IndexReport:
    """How an index was set up, from the wire; limits of the engine stay there."""
    product, _, version = response.engine.rpartition(" ")
    return from_message(
        response,
        IndexReport,
        meta=_meta_from_pb(response) if response.is_set_up else None,
        stats=IndexStats(response.documents, response.encoded, response.pending),
        engine=EngineInfo(product, version, 0),
        served=response.is_served,
        groups=tuple(_summary_from_pb(part) for part in response.parts),
    )


def list_to_pb(found: IndexList) -> pb.ListIndicesResponse:
    """The indices that were set up, for the wire."""
    return pb.ListIndicesResponse(indices=[_standing_to_pb(one) for one in found.indices], others=found.others)


def list_from_pb(response: pb.ListIndicesResponse) -> IndexList:
    """The indices that were set up, from the wire."""
    return IndexList(tuple(_standing_from_pb(one) for one in response.indices), response.others)


def removal_to_pb(removal: Removal) -> pb.RemoveIndexResponse:
    """What a removal did, for the wire."""
    return to_message(removal, pb.RemoveIndexResponse)


def removal_from_pb(response: pb.RemoveIndexResponse) -> Removal:
    """What a removal did, from the wire."""
    return from_message(response, Removal)


def _standing_to_pb(one: IndexSummary) -> pb.IndexSummary:
    return to_message(one, pb.IndexSummary, is_served=one.served, **asdict(one.stats))


def _standing_from_pb(message: pb.IndexSummary) -> IndexSummary:
    stats = IndexStats(message.documents, message.encoded, message.pending)
    return from_message(message, IndexSummary, stats=stats, served=message.is_served)


def _summary_to_pb(group: GroupSummary) -> pb.IndexPart:
    fingerprint = fingerprint_to_pb(group.fingerprint) if group.fingerprint else None
    return to_message(group, pb.IndexPart, indices=group.names, fingerprint=fingerprint)


def _summary_from_pb(part: pb.IndexPart) -> GroupSummary:
    fingerprint = fingerprint_from_pb(part.fingerprint) if part.HasField("fingerprint") else None
    return from_message(part, GroupSummary, names=tuple(part.indices), fingerprint=fingerprint)


def ingested_to_pb(index: int, result: IngestResult) -> pb.IndexDocumentsResponse:
    """Result of the document at `index` of a feed, for the wire."""
    seen = {"truncated": result.truncated, "unknown_language": result.unknown_language}
    item = item_to_pb(index, result.id, result.error, tokens=result.tokens, **seen)
    return pb.IndexDocumentsResponse(
        item=item, outcome=OUTCOMES[result.outcome], terms=result.terms, bytes=result.bytes
    )


def ingested_from_pb(response: pb.IndexDocumentsResponse) -> IngestResult:
    """Result of a document, from the wire; an unknown outcome counts as failed."""
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
        routing=document.routing,
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
        routing=response.routing,
    )


def _digest(data: bytes | None) -> str:
    return sha256(data).hexdigest() if data else ""


def _fields_from_pb(options: pb.IndexOptions) -> tuple[TextField, ...]:
    return tuple(from_message(field, TextField) for field in options.fields)


def _fields_to_pb(fields: Sequence[TextField]) -> list[pb.TextField]:
    return [to_request(field, pb.TextField) for field in fields]


def _meta_to_pb(meta: IndexMeta) -> pb.IndexOptions:
    cut = meta.chunks
    chunks = {"chunks": cut.most, "chunk_overlap": cut.overlap, "chunk_pooling": cut.pooling}
    return to_message(meta, pb.IndexOptions, fields=_fields_to_pb(meta.fields), **chunks)


def _meta_from_pb(response: pb.GetIndexResponse) -> IndexMeta:
    options = response.options
    return from_message(
        options,
        IndexMeta,
        fingerprint=fingerprint_from_pb(response.fingerprint),
        fields=_fields_from_pb(options),
        chunks=_chunks_from_pb(options),
    )


def _chunks_from_pb(options: pb.IndexOptions) -> Chunks:
    """A sidecar of an earlier release names no pooling, and takes the maximum."""
    most = options.chunks or 1
    return Chunks(most, options.chunk_overlap, options.chunk_pooling or (MAX if most > 1 else RMS))
