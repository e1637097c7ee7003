"""Encoded texts and rerank scores, as a client sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from sidecar.errors import ChercheError
from sidecar.pb.cherche.v1 import common_pb2, encoder_pb2, reranker_pb2
from sidecar.values.encoded import EncodedText, EncodeResult, RerankFailure, RerankResult, RerankScore, Text
from sidecar.wire.columns import (
    codes_from_pb,
    codes_to_pb,
    fingerprint_from_pb,
    item_error,
    timings_from_pb,
    weights_from_pb,
)

__all__ = [
    "codes_to_pb",
    "documents_from_pb",
    "items_to_pb",
    "outputs_to_pb",
    "queries_from_pb",
    "reranked_from_pb",
    "streamed_from_pb",
]


def outputs_to_pb(outputs: Sequence[str]) -> encoder_pb2.Outputs:
    """Wanted outputs; none stands for all."""
    return encoder_pb2.Outputs(term_weights="term_weights" in outputs, token_codes="token_codes" in outputs)


def items_to_pb(texts: Sequence[Text]) -> list[common_pb2.TextItem]:
    """Texts for the wire."""
    return [common_pb2.TextItem(id=text.id, text=text.text) for text in texts]


def documents_from_pb(response: encoder_pb2.EncodeDocumentsResponse) -> EncodeResult:
    """Encoded documents from the wire."""
    timings, fingerprint = timings_from_pb(response.timings), fingerprint_from_pb(response.fingerprint)
    return EncodeResult(_texts(response), response.model, timings, fingerprint)


def queries_from_pb(response: encoder_pb2.EncodeQueriesResponse) -> EncodeResult:
    """Encoded queries from the wire."""
    return EncodeResult(_texts(response), response.model, timings_from_pb(response.timings))


def streamed_from_pb(response: encoder_pb2.StreamDocumentsResponse, place: int) -> EncodedText:
    """One document of a stream, at its place in the caller's own stream."""
    weights = weights_from_pb(response.term_weights) if response.HasField("term_weights") else [None]
    codes = codes_from_pb(response.token_codes) if response.HasField("token_codes") else [None]
    return _text(place, response.item, weights[0], codes[0])


def reranked_from_pb(
    response: reranker_pb2.RerankResponse, places: Sequence[int], refused: Mapping[int, tuple[str, ChercheError]]
) -> RerankResult:
    """Scores from the wire; `places` are those of the documents that were sent, `refused` the others."""
    failures = [RerankFailure(place, id, error) for place, (id, error) in refused.items()]
    for item in response.items:
        error = item_error(item)
        if error is not None:
            failures.append(RerankFailure(places[item.index], item.id, error))
    return RerankResult(
        scores=tuple(RerankScore(places[one.index], one.id, one.score) for one in response.scores),
        failures=tuple(sorted(failures, key=lambda failure: failure.index)),
        truncated=sum(item.truncated for item in response.items),
        model=response.model,
        timings=timings_from_pb(response.timings),
    )


def _texts(
    response: encoder_pb2.EncodeDocumentsResponse | encoder_pb2.EncodeQueriesResponse,
) -> tuple[EncodedText, ...]:
    weights = weights_from_pb(response.term_weights) if response.HasField("term_weights") else []
    codes = codes_from_pb(response.token_codes) if response.HasField("token_codes") else []
    return tuple(_text(item.index, item, w, c) for item, w, c in zip_longest(response.items, weights, codes))


def _text(
    place: int, item: common_pb2.ItemResult, weights: dict[str, float] | None, codes: bytes | None
) -> EncodedText:
    error = item_error(item)
    return EncodedText(
        index=place,
        id=item.id,
        error=error,
        weights=None if error else weights,
        codes=None if error else codes,
        tokens=item.token_count,
        truncated=item.truncated,
        unknown_language=item.unknown_language,
    )
