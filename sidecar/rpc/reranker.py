"""RerankerService."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import codec, scores
from sidecar.errors import ChercheError, Code, invalid, item_name, naming, precondition
from sidecar.observe import telemetry
from sidecar.pb.cherche.v1 import reranker_pb2, reranker_pb2_grpc
from sidecar.pipeline import Context
from sidecar.pipeline.encoded_texts import scorable_codes
from sidecar.protocols import Encoder
from sidecar.rpc.call import Call, bounded
from sidecar.services import Services
from sidecar.values.model import Encoded
from sidecar.values.search import Timings
from sidecar.wire.columns import codes_from_pb, item_to_pb, timings_to_pb


@dataclass(frozen=True, slots=True)
class _Document:
    """One document to score: its codes or why there are none."""

    id: str
    codes: bytes | None = None
    error: ChercheError | None = None
    truncated: bool = False
    tokens: int = 0


class RerankerServicer(reranker_pb2_grpc.RerankerServiceServicer):
    """MaxSim of a query with texts, or with stored codes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def Rerank(self, request: reranker_pb2.RerankRequest, context: Call) -> reranker_pb2.RerankResponse:
        """Score every document of the request."""
        ours = bounded(self._services, context)
        started = ours.clock()
        encoder = self._services.registry.named(request.model)
        if not encoder.info.late_interaction:
            raise precondition(
                f"model {encoder.info.name!r} has no late-interaction head", "name a ColBERT or joint model"
            )
        query = await self._query(request.query, encoder, ours)
        documents = await self._documents(request, encoder, ours)
        encoded = ours.clock()
        with telemetry.stage("rerank"):
            scored = await asyncio.to_thread(_score, query, documents, ours)
        errors = [document.error for document in documents]
        self._services.count("Rerank", errors, sum(document.truncated for document in documents))
        ended = ours.clock()
        timings = Timings(
            tokenize=query.tokenize,
            queue=query.queue,
            encode=max(0.0, encoded - started - query.tokenize - query.queue),
            rerank=ended - encoded,
            total=ended - started,
        )
        self._services.metrics.stages(timings)
        return reranker_pb2.RerankResponse(
            scores=scored,
            items=[
                item_to_pb(i, one.id, one.error, truncated=one.truncated, tokens=one.tokens)
                for i, one in enumerate(documents)
            ],
            model=encoder.info.name,
            timings=timings_to_pb(timings),
        )

    async def _query(self, text: str, encoder: Encoder, ours: Context) -> Encoded:
        if not text.strip():
            raise invalid("the query is empty", "say what the documents are compared with")
        if len(text) > self._services.limits.query_characters:
            raise invalid(
                f"the query has {len(text):,} characters, the limit is {self._services.limits.query_characters:,}",
                "shorten it, or raise CHERCHE_LIMITS__QUERY_CHARACTERS on the server",
            )
        [encoded] = await encoder.encode([text], "query", lane="query", timeout=ours.remaining())
        if isinstance(encoded, ChercheError):
            raise encoded
        return encoded

    async def _documents(self, request: reranker_pb2.RerankRequest, encoder: Encoder, ours: Context) -> list[_Document]:
        kind = request.WhichOneof("documents")
        if kind == "texts":
            self._services.check_items(len(request.texts.items))
            return await self._from_texts(request.texts, encoder, ours)
        if kind == "codes":
            return self._from_codes(request.codes, encoder)
        raise invalid("the request holds no documents", "send texts or codes")

    async def _from_texts(self, texts: reranker_pb2.TextDocuments, encoder: Encoder, ours: Context) -> list[_Document]:
        documents: dict[int, _Document] = {}
        sound: dict[int, str] = {}
        for place, item in enumerate(texts.items):
            try:
                self._services.check_text(item_name("document", place, item.id), item.text)
                sound[place] = item.text
            except ChercheError as error:
                documents[place] = _Document(item.id, error=error)
        encoded = await encoder.encode(
            list(sound.values()), "document", lane="rerank", max_length=texts.max_length, timeout=ours.remaining()
        )
        for place, one in zip(sound, encoded, strict=True):
            documents[place] = _coded(place, texts.items[place].id, one)
        return [documents[place] for place in range(len(texts.items))]

    def _from_codes(self, coded: reranker_pb2.CodedDocuments, encoder: Encoder) -> list[_Document]:
        codes = codes_from_pb(coded.codes)
        self._services.check_items(len(codes))
        ids = list(coded.ids) or [""] * len(codes)
        if len(ids) != len(codes):
            raise invalid(f"{len(ids)} ids came with {len(codes)} documents", "send one id each, or none")
        pairs = enumerate(zip(ids, codes, strict=True))
        return [_checked(place, id, data, encoder.info.dim) for place, (id, data) in pairs]


def _coded(place: int, id: str, encoded: Encoded | ChercheError) -> _Document:
    name = item_name("document", place, id)
    if isinstance(encoded, ChercheError):
        return _Document(id, error=naming(encoded, name))
    codes = scorable_codes(encoded, name)
    if isinstance(codes, ChercheError):
        return _Document(id, error=codes)
    return _Document(id, codes, truncated=encoded.tokens.truncated, tokens=len(encoded.tokens))


def _checked(place: int, id: str, data: bytes | None, dim: int) -> _Document:
    name = item_name("document", place, id)
    if data is None:
        return _Document(id, error=invalid(f"{name} has no codes", "send its codes, or its text"))
    try:
        header = codec.codes_header(data)
    except codec.CodecError as error:
        return _Document(id, error=invalid(f"{name}: {error}", "send the codes as they were given"))
    if header.dim != dim:
        reason = f"{name} has codes of width {header.dim}, the model's are {dim} wide"
        return _Document(id, error=ChercheError(Code.FAILED_PRECONDITION, reason, "name the model that made them"))
    if not header.tokens:
        return _Document(id, error=invalid(f"{name} has codes of no token", "leave it out"))
    return _Document(id, data, tokens=header.tokens)


def _score(query: Encoded, documents: Sequence[_Document], ours: Context) -> list[reranker_pb2.RerankScore]:
    """Scored documents in descending order of score, ties by position."""
    places = [place for place, document in enumerate(documents) if document.codes is not None]
    embeddings = query.encoding.embeddings
    if embeddings is None or not places:
        return []
    values: scores.Scores = ours.maxsim(embeddings, [documents[place].codes or b"" for place in places])
    order = np.argsort(-values, kind="stable").tolist()
    return [
        reranker_pb2.RerankScore(index=places[i], id=documents[places[i]].id, score=float(values[i])) for i in order
    ]
