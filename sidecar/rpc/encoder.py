"""EncoderService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cherche_models import codec
from cherche_models.prune import Prune
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, invalid, item_name, naming
from sidecar.pb.cherche.v1 import common_pb2, encoder_pb2, encoder_pb2_grpc
from sidecar.pipeline.encode import name_of
from sidecar.pipeline.encoded_texts import leaving_weights, slowest
from sidecar.pipeline.fingerprint import codes_fingerprint, sparse_fingerprint
from sidecar.pipeline.stream import as_completed
from sidecar.protocols import Encoder
from sidecar.rpc.call import Call, fitting, remaining
from sidecar.services import Services
from sidecar.values.index import DEFAULT_CODEC, Fingerprint
from sidecar.values.model import Encoded, Kind, Lane
from sidecar.values.search import Timings
from sidecar.wire.columns import codes_to_pb, fingerprint_to_pb, item_to_pb, timings_to_pb, weights_to_pb

NAMING = "escaped"
_FEW = 4

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How texts are to be encoded."""

    encoder: Encoder
    kind: Kind
    lane: Lane
    weights: bool
    codes: bool
    max_length: int
    prune: Prune


@dataclass(frozen=True, slots=True)
class _Result:
    """One encoded text as it leaves."""

    encoded: Encoded
    weights: TermWeights | None
    codes: bytes | None


class EncoderServicer(encoder_pb2_grpc.EncoderServiceServicer):
    """Text to term weights and token codes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def EncodeDocuments(
        self,
        request: encoder_pb2.EncodeDocumentsRequest,
        context: Call,
    ) -> encoder_pb2.EncodeDocumentsResponse:
        """Encode a batch of documents."""
        wanted = self._wanted(request.model, "document", request.outputs, request.max_length, request.prune)
        results, timings = await self._encode(request.items, wanted, remaining(self._services, context))
        weights, codes = await _unblocked(len(results), partial(_columns, results, wanted))
        self._count("EncodeDocuments", results)
        return fitting(
            self._services,
            encoder_pb2.EncodeDocumentsResponse(
                items=_items_of(request.items, results),
                term_weights=weights,
                token_codes=codes,
                model=wanted.encoder.info.name,
                fingerprint=fingerprint_to_pb(_fingerprint(wanted)),
                timings=timings_to_pb(timings),
            ),
        )

    async def EncodeQueries(
        self,
        request: encoder_pb2.EncodeQueriesRequest,
        context: Call,
    ) -> encoder_pb2.EncodeQueriesResponse:
        """Encode a batch of queries."""
        wanted = self._wanted(request.model, "query", request.outputs, 0, request.prune)
        results, timings = await self._encode(request.items, wanted, remaining(self._services, context))
        weights, codes = await _unblocked(len(results), partial(_columns, results, wanted))
        self._count("EncodeQueries", results)
        return fitting(
            self._services,
            encoder_pb2.EncodeQueriesResponse(
                items=_items_of(request.items, results),
                term_weights=weights,
                token_codes=codes,
                model=wanted.encoder.info.name,
                timings=timings_to_pb(timings),
            ),
        )

    async def StreamDocuments(
        self,
        request_iterator: AsyncIterator[encoder_pb2.StreamDocumentsRequest],
        context: Call,
    ) -> AsyncIterator[encoder_pb2.StreamDocumentsResponse]:
        """Encode documents as they come; each is answered on its own."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        if first.WhichOneof("message") != "options":
            raise invalid("the stream does not begin with its options", "send options first, then documents")
        options = first.options
        wanted = self._wanted(options.model, "document", options.outputs, options.max_length, options.prune)

        async def answer(numbered: tuple[int, common_pb2.TextItem]) -> encoder_pb2.StreamDocumentsResponse:
            index, text = numbered
            [result] = await self._patiently([text], wanted, index)
            weights, codes = _columns([result], wanted)
            self._count("StreamDocuments", [result])
            item = _item(index, text.id, result)
            return encoder_pb2.StreamDocumentsResponse(item=item, term_weights=weights, token_codes=codes)

        limit = self._services.limits.stream_in_flight
        async with aclosing(as_completed(_items(request_iterator), answer, limit)) as answers:
            async for response in answers:
                yield response

    def _wanted(self, model: str, kind: Kind, outputs: encoder_pb2.Outputs, max_length: int, prune: str) -> _Wanted:
        encoder = self._services.registry.named(model)
        info = encoder.info
        longest = info.max_document_length
        if max_length > longest:
            raise invalid(f"max_length is {max_length}, model {info.name!r} reads at most {longest}", "ask for less")
        both = not (outputs.term_weights or outputs.token_codes)
        return _Wanted(
            encoder=encoder,
            kind=kind,
            lane="query" if kind == "query" else "ingest",
            weights=info.sparse and (both or outputs.term_weights),
            codes=info.late_interaction and (both or outputs.token_codes),
            max_length=max_length,
            prune=_prune(prune),
        )

    async def _encode(
        self, texts: Sequence[common_pb2.TextItem], wanted: _Wanted, timeout: float | None, first: int = 0
    ) -> tuple[list[_Result | ChercheError], Timings]:
        """One result per text, in order."""
        self._services.check_items(len(texts))
        clock = self._services.base.clock
        started = clock()
        results: dict[int, _Result | ChercheError] = {}
        sound: dict[int, str] = {}
        for place, item in enumerate(texts):
            try:
                self._services.check_text(item_name(wanted.kind, first + place, item.id), item.text)
                sound[place] = item.text
            except ChercheError as error:
                results[place] = error
        encoded = await wanted.encoder.encode(
            list(sound.values()), wanted.kind, lane=wanted.lane, max_length=wanted.max_length, timeout=timeout
        )
        finished = await _unblocked(len(encoded), partial(_finish_all, encoded, wanted))
        for place, result in zip(sound, finished, strict=True):
            named = item_name(wanted.kind, first + place, texts[place].id)
            results[place] = naming(result, named) if isinstance(result, ChercheError) else result
        timings = slowest([e for e in encoded if isinstance(e, Encoded)], clock() - started)
        self._services.metrics.stages(timings)
        return [results[place] for place in range(len(texts))], timings

    async def _patiently(
        self, texts: Sequence[common_pb2.TextItem], wanted: _Wanted, first: int
    ) -> list[_Result | ChercheError]:
        """A stream that meets a full queue waits: its caller feels it as back-pressure."""
        while True:
            try:
                results, _ = await self._encode(texts, wanted, None, first)
            except ChercheError as error:
                if error.retry_after is None:
                    raise
                await asyncio.sleep(error.retry_after)
            else:
                return results

    def _count(self, method: str, results: Sequence[_Result | ChercheError]) -> None:
        errors = [result if isinstance(result, ChercheError) else None for result in results]
        truncated = sum(isinstance(result, _Result) and result.encoded.tokens.truncated for result in results)
        self._services.count(method, errors, truncated)


