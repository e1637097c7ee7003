"""A typed client of a sidecar: values in, values out, errors as `ChercheError`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Literal, Self

from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.client import checks as outgoing
from sidecar.client.calls import PATIENCE, Calls, ReasonLost
from sidecar.client.channel import check_privacy, is_balanced, open_channel
from sidecar.client.stream import Sieve, answers
from sidecar.config import Limits, Settings, Tls
from sidecar.errors import invalid, precondition
from sidecar.pb.cherche.v1 import (
    encoder_pb2,
    encoder_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    reranker_pb2,
    reranker_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from sidecar.values.documents import IngestResult, SourceDocument
from sidecar.values.encoded import DumpedDocument, EncodedText, EncodeResult, RerankResult, Text
from sidecar.values.index import IndexList, IndexOptions, IndexReport, SetupResult
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Removal, UpgradeEvent
from sidecar.values.model import ServedModel
from sidecar.values.search import Explanation, SearchRequest, SearchResult
from sidecar.wire import encode, index, search
from sidecar.wire import maintenance as life
from sidecar.wire.models import model_from_pb

Output = Literal["term_weights", "token_codes"]
_IDS = 4_000  # of one call: a message of 4,096 fields is always taken


class Client:
    """Talks to one sidecar, or to several that serve the same; an async context manager.

    ``host:port,host:port`` and ``dns:///name:port`` stand for several: calls go in turn to those
    that report SERVING. Unary calls are tried again while the sidecar is unavailable
    or says when to retry, within `timeout`. What cannot be sent (too large, lone surrogates) fails
    before it is sent, item by item.

    Parameters
    ----------
    address : str
        host:port, several of them with commas between, or dns:///name:port for all that a name stands for.
    token : str
        The sidecar's token.
    authorization : str
        Header value that the sidecar forwards to the cluster.
    timeout : float
        Seconds for a unary call, retries included.
    limits : Limits
    tls : Tls or None
        Without an authority to trust in it, only ``https://host:port`` is encrypted.
    insecure : bool
        Whether token and authorization may go to another machine in plain text.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a secret that no header can carry, or that others could read on its way.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        authorization: str = "",
        timeout: float = 60.0,
        limits: Limits | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
    ) -> None:
        if (token or authorization) and not insecure:
            check_privacy(address, tls, "the token" if token else "credentials")
        self.address = address
        self._limits = limits or Limits()
        self._calls = Calls(address, outgoing.metadata(token, authorization), timeout)
        self._channel = open_channel(address, tls, self._limits.request_bytes)
        self._encoder = encoder_pb2_grpc.EncoderServiceStub(self._channel)
        self._reranker = reranker_pb2_grpc.RerankerServiceStub(self._channel)
        self._index = index_pb2_grpc.IndexServiceStub(self._channel)
        self._search = search_pb2_grpc.SearchServiceStub(self._channel)
        self._models = model_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    @classmethod
    def from_settings(cls, settings: Settings, address: str = "") -> Self:
        """A client of ``settings.server`` with the token, credentials and authority of the settings."""
        address = address or settings.server
        return cls(
            address,
            token=settings.secret("token"),
            authorization=settings.secret("authorization"),
            timeout=settings.limits.deadline,
            limits=settings.limits,
            tls=settings.tls,
            insecure=settings.insecure,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._channel.close(None)

    async def encode_documents(
        self,
        texts: Iterable[Text],
        *,
        model: str = "",
        outputs: Sequence[Output] = (),
        max_length: int = 0,
        prune: str = "",
    ) -> EncodeResult:
        """Encode documents, in as many requests as their size needs; one item each, in order.

        Raises
        ------
        ChercheError
            Where the call as a whole failed; a text that failed has its own error.
        """
        wanted = encode.outputs_to_pb(outputs)

        async def send(part: Sequence[Text]) -> EncodeResult:
            request = encoder_pb2.EncodeDocumentsRequest(
                model=model, items=encode.items_to_pb(part), outputs=wanted, max_length=max_length, prune=prune
            )
            return encode.documents_from_pb(await self._calls.unary(self._encoder.EncodeDocuments, request))

        return await outgoing.in_parts(list(texts), "document", self._limits, send)

    async def encode_queries(
        self, texts: Iterable[Text], *, model: str = "", outputs: Sequence[Output] = (), prune: str = ""
    ) -> EncodeResult:
        """Encode queries; as `encode_documents`."""
        wanted = encode.outputs_to_pb(outputs)

        async def send(part: Sequence[Text]) -> EncodeResult:
            request = encoder_pb2.EncodeQueriesRequest(
                model=model, items=encode.items_to_pb(part), outputs=wanted, prune=prune
            )
            return encode.queries_from_pb(await self._calls.unary(self._encoder.EncodeQueries, request))

        return await outgoing.in_parts(list(texts), "query", self._limits, send)

    async def stream_documents(
        self,
        texts: AsyncIterable[Text],
        *,
        model: str = "",
        outputs: Sequence[Output] = (),
        max_length: int = 0,
        prune: str = "",
    ) -> AsyncGenerator[EncodedText, None]:
        """Encode a stream of documents; answers come as they are done, with the `index` of their document.

        Raises
        ------
        ChercheError
            Where the stream as a whole failed.
        """
        options = encoder_pb2.StreamOptions(
            model=model, outputs=encode.outputs_to_pb(outputs), max_length=max_length, prune=prune
        )
        sieve = Sieve(self._limits, outgoing.text_problem)

        async def requests() -> AsyncIterator[encoder_pb2.StreamDocumentsRequest]:
            yield encoder_pb2.StreamDocumentsRequest(options=options)
            async for text in sieve.sound(texts):
                [item] = encode.items_to_pb([text])
                yield encoder_pb2.StreamDocumentsRequest(item=item)

        call = self._calls.stream(self._encoder.StreamDocuments, requests())
        try:
            async with aclosing(answers(self._calls, call, sieve)) as responses:
                async for response in responses:
                    for place, text, error in sieve.refused():
                        yield EncodedText(place, text.id, error)
                    yield encode.streamed_from_pb(response, sieve.original(response.item.index))
        except ReasonLost:
            # The same options in a unary call: its status says why the stream was refused.
            await self.encode_documents([], model=model, outputs=outputs, max_length=max_length, prune=prune)
            raise
        for place, text, error in sieve.refused():
            yield EncodedText(place, text.id, error)

    async def rerank(self, query: str, texts: Sequence[Text], *, model: str = "", max_length: int = 0) -> RerankResult:
        """MaxSim of a query with texts.

        Raises
        ------
        ChercheError
            Where the call as a whole failed; a text that failed is among the failures.
        """
        outgoing.check_query(query, self._limits)
        sound, refused = outgoing.sift(texts, "document", self._limits)
        documents = reranker_pb2.TextDocuments(
            items=encode.items_to_pb([texts[place] for place in sound]), max_length=max_length
        )
        request = reranker_pb2.RerankRequest(model=model, query=query, texts=documents)
        response = await self._calls.unary(self._reranker.Rerank, request)
        return encode.reranked_from_pb(response, sound, {place: (texts[place].id, e) for place, e in refused.items()})

    async def rerank_codes(
        self, query: str, codes: Sequence[bytes], *, ids: Sequence[str] = (), model: str = ""
    ) -> RerankResult:
        """MaxSim of a query with token codes that the same model made."""
        outgoing.check_query(query, self._limits)
        coded = reranker_pb2.CodedDocuments(ids=ids, codes=encode.codes_to_pb(codes))
        request = reranker_pb2.RerankRequest(model=model, query=query, codes=coded)
        response = await self._calls.unary(self._reranker.Rerank, request)
        return encode.reranked_from_pb(response, list(range(len(codes))), {})

    async def setup_index(self, name: str, options: IndexOptions, *, dry_run: bool = False) -> SetupResult:
        """Add the mapping to an index; with `dry_run` only say how."""
        request = index_pb2.SetupIndexRequest(index=name, options=index.options_to_pb(options), dry_run=dry_run)
        return index.setup_from_pb(await self._calls.unary(self._index.SetupIndex, request, PATIENCE))

    async def get_index(self, name: str) -> IndexReport:
        """How an index was set up and what it holds."""
        request = index_pb2.GetIndexRequest(index=name)
        return index.report_from_pb(await self._calls.unary(self._index.GetIndex, request))

    async def list_indices(self) -> IndexList:
        """The indices that were set up, and how each stands."""
        return index.list_from_pb(await self._calls.unary(self._index.ListIndices, index_pb2.ListIndicesRequest()))

    async def index_documents(
        self, name: str, documents: AsyncIterable[SourceDocument], *, refresh: bool = True
    ) -> AsyncGenerator[IngestResult, None]:
        """Feed documents; one result each. Only what the engine acknowledged has no error.

        Raises
        ------
        ChercheError
            Where the feed as a whole failed; what was not answered by then is unknown.
        """
        sieve = Sieve(self._limits, outgoing.document_problem)

        async def requests() -> AsyncIterator[index_pb2.IndexDocumentsRequest]:
            yield index_pb2.IndexDocumentsRequest(target=index_pb2.IndexTarget(index=name, refresh=refresh))
            async for document in sieve.sound(documents):
                source = index_pb2.SourceDocument(id=document.id, source_json=document.raw, routing=document.routing)
                yield index_pb2.IndexDocumentsRequest(document=source)

        call = self._calls.stream(self._index.IndexDocuments, requests())
        try:
            async with aclosing(answers(self._calls, call, sieve)) as responses:
                async for response in responses:
                    for _, document, error in sieve.refused():
                        yield IngestResult(document.id, "failed", error)
                    yield index.ingested_from_pb(response)
        except ReasonLost:
            report = await self.get_index(name)
            if report.findings and not report.served:
                raise precondition(report.findings[0]) from None
            raise
        for _, document, error in sieve.refused():
            yield IngestResult(document.id, "failed", error)

    async def remove_index(self, name: str, *, dry_run: bool = False, version_type: str = "") -> Removal:
        """Take everything out again, or with `dry_run` say what that would do; `version_type` as of a backfill."""
        request = index_pb2.RemoveIndexRequest(index=name, dry_run=dry_run, version_type=version_type)
        return index.removal_from_pb(await self._calls.unary(self._index.RemoveIndex, request, PATIENCE))

    async def dump_index(
        self, name: str, *, ids: Sequence[str] = (), sample: int = 0
    ) -> AsyncGenerator[DumpedDocument, None]:
        """What is stored beside each document, in rising order of id (on Elasticsearch in any).

        Or only of `ids`, those of them that are there; or of about `sample` documents, the same each time.
        """
        for part in [ids[at : at + _IDS] for at in range(0, len(ids), _IDS)] or [()]:
            request = index_pb2.DumpIndexRequest(index=name, ids=part, sample=sample)
            async with aclosing(self._calls.responses(self._calls.stream(self._index.DumpIndex, request))) as responses:
                async for response in responses:
                    yield index.dumped_from_pb(response)

    async def backfill_index(self, name: str, options: BackfillOptions) -> AsyncGenerator[BackfillEvent, None]:
        """Encode what an index holds and is not encoded; leaving early ends the work, and what was done stays.

        Raises
        ------
        ChercheError
            As `sidecar.maintenance.backfill`.
        """
        call = self._calls.stream(self._index.BackfillIndex, life.backfill_to_pb(name, options))
        async with aclosing(self._calls.responses(call)) as responses:
            async for response in responses:
                yield life.event_from_pb(response)

    async def upgrade_index(
        self,
        name: str,
        step: life.Step,
        options: IndexOptions | None = None,
        *,
        shadow: str = "",
        settings: BackfillOptions | None = None,
        replace: bool = False,
    ) -> AsyncGenerator[UpgradeEvent, None]:
        """One step of an upgrade; leaving early ends it, and what was copied stays.

        Parameters
        ----------
        replace : bool
            Let an alias take the place of an index.

        Raises
        ------
        ChercheError
            As `sidecar.maintenance.upgrade`.
        """
        given = settings or BackfillOptions()
        request = index_pb2.UpgradeIndexRequest(
            index=name,
            step=life.STEPS[step],
            options=index.options_to_pb(options or IndexOptions()),
            shadow=shadow,
            checkpoint=given.checkpoint,
            dry_run=given.dry_run,
            search_slowdown=given.search_slowdown,
            ignore_disk=given.ignore_disk,
            replace=replace,
        )
        call = self._calls.stream(self._index.UpgradeIndex, request)
        async with aclosing(self._calls.responses(call)) as responses:
            async for response in responses:
                yield life.upgrade_event_from_pb(response)

    async def search(self, request: SearchRequest) -> SearchResult:
        """Find hits."""
        outgoing.check_search(request, self._limits)
        response = await self._calls.unary(self._search.Search, search.request_to_pb(request))
        return search.result_from_pb(response)

    async def explain(
        self, request: SearchRequest, ids: Sequence[str] = ()
    ) -> tuple[SearchResult, tuple[Explanation, ...]]:
        """Find hits and say why each is where it is; only those named by `ids`, where any are."""
        outgoing.check_search(request, self._limits)
        wanted = search_pb2.ExplainRequest(search=search.request_to_pb(request), ids=ids)
        response = await self._calls.unary(self._search.Explain, wanted)
        explanations = tuple(search.explanation_from_pb(one) for one in response.explanations)
        return search.result_from_pb(response.search), explanations

    async def list_models(self) -> tuple[ServedModel, ...]:
        """The models the sidecar serves."""
        response = await self._calls.unary(self._models.ListModels, model_pb2.ListModelsRequest())
        return tuple(model_from_pb(model) for model in response.models)

    async def get_model(self, name: str) -> ServedModel:
        """One model."""
        response = await self._calls.unary(self._models.GetModel, model_pb2.GetModelRequest(name=name))
        return model_from_pb(response.model)

    async def load_model(self, name: str, source: str) -> ServedModel:
        """Load a model from a folder on the server or a hub id, and wait until it is warm.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT where the address stands for several sidecars.
        """
        self._check_single()
        request = model_pb2.LoadModelRequest(name=name, source=source)
        return model_from_pb((await self._calls.unary(self._models.LoadModel, request, PATIENCE)).model)

    async def unload_model(self, name: str) -> None:
        """Free a model; as `load_model` of one sidecar only."""
        self._check_single()
        await self._calls.unary(self._models.UnloadModel, model_pb2.UnloadModelRequest(name=name), PATIENCE)

    def _check_single(self) -> None:
        if is_balanced(self.address):
            raise invalid(
                f"{self.address} stands for several sidecars, and models are loaded into one",
                "name each sidecar in turn, or start all of them with the model",
            )

    async def is_serving(self, service: str = "") -> bool:
        """Whether a service, such as ``cherche.v1.SearchService``, or all of them can answer now."""
        response = await self._calls.unary(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
