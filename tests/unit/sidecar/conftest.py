"""A model without a batcher and an engine without a store: what happens is what the test says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cherche_models.types import Tokens
from sidecar.errors import ChercheError, Code, not_found
from sidecar.maintenance.setup import resolve
from sidecar.pipeline import Context, PageSigner
from sidecar.testing import FakeModel
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.first_stage import EngineHit, EnginePage, Query
from sidecar.values.index import (
    EngineInfo,
    Gaps,
    Identity,
    IndexGroup,
    IndexMeta,
    IndexOptions,
    IndexStats,
    SetupPlan,
    TextField,
)
from sidecar.values.maintenance import Removal
from sidecar.values.model import Encoded, Kind, Lane, ModelDescription

INDEX = "articles"


@dataclass
class FakeEncoder:
    """Encodes at once, text by text; `refusals` are raised first, one a call."""

    model: FakeModel
    refusals: list[ChercheError] = field(default_factory=list)
    calls: list[tuple[Kind, int]] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    idfs: dict[int, float] | None = None

    @property
    def info(self) -> ModelDescription:
        return self.model.info

    async def tokenize(
        self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False
    ) -> list[Tokens]:
        if any("unreadable" in text for text in texts):
            raise ChercheError(Code.INTERNAL, "this text cannot be cut into tokens")
        return self.model.tokenize(texts, kind, max_length)

    async def encode(
        self, texts: Sequence[str], kind: Kind, *, lane: Lane, max_length: int = 0, timeout: float | None = None
    ) -> list[Encoded | ChercheError]:
        return await self.encode_tokens(self.model.tokenize(texts, kind, max_length), kind, lane=lane, timeout=timeout)

    async def encode_tokens(
        self, tokens: Sequence[Tokens], kind: Kind, *, lane: Lane, timeout: float | None = None
    ) -> list[Encoded | ChercheError]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.calls.append((kind, len(tokens)))
        self.lanes.append(lane)
        return [self._one(one, kind) for one in tokens]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        return self.model.kept(tokens, kind)

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        return self.idfs

    def _one(self, tokens: Tokens, kind: Kind) -> Encoded | ChercheError:
        try:
            [encoding] = self.model.encode([tokens], kind)
        except ValueError as error:
            return ChercheError(Code.INTERNAL, str(error))
        return Encoded(tokens, encoding, tokenize=0.25, queue=0.5, encode=1.0)


@dataclass
class FakeEncoders:
    """The first one is the default."""

    encoders: list[FakeEncoder]
    loading: set[str] = field(default_factory=set)

    def named(self, name: str) -> FakeEncoder:
        if name in self.loading:
            raise ChercheError(Code.UNAVAILABLE, f"model {name!r} is being loaded")
        found = [one for one in self.encoders if name in ("", one.info.name)]
        if not found:
            raise not_found(f"model {name!r} is not served")
        return found[0]

    def ready(self) -> tuple[FakeEncoder, ...]:
        return tuple(self.encoders)


@dataclass
class FakeEngine:
    """Documents in a dict. BM25 is the number of query words that a document has."""

    metas: dict[str, IndexMeta | None] = field(default_factory=dict)
    documents: dict[str, StoredDocument] = field(default_factory=dict)
    refused: dict[str, ChercheError] = field(default_factory=dict)
    failures: dict[str, ChercheError] = field(default_factory=dict)
    missing: Gaps = field(default_factory=Gaps)
    dangers: tuple[str, ...] = ()
    is_routed: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    queries: list[Query] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    change: Callable[[EnginePage], EnginePage] = lambda page: page
    max_window: int | None = None

    def _called(self, name: str, index: str = "") -> None:
        self.calls[name] += 1
        if name in self.failures:
            raise self.failures[name]
        if index and index not in self.metas:
            raise not_found(f"there is no index {index!r}")

    def as_caller(self, identity: Identity) -> FakeEngine:
        return self

    async def info(self) -> EngineInfo:
        return EngineInfo("fake", "1", 1024)

    async def meta(self, index: str) -> IndexMeta | None:
        self._called("meta", index)
        return self.metas[index]

    async def groups(self, index: str, *, max_age: float = 0.0) -> tuple[IndexGroup, ...]:
        return (IndexGroup((index,), await self.meta(index), self.max_window),)

    async def list_indices(self) -> tuple[IndexGroup, ...]:
        self._called("list_indices")
        return tuple(IndexGroup((name,), meta) for name, meta in sorted(self.metas.items()))

    async def plan(self, index: str, meta: IndexMeta) -> SetupPlan:
        self._called("plan")
        return SetupPlan(({"method": "PUT", "path": index, "body": meta.to_json()},), len(self.documents))

    async def setup(self, index: str, meta: IndexMeta) -> SetupPlan:
        self._called("setup")
        self.metas[index] = meta
        return SetupPlan((), len(self.documents))

    async def remove(self, index: str, *, dry_run: bool, keeps_versions: bool = False) -> Removal:
        self._called("remove", index)
        return Removal(len(self.documents))

    async def foreign_versions(self, index: str, size: int) -> int:
        return 0

    async def requires_routing(self, index: str) -> bool:
        return self.is_routed

    async def read(
        self, index: str, ids: Sequence[str], routings: Mapping[str, str] | None = None
    ) -> dict[str, StoredDocument]:
        self._called("read", index)
        found = [self.documents[i] for i in ids if i in self.documents]
        return {d.id: _read_back(d) for d in found}

    async def write(self, index: str, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        self._called("write", index)
        self.documents |= {d.id: d for d in documents if d.id not in self.refused}
        return [WriteResult(d.id, self.refused.get(d.id)) for d in documents]

    async def identities(self, index: str) -> frozenset[str]:
        self._called("identities")
        return frozenset((index,))

    async def refresh(self, index: str) -> None:
        self._called("refresh", index)

    async def search(self, index: str, query: Query) -> EnginePage:
        self._called("search", index)
        self.queries.append(query)
        hits = sorted(
            (hit for d in self.documents.values() if (hit := _hit(d, query)).score > 0 or "sort" in query.body),
            key=lambda hit: (-hit.score, hit.id),
        )
        page = EnginePage(
            hits=tuple(hits[query.offset : query.offset + query.size]),
            total=len(hits),
            pit=query.pit or ("pit" if query.keep_pit else ""),
            request={"body": {}},
        )
        return self.change(page)

    async def close_pit(self, pit: str) -> None:
        self.closed.append(pit)

    async def document_frequencies(
        self, index: str, features: Sequence[tuple[int, str]], *, max_age: float = 0.0
    ) -> tuple[list[int], int]:
        self._called("document_frequencies", index)
        stored = [set(d.features or ()) for d in self.documents.values()]
        return [sum(name in one for one in stored) for _, name in features], len(stored)

    async def stats(self, index: str) -> IndexStats:
        states = Counter(d.state for d in self.documents.values() if d.hash)
        return IndexStats(len(self.documents), states["ok"], states["pending"])

    async def hazards(self, index: str) -> tuple[str, ...]:
        return self.dangers

    async def gaps(self, index: str, meta: IndexMeta) -> Gaps:
        return self.missing

    async def sample(self, index: str, size: int) -> list[StoredDocument]:
        self._called("sample", index)
        return [_read_back(d) for d in list(self.documents.values())[:size]]


def _read_back(document: StoredDocument) -> StoredDocument:
    return replace(document, features=None)


def _hit(document: StoredDocument, query: Query) -> EngineHit:
    text = " ".join(str(document.source.get(f.name, "")) for f in query.fields).lower()
    words = Counter(re.findall(r"\w+", text))
    lexical = 0.0 if query.mode == "sparse" else float(sum(words[word] for word in set(query.text.lower().split())))
    sparse = 0.0
    if query.mode != "bm25" and document.features:
        sparse = query.sparse_boost * sum(c.weight * document.features.get(c.name, 0.0) for c in query.clauses)
    names = query.source_fields
    source = {k: v for k, v in document.source.items() if not names or k in names}
    return EngineHit(
        document.id,
        lexical + sparse,
        lexical,
        sparse,
        source,
        document.terms if query.with_terms else None,
        document.codes if query.with_codes else None,
        held=document if query.with_state else None,
    )


@dataclass
class World:
    """A context over fakes, and short ways to use it."""

    engine: FakeEngine
    encoders: FakeEncoders
    context: Context
    index: str = INDEX

    @property
    def encoder(self) -> FakeEncoder:
        return self.encoders.encoders[0]

    def set_up(self, **options: Any) -> IndexMeta:
        fields = tuple(TextField(name) for name in ("title", "text"))
        meta = resolve(IndexOptions(**{"fields": fields, **options}), self.context)
        self.engine.metas[self.index] = meta
        return meta

    def with_context(self, **changes: Any) -> World:
        return replace(self, context=replace(self.context, **changes))


@pytest.fixture
def make_world() -> Callable[..., World]:
    """A world that serves the given models, the first by default."""

    def make(*models: FakeModel) -> World:
        encoders = FakeEncoders([FakeEncoder(model) for model in models or (FakeModel(),)])
        engine = FakeEngine()
        return World(engine, encoders, Context(engine, encoders, PageSigner(b"k" * 16)))

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One joint model."""
    return make_world()
