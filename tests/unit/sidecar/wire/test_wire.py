from __future__ import annotations

import json

import numpy as np
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError, Code, invalid, overloaded
from sidecar.pb.cherche.v1 import common_pb2, index_pb2, search_pb2
from sidecar.values.documents import IngestResult, StoredDocument
from sidecar.values.index import (
    EngineInfo,
    Fingerprint,
    IndexMeta,
    IndexOptions,
    IndexReport,
    IndexStats,
    SetupPlan,
    SetupResult,
    TextField,
)
from sidecar.values.search import (
    Explanation,
    Hit,
    RerankOutcome,
    RerankStatus,
    ScoreParts,
    SearchRequest,
    SearchResult,
    TermContribution,
    Timings,
    TokenMatch,
)
from sidecar.wire import columns, index, search, status

NAMES = [f"n{i}" for i in range(50)]
pairs = st.dictionaries(st.integers(0, 49), st.floats(2**-10, 10, width=32), max_size=20)


@given(st.lists(st.none() | pairs, max_size=6))
def test_weights_survive_the_columns(drawn: list[dict[int, float] | None]) -> None:
    texts = [None if p is None else TermWeights.from_pairs(p.items()) for p in drawn]
    batch = columns.weights_to_pb(texts, NAMES.__getitem__)
    assert len(set(batch.features)) == len(batch.features)
    back = columns.weights_from_pb(common_pb2.TermWeightsBatch.FromString(batch.SerializeToString()))
    assert back == [{NAMES[i]: w for i, w in text.items()} if text is not None else {} for text in texts]


@given(st.lists(st.none() | st.integers(0, 5), max_size=6))
def test_codes_survive_the_columns(tokens: list[int | None]) -> None:
    texts = [None if n is None else codec.pack_codes(TokenEmbeddings(np.ones((n, 4), np.float32))) for n in tokens]
    packed = columns.codes_to_pb(texts)
    assert columns.codes_from_pb(packed) == texts
    assert list(np.diff(packed.token_offsets)) == [n or 0 for n in tokens]
    assert packed.version == codec.VERSION


@pytest.mark.parametrize(
    "batch",
    [
        common_pb2.TermWeightsBatch(offsets=[0, 2], features=["a"], feature_index=[0], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[0, 1], features=["a"], feature_index=[3], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[1, 1], features=["a"], feature_index=[0], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[0, 1], features=["a"], feature_index=[0, 0], weights=[1.0]),
    ],
)
def test_columns_that_do_not_fit_are_refused(batch: common_pb2.TermWeightsBatch) -> None:
    with pytest.raises(ChercheError, match=r"common\.proto"):
        columns.weights_from_pb(batch)


def test_code_offsets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ChercheError, match="byte_offsets"):
        columns.codes_from_pb(common_pb2.TokenCodes(data=b"abc", byte_offsets=[0, 2]))


@pytest.mark.parametrize("code", list(Code))
def test_errors_survive_the_wire(code: Code) -> None:
    error = ChercheError(code, "document '\ud800' is broken", "mend it")
    back = status.from_status(status_pb2.Status.FromString(status.to_status(error).SerializeToString()))
    assert (back.code, back.reason, back.next_step) == (code, "document '?' is broken", "mend it")
    assert back.retry_after is None


def test_only_overload_says_when_to_retry() -> None:
    back = status.from_status(status.to_status(overloaded("full", 2.5)))
    assert (back.code, back.retry_after) == (Code.RESOURCE_EXHAUSTED, 2.5)
    kinds = [detail.TypeName() for detail in status.to_status(invalid("x")).details]
    assert kinds == [error_details_pb2.ErrorInfo.DESCRIPTOR.full_name]


def test_statuses_of_other_servers_are_understood() -> None:
    error = status.from_status(status_pb2.Status(code=code_pb2.DATA_LOSS, message="gone"))
    assert (error.code, error.reason) == (Code.INTERNAL, "gone")
    assert status.from_status(status_pb2.Status(code=999, message="?")).code is Code.INTERNAL


REQUEST = SearchRequest(
    index="a",
    text="what's",
    mode="sparse",
    query_mode="pruned",
    match_set="lexical",
    query_terms=5,
    rerank=True,
    rerank_window=50,
    rerank_weight=0.0,
    sparse_boost=2.0,
    size=3,
    page_token="t",
    body={"filter": {"term": {"x": "é\ud800"}}},
    source_fields=("title",),
    include_engine_request=True,
    model="m",
    fields=("f",),
    paginate=True,
)


def test_a_search_survives_the_wire() -> None:
    packed = search_pb2.SearchRequest.FromString(search.request_to_pb(REQUEST).SerializeToString())
    assert search.request_from_pb(packed) == REQUEST


def test_an_empty_search_has_the_defaults() -> None:
    assert search.request_from_pb(search_pb2.SearchRequest(index="a", text="b")) == SearchRequest("a", "b")


