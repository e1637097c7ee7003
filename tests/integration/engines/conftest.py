"""One bench for all engines: a fresh index, short ways to fill and to search it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opensearchpy import AIOHttpConnection

from cherche_models import codec, grid, naming
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request, _Connection
from sidecar.errors import ChercheError
from sidecar.protocols import Engine
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.first_stage import EnginePage, Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField

CLUSTERS = ("opensearch", "elasticsearch")
ENGINES = ("embedded", *CLUSTERS)

# Position = vocabulary id. Names that engines are known to trip over stand beside ordinary ones.
VOCABULARY = (
    *("sun", "moon", "star", ".", "..", "##s", "%", "%41", "50%", "a b", "3.5", "\t", "\x85", "\u2028"),
    *("日本", "🙂", "é", '"', "\\", "*", "^", "a.b.c", "_id", "{{text}}", "#", "A", "a"),
)
NAMES = tuple(naming.feature_names(VOCABULARY))
FIELDS = (TextField("title"), TextField("text"))
META = IndexMeta(model="tiny", fingerprint=Fingerprint("f" * 64, "c" * 64), fields=FIELDS, max_length=128)


def hash_of(text: str) -> str:
    """A hash as documents have it."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Bench:
    """An engine and an index of its own that was set up."""

    engine: Engine
    index: str
    meta: IndexMeta = META
    vocabulary: tuple[str, ...] = VOCABULARY
    names: tuple[str, ...] = NAMES

    def weights(self, weights: Mapping[str, float]) -> TermWeights:
        """Weights by token, as a model would give them: on the grid."""
        raw = TermWeights.from_pairs((self.vocabulary.index(token), weight) for token, weight in weights.items())
        return TermWeights(raw.ids, grid.round_to_grid(raw.weights))

    def document(
        self, id: str, text: str = "", weights: Mapping[str, float] | TermWeights | None = None, **source: Any
    ) -> StoredDocument:
        """A document as the pipeline writes it; without weights it has none to store yet."""
        body = {"text": text, **source}
        if weights is None:
            return StoredDocument(id, body, hash_of(id), "pending")
        terms = weights if isinstance(weights, TermWeights) else self.weights(weights)
        return StoredDocument(
            id=id,
            source=body,
            hash=hash_of(id),
            state="ok",
            features={NAMES[i]: weight for i, weight in terms.items()},
            terms=codec.pack_terms(terms),
            codes=codec.pack_codes(TokenEmbeddings(np.full((2, 4), len(id) / 100, np.float32))),
        )

    async def write(self, *documents: StoredDocument) -> list[WriteResult]:
        """Write and make searchable."""
        results = await self.engine.write(self.index, documents)
        await self.engine.refresh(self.index)
        return results

    async def fill(self, *documents: StoredDocument) -> None:
        """Write what must succeed."""
        results = await self.write(*documents)
        assert [(result.id, result.error) for result in results] == [(d.id, None) for d in documents]

    async def search(
        self, text: str = "", weights: Mapping[str, float] | TermWeights | None = None, **options: Any
    ) -> EnginePage:
        """Search; without a mode, in the one that the arguments call for."""
        mode = "hybrid" if text and weights else "bm25" if text else "sparse"
        terms = weights if isinstance(weights, TermWeights) else self.weights(weights or {})
        clauses = tuple(SparseClause(i, NAMES[i], weight) for i, weight in terms.items())
        query = {"mode": mode, "fields": FIELDS, "clauses": clauses, **options}
        return await self.engine.search(self.index, Query(text, **query))


@pytest.fixture
def index() -> str:
    """A name that nobody used."""
    return f"cherche-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = EmbeddedEngine(tmp_path / "engine.db")
    yield engine
    await engine.aclose()


@pytest.fixture
async def opensearch(opensearch_url: str, index: str) -> AsyncIterator[Engine]:
    async for engine in connected(opensearch_url, index):
        yield engine


@pytest.fixture
async def elasticsearch(elasticsearch_url: str, index: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(_Connection, "_raise_warnings", AIOHttpConnection._raise_warnings)
    async for engine in connected(elasticsearch_url, index):
        yield engine


async def connected(url: str, index: str) -> AsyncIterator[Engine]:
    """An engine on a cluster, which loses the test's index afterwards."""
    engine = OpenSearchEngine.connect(url)
    yield engine
    with suppress(ChercheError):
        await engine._http.send(Request("DELETE", f"/{index}"), what="test")
    await engine.aclose()


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(engine_name: str, request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.getfixturevalue(engine_name)
    return found


@pytest.fixture
async def bench(engine: Engine, index: str) -> Bench:
    """An empty index of each engine in turn."""
    await engine.setup(index, META)
    return Bench(engine, index)


@pytest.fixture(params=CLUSTERS)
def peer(request: pytest.FixtureRequest) -> Engine:
    """The engine on each cluster in turn."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def benches(embedded: Engine, peer: Engine, index: str) -> tuple[Bench, Bench]:
    """The same empty index in the embedded engine and in a cluster."""
    for engine in (embedded, peer):
        await engine.setup(index, META)
    return Bench(embedded, index), Bench(peer, index)
