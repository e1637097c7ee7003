"""Counting the fields of a message on its bytes."""

from __future__ import annotations

import pytest

from sidecar.pb.cherche.v1 import encoder_pb2, index_pb2, reranker_pb2
from sidecar.wire import bounds
from sidecar.wire.bounds import MalformedError, count_fields

DOCUMENTS = encoder_pb2.EncodeDocumentsRequest.DESCRIPTOR
RERANK = reranker_pb2.RerankRequest.DESCRIPTOR


def test_fields_of_messages_within_count_too() -> None:
    request = encoder_pb2.EncodeDocumentsRequest(model="m", items=[{"id": "a", "text": "b"}, {"text": "c"}, {}])
    assert count_fields(request.SerializeToString(), DOCUMENTS, 100) == 1 + 3 + 3


def test_packed_numbers_count_one_by_one() -> None:
    codes = {"codes": {"data": b"x" * 1000, "byte_offsets": [0] * 50, "token_offsets": [1] * 7}}
    request = reranker_pb2.RerankRequest(query="q", codes=codes)
    # query, codes, its codes, data, and both lists with their numbers
    assert count_fields(request.SerializeToString(), RERANK, 100) == 4 + 1 + 50 + 1 + 7


def test_an_unknown_field_is_one() -> None:
    assert count_fields(b"\xa2\x06\x03abc" + b"\xa8\x06\x96\x01", DOCUMENTS, 100) == 2


def test_numbers_of_fixed_width_are_stepped_over() -> None:
    target = index_pb2.TextField(name="n", token_share=0.5, boost=2.0)
    assert count_fields(target.SerializeToString(), index_pb2.TextField.DESCRIPTOR, 100) == 3
    assert count_fields(b"\x09" + bytes(8), DOCUMENTS, 100) == 1


def test_counting_ends_where_the_limit_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    number = bounds._varint

    def recorded(data: bytes, place: int, end: int) -> tuple[int, int]:
        read.append(place)
        return number(data, place, end)

    monkeypatch.setattr(bounds, "_varint", recorded)
    assert count_fields(b"\x12\x00" * (8 << 20), DOCUMENTS, 1000) == 1001
    assert len(read) == 2 * 1001  # a key and a length for each
    assert max(read) < 2 * 1001


@pytest.mark.parametrize(
    "data",
    [
        b"\x12",
        b"\x12\x05abc",
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x0d\x01",
        b"\x09\x01",
        b"\x0b",
        b"\x0f",
        b"\x12\x02\x0a\x05",
    ],
    ids=["length", "short", "number", "long number", "fixed32", "fixed64", "group", "wire type 7", "within"],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        count_fields(data, DOCUMENTS, 100)
