from __future__ import annotations

from dataclasses import fields

import pytest

from sidecar.errors import ChercheError, invalid
from sidecar.pb.cherche.v1 import common_pb2, index_pb2
from sidecar.values.documents import IngestResult, StoredDocument
from sidecar.values.encoded import DumpedDocument
from sidecar.values.index import (
    EngineInfo,
    GroupSummary,
    IndexMeta,
    IndexOptions,
    IndexReport,
    IndexStats,
    SetupResult,
    TextField,
)
from sidecar.values.options import options
from sidecar.wire import index
from tests.unit.sidecar.samples import default, lost, sample

STAYS = {"naming": "only the sidecar names features", "version": "of the object in the mapping"}


def travelled(wanted: IndexOptions) -> IndexOptions:
    return index.options_from_pb(index_pb2.IndexOptions.FromString(index.options_to_pb(wanted).SerializeToString()))


def test_every_field_of_the_options_has_a_row_and_survives_the_wire() -> None:
    sent = sample(IndexOptions)
    assert all(getattr(sent, field.name) != default(field) for field in fields(IndexOptions))
    assert lost(IndexOptions, travelled(sent), sent) == {}
    for kind, message in ((IndexOptions, index_pb2.IndexOptions), (TextField, index_pb2.TextField)):
        assert {row.wire for row in options(kind).values()} == set(message.DESCRIPTOR.fields_by_name)


def test_empty_options_have_the_defaults_and_zero_may_be_said() -> None:
    assert index.options_from_pb(index_pb2.IndexOptions()) == IndexOptions()
    zero = IndexOptions(rerank_weight=0.0, chunk_overlap=0)
    assert travelled(zero) == zero
    field = index_pb2.IndexOptions(fields=[index_pb2.TextField(name="title")])
    assert index.options_from_pb(field).fields == (TextField("title"),)


@pytest.mark.parametrize("options", [IndexOptions(max_length=-1), IndexOptions(rerank_window=-1)])
def test_negative_options_are_refused_before_they_are_sent(options: IndexOptions) -> None:
    with pytest.raises(ChercheError, match="is -1"):
        index.options_to_pb(options)


def test_every_field_of_a_setup_survives_the_wire() -> None:
    sent = sample(SetupResult)
    back = index.setup_from_pb(index.setup_to_pb(sent))
    assert lost(SetupResult, back, sent, {"plan": "see below"}) == {}
    assert (back.plan.requests, back.plan.documents) == (sent.plan.requests, sent.plan.documents)
    assert back.plan.warnings == ()  # they are among the result's


def test_every_field_of_a_report_survives_the_wire() -> None:
    sent = sample(IndexReport)
    back = index.report_from_pb(index.report_to_pb(sent))
    assert lost(IndexReport, back, sent, {"meta": "see below", "engine": "see below"}) == {}
    assert sent.meta is not None
    assert lost(IndexMeta, back.meta, sent.meta, STAYS) == {}
    assert lost(EngineInfo, back.engine, sent.engine, {"max_clauses": "a limit that only a sidecar keeps"}) == {}


def test_an_index_that_is_not_set_up_survives_the_wire() -> None:
    groups = (GroupSummary(("a",), "", None),)
    bare = IndexReport("a", None, IndexStats(5, 0, 0), EngineInfo("embedded SQLite", "3.40", 0), False, groups=groups)
    assert index.report_from_pb(index.report_to_pb(bare)) == bare


@pytest.mark.parametrize("outcome", list(index.OUTCOMES))
def test_ingest_results_survive_the_wire(outcome: str) -> None:
    error = invalid("broken", "mend it") if outcome == "failed" else None
    result = IngestResult("x", outcome, error, True, 5, 4, 99)  # type: ignore[arg-type]  # a parametrized literal
    back = index.ingested_from_pb(index.ingested_to_pb(3, result))
    assert str(back.error) == str(result.error)
    assert (back.id, back.outcome, back.truncated, back.tokens, back.terms, back.bytes) == (
        "x",
        outcome,
        True,
        5,
        4,
        99,
    )


def test_an_answer_without_an_outcome_is_a_failure() -> None:
    answer = index_pb2.IndexDocumentsResponse(item=common_pb2.ItemResult(id="x"))
    result = index.ingested_from_pb(answer)
    assert result.outcome == "failed"
    assert result.error is not None


def test_dumps_tell_digests_not_contents() -> None:
    stored = StoredDocument("x", {"b": 1, "a": 2}, "h", "ok", terms=b"terms")
    dumped = index.dumped_from_pb(index.dumped_to_pb(stored))
    assert dumped.source_json == b'{"a":2,"b":1}'
    assert len(dumped.terms_digest) == 64
    assert dumped.codes_digest == ""
    assert dumped.state == "ok"
    assert index.dumped_from_pb(index.dumped_to_pb(StoredDocument("y", {}))).state is None


def test_every_field_of_an_ingest_result_survives_the_wire() -> None:
    sent = sample(IngestResult)
    back = index.ingested_from_pb(index.ingested_to_pb(3, sent))
    assert lost(IngestResult, back, sent, {"error": "compared as text"}) == {}
    assert str(back.error) == str(sent.error)


def test_every_field_of_a_dump_has_a_place_in_the_contract() -> None:
    assert {field.name for field in fields(DumpedDocument)} == set(
        index_pb2.DumpIndexResponse.DESCRIPTOR.fields_by_name
    )
