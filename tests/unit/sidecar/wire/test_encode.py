"""Encoded texts and rerank scores, from the wire."""

from __future__ import annotations

import pytest

from sidecar.errors import Code, invalid
from sidecar.pb.cherche.v1 import common_pb2, encoder_pb2, reranker_pb2
from sidecar.values.encoded import RerankScore, Text
from sidecar.values.index import Fingerprint
from sidecar.wire import encode
from sidecar.wire.columns import codes_to_pb, fingerprint_to_pb
from sidecar.wire.status import to_status

BROKEN = to_status(invalid("text 'b' is broken", "mend it"))
WEIGHTS = common_pb2.TermWeightsBatch(
    offsets=[0, 2, 2], features=["sun", "moon"], feature_index=[0, 1], weights=[1.5, 0.5]
)
ITEMS = [
    common_pb2.ItemResult(index=0, id="a", token_count=4, truncated=True),
    common_pb2.ItemResult(index=1, id="b", status=BROKEN),
]


def test_a_text_that_failed_has_its_error_and_nothing_else() -> None:
    response = encoder_pb2.EncodeDocumentsResponse(
        model="m",
        items=ITEMS,
        term_weights=WEIGHTS,
        token_codes=codes_to_pb([b"codes", None]),
        fingerprint=fingerprint_to_pb(Fingerprint("s", "c")),
    )
    result = encode.documents_from_pb(response)
    assert (result.model, result.fingerprint) == ("m", Fingerprint("s", "c"))
    good, bad = result.items
    assert (good.id, good.weights, good.codes) == ("a", {"sun": 1.5, "moon": 0.5}, b"codes")
    assert (good.tokens, good.truncated, good.error) == (4, True, None)
    assert bad.error is not None
    assert (bad.error.code, bad.error.reason) == (Code.INVALID_ARGUMENT, "text 'b' is broken")
    assert (bad.index, bad.weights, bad.codes) == (1, None, None)


def test_what_was_not_wanted_is_none_and_not_empty() -> None:
    [good, _] = encode.queries_from_pb(encoder_pb2.EncodeQueriesResponse(items=ITEMS)).items
    assert (good.weights, good.codes) == (None, None)
    streamed = encode.streamed_from_pb(encoder_pb2.StreamDocumentsResponse(item=ITEMS[0]), 7)
    assert (streamed.index, streamed.id, streamed.weights, streamed.codes) == (7, "a", None, None)


@pytest.mark.parametrize("outputs", [(), ("term_weights",), ("token_codes",), ("term_weights", "token_codes")])
def test_wanted_outputs_are_flags(outputs: tuple[str, ...]) -> None:
    wanted = encode.outputs_to_pb(outputs)
    assert {field.name for field, _ in wanted.ListFields()} == set(outputs)


def test_lone_surrogates_never_reach_the_wire_as_texts() -> None:
    assert [(one.id, one.text) for one in encode.items_to_pb([Text("words", "a")])] == [("a", "words")]
    with pytest.raises(ValueError, match="surrogates"):
        encode.items_to_pb([Text("\ud800")])


def test_scores_stand_at_the_places_of_the_callers_own_texts() -> None:
    response = reranker_pb2.RerankResponse(
        model="m",
        scores=[reranker_pb2.RerankScore(index=0, id="a", score=2.0)],
        items=[common_pb2.ItemResult(index=0, id="a", truncated=True), common_pb2.ItemResult(index=1, status=BROKEN)],
    )
    result = encode.reranked_from_pb(response, [1, 3], {0: ("refused", invalid("too large"))})
    assert result.scores == (RerankScore(1, "a", 2.0),)
    assert [(one.index, one.id, one.error.reason) for one in result.failures] == [
        (0, "refused", "too large"),
        (3, "", "text 'b' is broken"),
    ]
    assert (result.truncated, result.model) == (1, "m")