async def _unblocked(texts: int, work: Callable[[], R]) -> R:
    """Work on many texts in a thread; on few at once, as a thread would take longer to begin."""
    return work() if texts <= _FEW else await asyncio.to_thread(work)


async def _items(
    requests: AsyncIterator[encoder_pb2.StreamDocumentsRequest],
) -> AsyncIterator[tuple[int, common_pb2.TextItem]]:
    index = 0
    async for request in requests:
        if request.WhichOneof("message") != "item":
            raise invalid(f"message {index + 1} of the stream holds no document", "send options once, then documents")
        yield index, request.item
        index += 1


def _finish_all(encoded: Sequence[Encoded | ChercheError], wanted: _Wanted) -> list[_Result | ChercheError]:
    return [one if isinstance(one, ChercheError) else _finish(one, wanted) for one in encoded]


def _finish(encoded: Encoded, wanted: _Wanted) -> _Result | ChercheError:
    """Prune and pack what is wanted of one text."""
    encoding = encoded.encoding
    try:
        sparse = encoding.weights if wanted.weights else None
        weights = None if sparse is None else leaving_weights(sparse, wanted.kind, wanted.prune)
        embeddings = encoding.embeddings if wanted.codes else None
        codes = None if embeddings is None else codec.pack_codes(embeddings, DEFAULT_CODEC)
    except ValueError as error:
        return ChercheError(Code.INTERNAL, str(error), "check the model with: cherche doctor")
    return _Result(encoded, weights, codes)


def _columns(
    results: Sequence[_Result | ChercheError], wanted: _Wanted
) -> tuple[common_pb2.TermWeightsBatch | None, common_pb2.TokenCodes | None]:
    held = [result if isinstance(result, _Result) else None for result in results]
    name = partial(_name, wanted.encoder.info.vocabulary)
    weights = weights_to_pb([r.weights if r else None for r in held], name) if wanted.weights else None
    codes = codes_to_pb([r.codes if r else None for r in held]) if wanted.codes else None
    return weights, codes


def _name(vocabulary: Sequence[str], i: int) -> str:
    return name_of(vocabulary, i, NAMING)


def _items_of(
    texts: Sequence[common_pb2.TextItem], results: Sequence[_Result | ChercheError]
) -> list[common_pb2.ItemResult]:
    pairs = zip(texts, results, strict=True)
    return [_item(index, text.id, result) for index, (text, result) in enumerate(pairs)]


def _item(index: int, id: str, result: _Result | ChercheError) -> common_pb2.ItemResult:
    if isinstance(result, ChercheError):
        return item_to_pb(index, id, result)
    tokens, unknown_language = result.encoded.tokens, result.encoded.encoding.unknown_language
    return item_to_pb(index, id, truncated=tokens.truncated, tokens=len(tokens), unknown_language=unknown_language)


def _fingerprint(wanted: _Wanted) -> Fingerprint:
    """What an index would be stamped with for these options; "" for a head that is not there."""
    info = wanted.encoder.info
    length = wanted.max_length or info.max_document_length
    sparse = sparse_fingerprint(info, max_length=length, prune=str(wanted.prune), naming=NAMING)
    codes = codes_fingerprint(info, max_length=length, codec=DEFAULT_CODEC)
    return Fingerprint(sparse if info.sparse else "", codes if info.late_interaction else "")


def _prune(text: str) -> Prune:
    try:
        return Prune.parse(text or "none")
    except ValueError as error:
        raise invalid(str(error)) from None
