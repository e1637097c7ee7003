"""The same client for programs without an event loop, and for notebooks, which have one already."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

from sidecar.client.asynchronous import AsyncClient, FeedReport, SearchOptions
from sidecar.errors import precondition
from sidecar.values.documents import Json
from sidecar.values.encoded import EncodeResult, RerankResult, Text
from sidecar.values.index import IndexList, IndexOptions, IndexReport, SetupResult
from sidecar.values.model import Kind, ServedModel
from sidecar.values.search import Explanation, SearchResult

T = TypeVar("T")
_PART = 256  # documents of a feed that are sent together


class Client:
    """`AsyncClient` with calls that wait; a context manager, and safe to use from several threads.

    Parameters and errors are those of `AsyncClient`. Calls run on an event loop in a thread of the client's own, which
    ends with `close`.
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
        self._start(
            lambda: AsyncClient(
                server, token=token, authorization=authorization, timeout=timeout, ca=ca, insecure=insecure
            )
        )

    @classmethod
    def from_environment(cls) -> Self:
        """See `AsyncClient.from_environment`."""
        made = cls.__new__(cls)
        made._start(AsyncClient.from_environment)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        if not self._loop.is_closed():
            self._run(self._client.aclose())
            self._stop()

    def is_ready(self) -> bool:
        """See `AsyncClient.is_ready`."""
        return self._run(self._client.is_ready())

    def search(self, index: str, text: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """See `AsyncClient.search`."""
        return self._run(self._client.search(index, text, **options))

    def explain(
        self, index: str, text: str, *, ids: Sequence[str] = (), **options: Unpack[SearchOptions]
    ) -> tuple[SearchResult, tuple[Explanation, ...]]:
        """See `AsyncClient.explain`."""
        return self._run(self._client.explain(index, text, ids=ids, **options))

    def pages(self, index: str, text: str, **options: Unpack[SearchOptions]) -> Iterator[SearchResult]:
        """See `AsyncClient.pages`."""
        request = options | {"paginate": True}
        while True:
            page = self.search(index, text, **request)
            yield page
            if not page.next_page_token:
                return
            request = request | {"page_token": page.next_page_token}

    def feed(self, index: str, documents: Iterable[Json], *, refresh: bool = True) -> FeedReport:
        """See `AsyncClient.feed`; the documents are read in the caller's thread, as a database's cursor wants it."""
        report, parts = FeedReport(), _parts(documents)
        part = next(parts, [])
        while True:
            following = next(parts, [])
            # Only the last part waits until all can be found.
            fed = self._client._feed(index, _given(part), refresh=refresh and not following)
            report += self._run(fed)
            if not following:
                return report
            part = following

    def encode(self, texts: Sequence[str | Text], *, kind: Kind = "document", model: str = "") -> EncodeResult:
        """See `AsyncClient.encode`."""
        return self._run(self._client.encode(texts, kind=kind, model=model))

    def rerank(self, query: str, texts: Sequence[str | Text], *, model: str = "") -> RerankResult:
        """See `AsyncClient.rerank`."""
        return self._run(self._client.rerank(query, texts, model=model))

    def setup(self, index: str, options: IndexOptions | None = None, *, dry_run: bool = False) -> SetupResult:
        """See `AsyncClient.setup`."""
        return self._run(self._client.setup(index, options, dry_run=dry_run))

    def index(self, name: str) -> IndexReport:
        """See `AsyncClient.index`."""
        return self._run(self._client.index(name))

    def indices(self) -> IndexList:
        """See `AsyncClient.indices`."""
        return self._run(self._client.indices())

    def models(self) -> tuple[ServedModel, ...]:
        """See `AsyncClient.models`."""
        return self._run(self._client.models())

    def _start(self, make: Callable[[], AsyncClient]) -> None:
        """Start the thread, and make the client there: a channel belongs to the loop that it is made in."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cherche-client", daemon=True)
        self._thread.start()

        async def made() -> AsyncClient:
            return make()

        try:
            self._client = self._run(made())
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            call.close()
            raise precondition("this client is closed", "make another one")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:  # such as Ctrl-C, which reaches this thread alone
            future.cancel()
            raise


def _parts(documents: Iterable[Json]) -> Iterator[list[tuple[int, Json]]]:
    numbered = enumerate(documents)
    while part := list(itertools.islice(numbered, _PART)):
        yield part


async def _given(part: Iterable[tuple[int, Json]]) -> AsyncIterator[tuple[int, Json]]:
    for numbered in part:
        yield numbered
