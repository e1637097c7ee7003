"""An index in a file that a test can interrupt, a model that counts, and successor indices in a dict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from sidecar.maintenance.backfill import backfill
from sidecar.maintenance.setup import resolve
from sidecar.pipeline import Context, PageSigner
from sidecar.testing import FakeModel
from sidecar.values.documents import StoredDocument, Version, WriteResult
from sidecar.values.index import IndexMeta, IndexOptions
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Load, NotDone, Placement, Progress, Room
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders

INDEX = "articles"


class Interrupted(EmbeddedEngine):
    """Lets a test do something before documents are written, and answer for a cluster."""

    before: Callable[[Sequence[StoredDocument]], Awaitable[None]] | None = None
    loads: list[Load]
    disk: Room | None = None

    async def update(self, documents: Sequence[StoredDocument], *, keeps_versions: bool = False) -> list[WriteResult]:
        if self.before is not None and documents:
            await self.before(documents)
        return await super().update(documents)

    async def load(self) -> Load | None:
        return self.loads.pop(0) if getattr(self, "loads", None) else None

    async def room(self, index: str) -> Room | None:
        return self.disk


class FileWorld:
    """An index of plain documents, and a model that counts what it encodes."""

    def __init__(self, engine: Interrupted) -> None:
        self.engine = engine
        self.encoder = FakeEncoder(FakeModel())
        self.context = Context(engine, FakeEncoders([self.encoder]), PageSigner(b"k" * 16))

    async def fill(self, count: int, text: str = "words") -> IndexMeta:
        """As after `remove`: documents are there, weights are not."""
        meta = resolve(IndexOptions(), self.context)
        await self.engine.setup(INDEX, meta)
        await self.write(*((str(i), {"title": f"title {i}", "text": f"{text} {i}"}) for i in range(count)))
        return meta

    async def write(self, *documents: tuple[str, dict[str, Any]]) -> None:
        """As another client would, that knows nothing of weights."""
        plain = [StoredDocument(id, source, state="pending") for id, source in documents]
        answers = await self.engine.write(INDEX, plain)
        assert not [answer.error for answer in answers if answer.error]

    async def run(self, **options: Any) -> list[BackfillEvent]:
        return [event async for event in backfill(INDEX, BackfillOptions(**options), self.context)]

    @property
    def encoded(self) -> int:
        """Texts that went through the model."""
        return sum(count for _, count in self.encoder.calls)


@dataclass
class FakeSuccessors:
    """A successor index: what is placed is held from then on; `refused` is the answer to an id."""

    documents: dict[str, StoredDocument] = field(default_factory=dict)
    placed: list[Placement] = field(default_factory=list)
    refused: dict[str, ChercheError] = field(default_factory=dict)

    async def held(self, index: str, documents: Sequence[StoredDocument]) -> dict[str, StoredDocument]:
        return {one.id: self.documents[one.id] for one in documents if one.id in self.documents}

    async def place(self, index: str, placements: Sequence[Placement]) -> list[WriteResult]:
        self.placed += placements
        for one in placements:
            document = one.document
            if document.id not in self.refused:
                self.documents[document.id] = StoredDocument(
                    document.id,
                    document.source,
                    document.hash,
                    document.state,
                    is_complete=document.state == "ok",
                    version=Version(len(self.placed), 1),
                )
        return [WriteResult(one.document.id, self.refused.get(one.document.id)) for one in placements]


def last(events: Sequence[BackfillEvent]) -> Progress:
    found = events[-1]
    assert isinstance(found, Progress)
    assert found.finished
    return found


def not_done(events: Sequence[BackfillEvent]) -> list[NotDone]:
    return [event for event in events if isinstance(event, NotDone)]
