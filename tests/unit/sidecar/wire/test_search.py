from __future__ import annotations

import json
from dataclasses import fields, make_dataclass, replace
from typing import Annotated, Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import plugin_pb2, search_pb2
from sidecar.values.options import Option, options
from sidecar.values.search import (
    Explanation,
    Hit,
    RerankOutcome,
    RerankStatus,
    ScoreParts,
    SearchRequest,
    SearchResult,
    SparseOutcome,
    SparseStatus,
)
from sidecar.wire import search
from sidecar.wire.fields import choices
from tests.unit.sidecar.samples import default, lost, sample

STATUSES = [value for name, value in vars(RerankStatus).items() if name.isupper()]
SPARSE_STATUSES = [value for name, value in vars(SparseStatus).items() if name.isupper()]


def gaps(kind: type) -> list[str]:
    """What a field of a search request lacks: a row of the table, a field of the message, or a way there and back."""
    try:
        rows = options(kind)
    except TypeError as error:
        return [str(error)]
    held = {row.wire for row in rows.values()}
    known = set(search_pb2.SearchRequest.DESCRIPTOR.fields_by_name)
    sent = sample(kind)
    packed = search_pb2.SearchRequest.FromString(search.request_to_pb(sent).SerializeToString())
    absent = [f"{name} has no counterpart" for name in sorted(held ^ known)]
    return [*absent, *(f"{name} is lost" for name in lost(kind, search.request_from_pb(packed), sent))]


def test_every_field_of_a_search_has_a_row_and_survives_the_wire() -> None:
    assert gaps(SearchRequest) == []
    assert all(getattr(sample(SearchRequest), field.name) != default(field) for field in fields(SearchRequest))


@pytest.mark.parametrize(
    ("hint", "gap"),
    [
        (float, ["Grown.nowhere has no Option, which says what it means and what it changes"]),
        (Annotated[float, Option("A field.")], ["nowhere has no counterpart", "nowhere is lost"]),
    ],
)
def test_a_field_of_a_search_that_goes_nowhere_is_found(hint: Any, gap: list[str]) -> None:
    grown = make_dataclass("Grown", [("nowhere", hint, 0.0)], bases=(SearchRequest,), frozen=True)
    assert gaps(grown) == gap


def test_a_search_survives_with_what_json_and_presence_make_hard() -> None:
    request = replace(sample(SearchRequest), body={"filter": {"term": {"x": "é\ud800"}}}, rerank_weight=0.0)
    packed = search_pb2.SearchRequest.FromString(search.request_to_pb(request).SerializeToString())
    assert search.request_from_pb(packed) == request


@pytest.mark.parametrize(
    ("name", "word"), [(name, word) for name, row in options(SearchRequest).items() for word in row.choices]
)
def test_every_word_of_a_choice_survives_the_wire(name: str, word: str) -> None:
    sent = replace(SearchRequest("a", "b"), **{name: word})
    packed = search_pb2.SearchRequest.FromString(search.request_to_pb(sent).SerializeToString())
    assert search.request_from_pb(packed) == sent


def test_a_query_mode_of_a_later_plugin_is_read_as_the_default() -> None:
    later = plugin_pb2.PrepareQueryRequest(text="a", query_mode=99)  # type: ignore[arg-type]  # a later release's
    assert search.query_from_pb(later).query_mode == "full"


def test_an_empty_search_has_the_defaults() -> None:
    assert search.request_from_pb(search_pb2.SearchRequest(index="a", text="b")) == SearchRequest("a", "b")


def test_a_plugins_query_has_the_same_defaults() -> None:
    bare = plugin_pb2.PrepareQueryRequest(text="b")
    assert search.query_from_pb(bare) == SearchRequest("", "b")
    full = plugin_pb2.PrepareQueryRequest(
        text="b", query_mode="QUERY_MODE_PRUNED", query_terms=5, sparse_boost=2.0, embeddings=True
    )
    wanted = SearchRequest("", "b", query_mode="pruned", query_terms=5, sparse_boost=2.0, rerank=True)
    assert search.query_from_pb(full) == wanted


