"""A client for applications: words and mappings in, typed values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack, get_args

from sidecar import config
from sidecar.client import client
from sidecar.client.checks import check_listed
from sidecar.errors import ChercheError, invalid, item_name
from sidecar.values.documents import IngestResult, Json, Outcome, SourceDocument
from sidecar.values.encoded import EncodeResult, RerankResult, Text
from sidecar.values.first_stage import Fusion, Mode
from sidecar.values.index import IndexList, IndexOptions, IndexReport, SetupResult
from sidecar.values.model import Kind, ServedModel
from sidecar.values.search import Explanation, MatchSet, QueryMode, SearchRequest, SearchResult
from sidecar.values.sources import read_document


class SearchOptions(TypedDict, total=False):
    """Options of a search; `sidecar.values.search.SearchRequest` says what each means."""

    mode: Mode
    query_mode: QueryMode
    match_set: MatchSet
    query_terms: int
    first_terms: int | None
    candidates: int
    rerank: bool
    rerank_window: int
    rerank_weight: float | None
    sparse_boost: float | None
    fusion: Fusion
    rank_constant: int
    fusion_window: int
    size: int
    page_token: str
    body: Json
    source_fields: tuple[str, ...]
    include_engine_request: bool
    model: str
    fields: tuple[str, ...]
    paginate: bool
    reranker: str
    passages: int


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What became of the documents of a feed.

    Attributes
    ----------
    documents : int
    outcomes : mapping of outcome → number of documents
        ``encoded``, ``reused``, ``unchanged``, ``no_text``, ``failed``.
    truncated : int
        Documents of which the model read only a part.
    failures : tuple of IngestResult
        Those that are not in the index, each with its error.
    """

    documents: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    truncated: int = 0
    failures: tuple[IngestResult, ...] = ()

    @classmethod
    def of(cls, results: Iterable[IngestResult]) -> FeedReport:
        """Count results."""
        held = tuple(results)
        outcomes = Counter(one.outcome for one in held)
        return cls(
            len(held), dict(outcomes), sum(one.truncated for one in held), tuple(one for one in held if one.error)
        )

    def __add__(self, other: FeedReport) -> FeedReport:
        """Both together."""
        outcomes = Counter(self.outcomes) + Counter(other.outcomes)
        return FeedReport(
            self.documents + other.documents,
            dict(outcomes),
            self.truncated + other.truncated,
            self.failures + other.failures,
        )


