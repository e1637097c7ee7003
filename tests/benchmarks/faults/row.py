"""One row of the table, and the documents of all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.client.client import Client
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import SourceDocument

DOCUMENTS = 400
INDEX = "articles"


@dataclass(slots=True)
class Row:
    """What became of one fault.

    Attributes
    ----------
    fault : str
    sent, acknowledged, stored : int
        Documents; those stored are counted afterwards, by id.
    lost : int
        Acknowledged and not stored: must be 0.
    errors : list of str
        Kinds of the errors that callers saw; must hold no INTERNAL.
    exit_code : int or None
        Of the command line, where it was the caller.
    after : str
        What held once the fault was over.
    """

    fault: str
    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    errors: list[str] = field(default_factory=list)
    exit_code: int | None = None
    after: str = ""

    def count(self, acknowledged: Iterable[str], stored: Iterable[str]) -> None:
        """Compare what was acknowledged to callers with what is there."""
        known, there = set(acknowledged), set(stored)
        self.acknowledged, self.stored, self.lost = len(known), len(there), len(known - there)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, and every error has a kind that says whose it is."""
        return not self.lost and Code.INTERNAL.value not in self.errors


def documents(count: int = DOCUMENTS, first: int = 0) -> list[SourceDocument]:
    """Documents with ids of their own."""
    words = ("red", "car", "blue", "house", "river")
    texts = ((n, f"{words[n % 5]} {words[n % 3]} number{n}") for n in range(first, first + count))
    return [SourceDocument(f"d{n}", json.dumps({"title": text, "text": text}).encode()) for n, text in texts]


async def _arriving(sources: Sequence[SourceDocument]) -> AsyncIterator[SourceDocument]:
    for source in sources:
        yield source


async def feed(client: Client, sources: Sequence[SourceDocument], row: Row, seen: set[str]) -> None:
    """Feed, and note what was acknowledged and which errors came."""
    row.sent += len(sources)
    try:
        async for result in client.index_documents(INDEX, _arriving(sources)):
            if result.error is None:
                seen.add(result.id)
            else:
                row.errors.append(result.error.code.value)
    except ChercheError as error:
        row.errors.append(error.code.value)


async def there(path: Path) -> set[str]:
    """Ids that the file holds, encoded."""
    engine = EmbeddedEngine(path)
    try:
        return {document.id async for document in engine.scan(INDEX) if document.state == "ok"}
    finally:
        await engine.aclose()
