"""An index of its own over each engine in turn, and models behind batchers."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.maintenance.setup import setup
from sidecar.models.admission import BatchOptions
from sidecar.models.registry import Registry
from sidecar.pipeline import Context, PageSigner, ingest, search
from sidecar.protocols import Engine
from sidecar.testing import FakeModel
from sidecar.values.documents import IngestResult, SourceDocument, StoredDocument
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest, SearchResult

ENGINES = ("embedded", "opensearch", "elasticsearch")


SYNONYMS = {"automobile": "car", "physician": "doctor", "purchase": "buy"}


SUBJECTS = ("car", "doctor", "boat", "garden", "winter", "music", "bread", "river")


VERBS = ("buy", "sell", "paint", "repair", "watch", "carry")


def corpus(count: int = 60) -> list[SourceDocument]:
    """Texts of a subject, a verb and a tail that differs in length, with a field that is not encoded."""
    documents = []
    for i in range(count):
        subject, verb = SUBJECTS[i % 8], VERBS[i % 6]
        text = f"how to {verb} a {subject} in the town {' '.join(['again'] * (i % 5))}"
        source = {"title": f"{subject} number {i}", "text": text, "year": 1900 + i}
        documents.append(SourceDocument(f"doc-{i:03}", json.dumps(source).encode()))
    return documents


@dataclass
class Bench:
    """An index of its own, and models behind batchers."""

    engine: Engine
    models: Sequence[Any]
    index: str = "articles"
    options: BatchOptions = field(default_factory=lambda: BatchOptions(tokens=256))

    async def __aenter__(self) -> Bench:
        served = {model.info.name: model for model in self.models}
        self.registry = Registry(lambda name, _: served[name], self.models[0].info.name, options=lambda _: self.options)
        for name in served:
            await self.registry.load(name, "in memory")
        self.forget_passes()
        self.context = Context(self.engine, self.registry, PageSigner(b"k" * 16))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.registry.aclose()

    @property
    def passes(self) -> list[int]:
        """Texts that each model encoded since the last `forget_passes`."""
        return [sum(map(len, model.batches)) for model in self.models]

    def forget_passes(self) -> None:
        for model in self.models:
            if isinstance(model, FakeModel):
                model.batches.clear()

    async def set_up(self, **options: Any) -> Any:
        return await setup(self.index, IndexOptions(**options), self.context, dry_run=False)

    async def feed(self, documents: Sequence[SourceDocument], **options: Any) -> list[IngestResult]:
        async def arriving() -> AsyncIterator[SourceDocument]:
            for document in documents:
                yield document

        async with aclosing(ingest(arriving(), self.index, self.context, **options)) as results:
            return [result async for result in results]

    async def ask(self, text: str, **options: Any) -> SearchResult:
        return await search(SearchRequest(self.index, text, **options), self.context)

    async def dump(self) -> list[StoredDocument]:
        await self.engine.refresh(self.index)
        return [document async for document in self.engine.scan(self.index)]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    yield engine
    await engine.aclose()


@pytest.fixture
async def opensearch(opensearch_url: str) -> AsyncIterator[Engine]:
    engine = OpenSearchEngine.connect(opensearch_url)
    yield engine
    await engine.aclose()


@pytest.fixture
async def elasticsearch(elasticsearch_url: str) -> AsyncIterator[Engine]:
    engine = OpenSearchEngine.connect(elasticsearch_url)
    yield engine
    await engine.aclose()


@pytest.fixture
def engine(engine_name: str, request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.getfixturevalue(engine_name)
    return found


@pytest.fixture
def index(engine_name: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that nobody used; a cluster loses it afterwards."""
    name = f"cherche-test-{uuid.uuid4().hex[:12]}"
    yield name
    if engine_name != "embedded":
        url = request.getfixturevalue(f"{engine_name}_url").rstrip("/")
        for suffix in ("", "-other", "-lean"):
            with suppress(HTTPError):
                gone = urllib.request.Request(f"{url}/{name}{suffix}", method="DELETE")
                urllib.request.urlopen(gone, timeout=30).close()


@pytest.fixture
async def bench(engine: Engine, index: str) -> AsyncIterator[Bench]:
    """One joint model over each engine in turn; nothing set up yet."""
    async with Bench(engine, [FakeModel(synonyms=SYNONYMS)], index) as bench:
        yield bench


@pytest.fixture
async def filled(bench: Bench) -> Bench:
    await bench.set_up()
    results = await bench.feed(corpus())
    assert {result.outcome for result in results} == {"encoded"}
    bench.forget_passes()
    return bench


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]