@pytest.mark.parametrize("body", ["[1]", "{", '"x"', "[" * 100_000])
def test_bodies_that_are_no_object_are_refused(body: str) -> None:
    with pytest.raises(ChercheError, match="body_json") as failure:
        search.request_from_pb(search_pb2.SearchRequest(index="a", body_json=body))
    assert failure.value.code is Code.INVALID_ARGUMENT


def test_unknown_enum_values_are_refused() -> None:
    with pytest.raises(ChercheError, match="mode 99 is unknown"):
        search.request_from_pb(search_pb2.SearchRequest(index="a", mode=99))  # type: ignore[arg-type]  # a later release's


STATUSES = [value for name, value in vars(RerankStatus).items() if name.isupper()]


@pytest.mark.parametrize("outcome", STATUSES)
def test_a_page_survives_the_wire(outcome: str) -> None:
    parts = ScoreParts(1.0, 2.0, 3.0, 4, maxsim=5.0, first_stage_scaled=0.0, maxsim_scaled=1.0)
    result = SearchResult(
        hits=(
            Hit("x", 1, 0.5, parts, {"title": "é"}, {"highlight": {"title": ["<em>é</em>"]}}),
            Hit("y", 2, 0.4, ScoreParts(1.0, 0.0, 1.0, 1), {}),
        ),
        total=7,
        total_is_lower_bound=True,
        rerank=RerankOutcome(outcome, "because", 100, 2, 1, 0.25),
        fingerprint=Fingerprint("s", "c"),
        timings=Timings(0.001, 0.002, 0.003, 0.004, 0.005, 0.016),
        next_page_token="next",
        aggregations={"by": {"buckets": []}},
        engine_request={"method": "POST"},
        warnings=("w",),
        query_terms=3,
    )
    packed = search_pb2.SearchResponse.FromString(search.result_to_pb(result).SerializeToString())
    back = search.result_from_pb(packed)
    assert back.hits == result.hits
    assert back == SearchResult(
        **{name: getattr(result, name) for name in result.__slots__} | {"timings": back.timings}
    )
    for stage in Timings.__slots__:
        assert getattr(back.timings, stage) == pytest.approx(getattr(result.timings, stage))


def test_every_rerank_status_has_a_place_in_the_contract() -> None:
    assert set(search.STATUSES.values()) == set(STATUSES)
    assert set(search.STATUSES) == set(search_pb2.RerankStatus.values())


def test_reasons_survive_the_wire() -> None:
    explanation = Explanation(
        "x", (TermContribution("##s", 1.0, 2.0, 4.0),), (TokenMatch("a", "b", 3, 0.5),), 2.0, ("note",)
    )
    assert search.explanation_from_pb(search.explanation_to_pb(explanation)) == explanation


@pytest.mark.parametrize("source", [{"b": "é", "a": [1.5, None]}, {"a": "\ud800 lone"}])
def test_sources_survive_as_they_are(source: dict[str, object]) -> None:
    assert json.loads(search.source_bytes(source)) == source
    assert list(json.loads(search.source_bytes(source, canonical=True))) == sorted(source)


OPTIONS = IndexOptions("m", "r", (TextField("title", 0.5, 2.0), TextField("text")), 99, "top_k:9", "none", 1.5, 0.0, 7)


def test_options_survive_the_wire() -> None:
    packed = index_pb2.IndexOptions.FromString(index.options_to_pb(OPTIONS).SerializeToString())
    assert index.options_from_pb(packed) == OPTIONS
    assert index.options_from_pb(index_pb2.IndexOptions()) == IndexOptions()


@pytest.mark.parametrize("options", [IndexOptions(max_length=-1), IndexOptions(rerank_window=-1)])
def test_negative_options_are_refused_before_they_are_sent(options: IndexOptions) -> None:
    with pytest.raises(ChercheError, match="is -1"):
        index.options_to_pb(options)


def test_setup_survives_the_wire() -> None:
    plan = SetupPlan(({"method": "PUT", "path": "/a", "body": {}},), 5)
    result = SetupResult(plan, True, 123, Fingerprint("s", "c"), ("w",))
    assert index.setup_from_pb(index.setup_to_pb(result)) == result


def test_reports_survive_the_wire() -> None:
    meta = IndexMeta("m", Fingerprint("s", "c"), (TextField("title", 0.5, 2.0),), 99, "r", rerank_weight=0.25)
    report = IndexReport("a", meta, IndexStats(5, 4, 1), EngineInfo("OpenSearch", "3.8.0", 0), True, ("mend",))
    assert index.report_from_pb(index.report_to_pb(report)) == report
    bare = IndexReport("a", None, IndexStats(5, 0, 0), EngineInfo("embedded SQLite", "3.40", 0), False)
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