@pytest.mark.parametrize("name", ["query_terms", "rerank_window", "size"])
def test_negative_numbers_are_refused_before_they_are_sent(name: str) -> None:
    with pytest.raises(ChercheError, match=f"{name} is -1"):
        search.request_to_pb(replace(sample(SearchRequest), **{name: -1}))


def test_no_hits_are_another_wish_than_the_default() -> None:
    request = SearchRequest("a", "b", size=0)
    sent = search_pb2.SearchRequest.FromString(search.request_to_pb(request).SerializeToString())
    assert search.request_from_pb(sent) == request
    assert search.request_from_pb(search_pb2.SearchRequest(index="a", text="b")).size == 10


@pytest.mark.parametrize("body", ["[1]", "{", '"x"', "[" * 100_000])
def test_bodies_that_are_no_object_are_refused(body: str) -> None:
    with pytest.raises(ChercheError, match="body_json") as failure:
        search.request_from_pb(search_pb2.SearchRequest(index="a", body_json=body))
    assert failure.value.code is Code.INVALID_ARGUMENT


def test_unknown_enum_values_are_refused() -> None:
    with pytest.raises(ChercheError, match="mode 99 is unknown"):
        search.request_from_pb(search_pb2.SearchRequest(index="a", mode=99))  # type: ignore[arg-type]  # a later release's


def travelled(result: SearchResult) -> SearchResult:
    return search.result_from_pb(search_pb2.SearchResponse.FromString(search.result_to_pb(result).SerializeToString()))


def test_every_field_of_a_page_survives_the_wire() -> None:
    statuses = {"rerank": sample(RerankOutcome, status="APPLIED"), "sparse": sample(SparseOutcome, status="APPLIED")}
    sent = sample(SearchResult, **statuses)
    assert lost(SearchResult, travelled(sent), sent) == {}


def test_a_hit_that_was_not_reranked_survives_the_wire() -> None:
    hit = Hit("y", 2, 0.4, ScoreParts(1.0, 0.0, 1.0, 1), {"title": "é"})
    [back] = travelled(sample(SearchResult, rerank=RerankOutcome(), sparse=SparseOutcome(), hits=(hit,))).hits
    assert back == hit
    zero = replace(hit, parts=replace(hit.parts, maxsim=0.0))
    [back] = travelled(sample(SearchResult, rerank=RerankOutcome(), sparse=SparseOutcome(), hits=(zero,))).hits
    assert back.parts.maxsim == 0.0


@pytest.mark.parametrize("status", STATUSES)
def test_every_rerank_status_survives_the_wire(status: str) -> None:
    outcome = RerankOutcome(status, "because", 100, 2, 1, 0.25)
    assert travelled(sample(SearchResult, rerank=outcome, sparse=SparseOutcome())).rerank == outcome


@pytest.mark.parametrize("status", SPARSE_STATUSES)
def test_every_status_of_the_sparse_clause_survives_the_wire(status: str) -> None:
    outcome = SparseOutcome(status, "because", 3, 4)
    assert travelled(sample(SearchResult, rerank=RerankOutcome(), sparse=outcome)).sparse == outcome


def test_every_status_has_a_place_in_the_contract() -> None:
    known = set(choices(search_pb2.RerankStatus.DESCRIPTOR).values())
    assert known == set(STATUSES) - {RerankStatus.NOT_REQUESTED}
    known = set(choices(search_pb2.SparseStatus.DESCRIPTOR).values())
    assert known == set(SPARSE_STATUSES) - {SparseStatus.NOT_REQUESTED}


def test_every_field_of_an_explanation_survives_the_wire() -> None:
    sent = sample(Explanation)
    packed = search_pb2.Explanation.FromString(search.explanation_to_pb(sent).SerializeToString())
    assert lost(Explanation, search.explanation_from_pb(packed), sent) == {}


@pytest.mark.parametrize("source", [{"b": "é", "a": [1.5, None]}, {"a": "\ud800 lone"}])
def test_sources_survive_as_they_are(source: dict[str, object]) -> None:
    assert json.loads(search.source_bytes(source)) == source
    assert list(json.loads(search.source_bytes(source, canonical=True))) == sorted(source)
