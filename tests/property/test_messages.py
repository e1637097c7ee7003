"""Counted on its bytes, a message never has fewer fields than objects are made of it."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.pb.cherche.v1 import encoder_pb2, plugin_pb2, reranker_pb2
from sidecar.wire.bounds import MalformedError, count_fields

KINDS = [
    encoder_pb2.EncodeDocumentsRequest,
    reranker_pb2.RerankRequest,
    plugin_pb2.RerankHitsRequest,
    plugin_pb2.FindPassagesRequest,
]
MANY = 1 << 20

texts = st.text(max_size=5)
items = st.builds(dict, id=texts, text=texts)
documents = st.builds(encoder_pb2.EncodeDocumentsRequest, model=texts, items=st.lists(items, max_size=20))
offsets = st.lists(st.integers(0, 1 << 40), max_size=20)
codes = st.builds(
    lambda ids, byte, token: reranker_pb2.RerankRequest(
        codes={"ids": ids, "codes": {"byte_offsets": byte, "token_offsets": [one % 1000 for one in token]}}
    ),
    st.lists(texts, max_size=20),
    offsets,
    offsets,
)


@given(documents)
def test_documents_are_counted(request: encoder_pb2.EncodeDocumentsRequest) -> None:
    set_fields = sum(len(item.ListFields()) for item in request.items)
    expected = bool(request.model) + len(request.items) + set_fields
    assert count_fields(request.SerializeToString(), request.DESCRIPTOR, MANY) == expected


@given(codes)
def test_every_number_and_id_is_counted(request: reranker_pb2.RerankRequest) -> None:
    held = request.codes
    objects = len(held.ids) + len(held.codes.byte_offsets) + len(held.codes.token_offsets)
    assert count_fields(request.SerializeToString(), request.DESCRIPTOR, MANY) >= objects


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_what_cannot_be_counted_cannot_be_parsed(kind: type, data: bytes) -> None:
    """And no bytes make counting fail in another way, or run on."""
    try:
        count = count_fields(data, kind.DESCRIPTOR, MANY)
    except MalformedError:
        count = -1
    try:
        parsed = kind.FromString(data)
    except DecodeError:
        return
    # Groups are the exception: nothing here has any, and a parser keeps unknown ones.
    assert count >= len(parsed.ListFields()) or any(byte & 7 in (3, 4) for byte in data)
