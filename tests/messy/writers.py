"""Other clients of a cluster that write while cherche works, and what the index must hold because of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from tests.messy.documents import LONGEST_ID, Document, Json, Key, changed, source_of
from tests.messy.index import Cluster, Names, through_pipelines

_PAUSE = 0.005  # seconds
_TOGETHER = 5  # documents of a bulk


class Writers:
    """Clients that know nothing of cherche; each changes documents of its own, none of them twice in a stage.

    Attributes
    ----------
    ledger : dict
        Every document as the index must hold it.
    touched : set
        Documents that were written since `begin_again`.
    done : Counter
        Writes that the cluster acknowledged, by kind.
    """

    def __init__(self, cluster: Cluster, names: Names, documents: Sequence[Document], ledger: dict[Key, Json]) -> None:
        self._cluster, self._names = cluster, names
        self._documents = [one for one in documents if not one.is_too_large]
        self.ledger = ledger
        self.touched: set[Key] = set()
        self.done: Counter[str] = Counter()
        self._stage = 0
        self._made = len(documents)

    def begin(self) -> None:
        """Begin a stage."""
        self.done.clear()
        self.begin_again()

    def begin_again(self) -> None:
        """From now on nothing was written."""
        self.touched = set()

    @asynccontextmanager
    async def writing(self, *, deleting: bool = True) -> AsyncIterator[None]:
        """Write until the block ends; a write that is refused fails it.

        Parameters
        ----------
        deleting : bool
            Whether documents are deleted too: one that is deleted at the moment of a switch may come back.
        """
        self._stage += 1
        stop = asyncio.Event()
        kinds = [self._index, self._update_field, self._update_text, self._create, self._create_routed]
        kinds += [self._delete] if deleting else []
        async with asyncio.TaskGroup() as group:
            for place, kind in enumerate(kinds):
                whose = place + 6 * (self._stage % 2)
                own = [one for one in self._documents if one.number % 12 == whose]
                random.Random(self._stage).shuffle(own)
                group.create_task(self._run(kind, own, stop))
            try:
                yield
            finally:
                stop.set()

    async def _run(self, kind: Any, own: Sequence[Document], stop: asyncio.Event) -> None:
        for start in range(0, len(own), _TOGETHER):
            if stop.is_set():
                return
            await kind([one for one in own[start : start + _TOGETHER] if one.key in self.ledger])
            await asyncio.sleep(_PAUSE)

    async def _index(self, part: Sequence[Document]) -> None:
        """Whole documents in one bulk, through the owner's pipelines."""
        sources = [next(changed(one, self._stage))[1] for one in part]
        answers = await self._cluster.bulk(
            self._names.alias, (("index", one.key, source) for one, source in zip(part, sources, strict=True))
        )
        for one, source, answer in zip(part, sources, answers, strict=True):
            assert answer["status"] in (200, 201), answer
            self._note("indexed", one.key, through_pipelines(source))

    async def _update_field(self, part: Sequence[Document]) -> None:
        """A field that is not encoded, one document after another, by its path."""
        for one in part:
            await self._update(one, list(changed(one, self._stage))[1][1], "field_updated")

    async def _update_text(self, part: Sequence[Document]) -> None:
        for one in part:
            await self._update(one, list(changed(one, self._stage))[2][1], "text_updated")

    async def _update(self, one: Document, fields: Json, kind: str) -> None:
        # Others are asked to try again where somebody wrote between their read and their write.
        path = f"/{quote(self._names.alias)}/_update/{quote(one.id, safe='')}"
        await self._cluster.send("POST", path, {"doc": fields}, **_routed(one), retry_on_conflict="10")
        # Pipelines run on the whole of what a single update writes, and on none of a bulk's (OpenSearch 3.8.0).
        self._note(kind, one.key, through_pipelines(merged(self.ledger[one.key], fields)))

    async def _delete(self, part: Sequence[Document]) -> None:
        for one in part:
            path = f"/{quote(self._names.alias)}/_doc/{quote(one.id, safe='')}"
            await self._cluster.send("DELETE", path, **_routed(one))
            self.done["deleted"] += 1
            self.touched.add(one.key)
            del self.ledger[one.key]

    async def _create(self, part: Sequence[Document]) -> None:
        """New documents beside those of the writer, with ids like theirs."""
        for one in part:
            key = (_shortened(f"new {self._stage} {one.id}"), one.routing)
            await self._put(self._names.alias, key, _routed(one))

    async def _create_routed(self, part: Sequence[Document]) -> None:
        """The same through an alias that gives them its routing."""
        for one in part:
            await self._put(f"{self._names.prefix}-t3", (_shortened(f"t3 {self._stage} {one.id}"), "t3"), {})

    async def _put(self, alias: str, key: Key, params: dict[str, str]) -> None:
        self._made += 1 + (self._made % 1000 == 499)  # none that is too large
        source = source_of(self._made, random.Random(f"new {self._made}"))
        path = f"/{quote(alias)}/_doc/{quote(key[0], safe='')}"
        await self._cluster.send("PUT", path, source, **params)
        self._note("created", key, through_pipelines(source))

    def _note(self, kind: str, key: Key, source: Json) -> None:
        self.done[kind] += 1
        self.touched.add(key)
        self.ledger[key] = source


def merged(source: Json, fields: Json) -> Json:
    """A document after a partial update: objects are merged, everything else is replaced."""
    both = {name: merged(source[name], new) for name, new in fields.items() if _are_objects(source.get(name), new)}
    return {**source, **fields, **both}


def _shortened(id: str) -> str:
    return id.encode()[:LONGEST_ID].decode(errors="ignore")


def _are_objects(one: Any, other: Any) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)


def _routed(one: Document) -> dict[str, str]:
    return {"routing": one.routing} if one.routing else {}