class AsyncClient:
    """Talks to a running sidecar; an async context manager.

    It needs neither torch nor transformers. Calls are tried again while the sidecar is unavailable or says when to
    retry, within `timeout`. One bad item of a batch has its own error and never fails its neighbours.

    Parameters
    ----------
    server : str
        host:port; ``https://host:port`` is encrypted. Several sidecars: host:port,host:port or dns:///name:port.
    token : str
        The sidecar's token.
    authorization : str
        Header value (``Basic …``, ``ApiKey …``) that the sidecar forwards to the cluster.
    timeout : float
        Seconds for a call, retries included.
    ca : str, Path or None
        File with the authority to trust, PEM; it encrypts too.
    insecure : bool
        Whether token and authorization may go to another machine in plain text.

    Raises
    ------
    ChercheError
        From every method, with `code`, `reason` and `next_step`; INVALID_ARGUMENT from this one for a secret that no
        header can carry, or that others could read on its way.
    """

    def __init__(
        self,
        server: str = "127.0.0.1:50551",
        *,
        token: str = "",
        authorization: str = "",
        timeout: float = 60.0,
        ca: str | Path | None = None,
        insecure: bool = False,
    ) -> None:
        tls = config.Tls(ca=Path(ca)) if ca is not None else None
        self._client = client.Client(
            server, token=token, authorization=authorization, timeout=timeout, tls=tls, insecure=insecure
        )

    @classmethod
    def from_environment(cls) -> Self:
        """A client of ``CHERCHE_SERVER``, with token, credentials and authority of ``CHERCHE_*`` and ``cherche.toml``.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT where no sidecar is named, or a setting is wrong.
        """
        settings = config.load()
        if not settings.server:
            raise invalid("no sidecar is named", "set CHERCHE_SERVER, or server in cherche.toml")
        made = cls.__new__(cls)
        made._client = client.Client.from_settings(settings)
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def is_ready(self) -> bool:
        """Whether the sidecar's models are loaded and it can answer."""
        return await self._client.is_serving()

    async def search(self, index: str, text: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Hits of an index, alias or pattern; `SearchResult.rerank` and `sparse` say what took part."""
        return await self._client.search(SearchRequest(index, text, **options))

    async def explain(
        self, index: str, text: str, *, ids: Sequence[str] = (), **options: Unpack[SearchOptions]
    ) -> tuple[SearchResult, tuple[Explanation, ...]]:
        """The same, and the terms and tokens behind the score of each hit, or of those named by `ids`."""
        check_listed("ids", ids)
        return await self._client.explain(SearchRequest(index, text, **options), ids)

    async def pages(self, index: str, text: str, **options: Unpack[SearchOptions]) -> AsyncIterator[SearchResult]:
        """All pages of a search, each of the same view of the index; stop when you have enough."""
        request = options | {"paginate": True}
        while True:
            page = await self.search(index, text, **request)
            yield page
            if not page.next_page_token:
                return
            request = request | {"page_token": page.next_page_token}

    async def feed(
        self, index: str, documents: Iterable[Json] | AsyncIterable[Json], *, refresh: bool = True
    ) -> FeedReport:
        """Encode documents and store them; unchanged ones are skipped, so a feed that failed is run again.

        Parameters
        ----------
        index : str
            An index that was set up.
        documents : iterable of mapping, or async iterable
            JSON objects with an ``_id``, or an ``id``; ``_routing`` is the routing value.
        refresh : bool
            Whether the documents can be found when this returns.

        Raises
        ------
        ChercheError
            Where the feed as a whole failed. A document that failed is among the report's failures.
        """
        return await self._feed(index, _numbered(documents), refresh)

    async def _feed(self, index: str, documents: AsyncIterable[tuple[int, Json]], refresh: bool) -> FeedReport:
        refused: list[IngestResult] = []

        async def sound() -> AsyncIterator[SourceDocument]:
            async for place, source in documents:
                try:
                    yield _document(source, place)
                except ChercheError as error:
                    refused.append(IngestResult("", "failed", error))

        results = [result async for result in self._client.index_documents(index, sound(), refresh=refresh)]
        return FeedReport.of([*results, *refused])

    async def encode(self, texts: Sequence[str | Text], *, kind: Kind = "document", model: str = "") -> EncodeResult:
        """Term weights and token codes of texts, in order; `model` is a served one, the default without."""
        items = _texts(texts)
        if kind not in get_args(Kind):
            raise invalid(f"kind is {kind!r}", f"use one of {', '.join(get_args(Kind))}")
        call = self._client.encode_documents if kind == "document" else self._client.encode_queries
        return await call(items, model=model)

    async def rerank(self, query: str, texts: Sequence[str | Text], *, model: str = "") -> RerankResult:
        """Texts in descending order of their MaxSim with a query; `index` of each is its place in `texts`."""
        return await self._client.rerank(query, _texts(texts), model=model)

    async def setup(self, index: str, options: IndexOptions | None = None, *, dry_run: bool = False) -> SetupResult:
        """Add the mapping to an index, new or existing; with `dry_run` only say how."""
        return await self._client.setup_index(index, options or IndexOptions(), dry_run=dry_run)

    async def index(self, name: str) -> IndexReport:
        """How an index was set up, what it holds, and what is to be mended."""
        return await self._client.get_index(name)

    async def indices(self) -> IndexList:
        """The indices that were set up, each with its models, counts and what keeps it from being ready."""
        return await self._client.list_indices()

    async def models(self) -> tuple[ServedModel, ...]:
        """The models that are served."""
        return await self._client.list_models()


def _texts(given: Iterable[str | Text]) -> list[Text]:
    check_listed("texts", given)
    return [one if isinstance(one, Text) else Text(one) for one in given]


def _document(source: Any, place: int) -> SourceDocument:  # noqa: ANN401  # whatever the caller's iterable gives
    if not isinstance(source, Mapping):
        raise invalid(f"document {place} is {type(source).__name__}, not a mapping", "give JSON objects")
    return read_document(source, item_name("document", place, ""))


async def _numbered(documents: Iterable[Json] | AsyncIterable[Json]) -> AsyncIterator[tuple[int, Json]]:
    if isinstance(documents, AsyncIterable):
        place = 0
        async for document in documents:
            yield place, document
            place += 1
    else:
        for numbered in enumerate(documents):
            yield numbered
