"""Fields that a value and its message have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from google.protobuf.descriptor import FieldDescriptor

from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import index_pb2, search_pb2
from sidecar.values.index import IndexOptions
from sidecar.values.options import options
from sidecar.values.search import SearchRequest
from sidecar.wire.fields import choices, from_message, to_message, to_request


@dataclass(frozen=True)
class Sample:
    """Fields of a `SearchRequest` on the wire, and one that it has not."""

    index: str
    mode: Literal["bm25", "sparse", "hybrid"] = "hybrid"
    size: int = 10
    rerank_weight: float | None = None
    source_fields: tuple[str, ...] = ("all",)
    elsewhere: dict[str, int] = field(default_factory=dict)


def packed(value: Sample) -> search_pb2.SearchRequest:
    return to_message(value, search_pb2.SearchRequest)


def test_common_fields_travel_and_others_stay() -> None:
    value = Sample("a", "sparse", 3, 0.5, ("title",), {"x": 1})
    assert packed(value) == search_pb2.SearchRequest(
        index="a", mode="SEARCH_MODE_SPARSE", size=3, rerank_weight=0.5, source_fields=["title"]
    )
    assert from_message(packed(value), Sample, elsewhere={"x": 1}) == value


def test_what_is_empty_on_the_wire_is_the_values_own_default() -> None:
    assert from_message(search_pb2.SearchRequest(), Sample) == Sample("")


def test_a_zero_that_was_said_is_not_a_default() -> None:
    assert from_message(packed(Sample("a", rerank_weight=0.0)), Sample).rerank_weight == 0.0
    assert not packed(Sample("a")).HasField("rerank_weight")


def test_what_the_caller_gives_wins() -> None:
    assert to_message(Sample("a"), search_pb2.SearchRequest, index="b").index == "b"
    assert from_message(packed(Sample("a", size=3)), Sample, size=7).size == 7


def test_a_negative_number_is_refused_where_the_wire_has_no_sign() -> None:
    with pytest.raises(ChercheError, match="size is -1") as refused:
        packed(Sample("a", size=-1))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_an_enum_value_of_a_later_release_is_refused() -> None:
    later = search_pb2.SearchRequest(index="a", mode=99)  # type: ignore[arg-type]  # a later release's
    with pytest.raises(ChercheError, match="mode 99 is unknown to this release"):
        from_message(later, Sample)


def test_lone_surrogates_are_replaced() -> None:
    assert packed(Sample("a\ud800", source_fields=("\udc00",))) == packed(Sample("a?", source_fields=("?",)))


def test_enum_values_are_named_without_their_prefix() -> None:
    names = choices(search_pb2.SearchMode.DESCRIPTOR, ("bm25", "sparse", "hybrid"))
    assert sorted(names.values()) == ["bm25", "hybrid", "sparse"]
    assert 0 not in names
    assert "BM25" in choices(search_pb2.SearchMode.DESCRIPTOR).values()


def test_a_word_that_the_enum_lacks_is_refused_not_sent_as_the_default() -> None:
    for word in ("SPARSE", "dense", ""):
        with pytest.raises(ChercheError, match="mode is") as refused:
            packed(Sample("a", word))  # type: ignore[arg-type]  # no mode
        assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_lone_surrogate_is_replaced_for_people_and_refused_in_a_request() -> None:
    assert packed(Sample("a\ud800b")).index == "a?b"
    for odd in (Sample("a\ud800b"), Sample("a", source_fields=("title", "\udfff"))):
        with pytest.raises(ChercheError, match="lone surrogate") as refused:
            to_request(odd, search_pb2.SearchRequest)
        assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("kind", "message"),
    [(SearchRequest, search_pb2.SearchRequest), (IndexOptions, index_pb2.IndexOptions)],
    ids=["search", "setup"],
)
def test_a_zero_that_means_something_has_presence_on_the_wire(kind: type, message: type) -> None:
    """Without presence the wire cannot tell 0 from a field that was left out, which stands for the default."""
    for row in options(kind).values():
        held = message.DESCRIPTOR.fields_by_name[row.wire]  # type: ignore[attr-defined]  # a message has one
        is_number = row.kind in (int, float)
        accepts_zero = row.above is None and (row.least or 0) <= 0
        if is_number and accepts_zero and row.default != 0:
            assert held.has_presence, f"{row.wire} needs `optional`"
        if row.least is not None and row.least < 0:
            assert held.type not in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64), row.wire
