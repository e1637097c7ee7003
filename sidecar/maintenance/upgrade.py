"""Another model, or another mapping, for an index in use: fill an index beside it, switch its alias, keep a way back.

Nobody waits and nothing is written twice by its owner: what others write meanwhile is copied in rounds of
ever fewer documents, and what they wrote until the alias was switched in the last of them, afterwards. A
document that was written under the alias after the switch is newer, and is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from sidecar.errors import precondition
from sidecar.maintenance.backfill import Run, check_sources, pacer_of, purpose_of, read_checkpoint
from sidecar.maintenance.copying import Copy, index_before, successor_name
from sidecar.maintenance.estimate import SAMPLE, check_room, estimate
from sidecar.maintenance.setup import inherited, resolve
from sidecar.pipeline.context import Context
from sidecar.protocols import Successors
from sidecar.values.documents import StoredDocument, version_of
from sidecar.values.index import IndexGroup, IndexMeta, IndexOptions
from sidecar.values.maintenance import (
    BackfillOptions,
    Estimate,
    NotDone,
    Progress,
    Serving,
    ShardRange,
    Switched,
    UpgradeEvent,
)

_QUIET_ROUNDS = 2
_PAUSE = 0.5  # seconds: a bulk that was on its way to the old index when the alias was switched has arrived
_COUNTS = 3


async def prepare(
    index: str, options: IndexOptions, successor: str, settings: BackfillOptions, context: Context
) -> AsyncGenerator[UpgradeEvent, None]:
    """Fill an index beside one, or beside that which an alias stands for; searches and writes go on.

    A data stream's indices stay as they are: nothing is to be prepared for its next one.

    Parameters
    ----------
    successor : str
        Its name; "" for one that names the encoding.

    Yields
    ------
    As `backfill`; at the end Switched, with the new index as `serving` though no alias stands for it yet.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for an alias of several indices; ALREADY_EXISTS for another index of that name.
    """
    successors = await context.engine.successors()
    serving = await successors.serving(index)
    if serving.is_stream:
        yield await _of_next(index, options, context)
        if not settings.dry_run:
            yield Switched(index, (), serving.names)
        return
    old = _only_index(index, serving)
    [group] = await context.engine.groups(old)
    check_sources([group])
    sample = await context.engine.sample(old, SAMPLE)
    meta = resolve(inherited(options, group.meta), context, sample)
    if options.model and group.meta is not None and purpose_of(group.meta) == purpose_of(meta):
        raise precondition(
            f"index {index!r} is encoded with {meta.model!r} and these options already",
            "name another model, or none to move it to a new index all the same",
        )
    new = successor or successor_name(index, old, meta)
    expected = await estimate([IndexGroup((old,), meta)], context, everything=True)
    yield expected
    if settings.dry_run:
        return
    if not settings.ignore_disk:
        check_room(expected)
    await successors.create(new, old, meta)
    copying = await _Copying.begin(successors, old, new, meta, settings, context)
    async with copying.run.pacer.watching(), aclosing(copying.catch_up()) as events:
        async for event in events:
            yield event
    await successors.announce(old, new, copying.positions, {})
    yield Switched(index, (new,), (old,))


async def switch(
    index: str,
    successor: str,
    settings: BackfillOptions,
    context: Context,
    *,
    options: IndexOptions | None = None,
    replace: bool = False,
) -> AsyncGenerator[UpgradeEvent, None]:
    """Let the prepared index take the place of the one that serves.

    Parameters
    ----------
    options : IndexOptions or None
        Of a data stream's next index, which is begun with them.
    replace : bool
        Where `index` is an index itself: an alias of its name takes its place, writes are refused for some
        seconds, and a copy is kept for a way back.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where none is prepared, where it lacks documents, or for an index without `replace`.
    """
    successors = await context.engine.successors()
    serving = await successors.serving(index)
    if serving.is_stream:
        yield await _roll(index, await _next_meta(index, options or IndexOptions(), context), successors)
        return
    old = _only_index(index, serving)
    new = successor or (await successors.serving(old)).successor
    if not new:
        raise precondition(f"no index is prepared to follow {index!r}", f"run: cherche upgrade {index} --model NAME")
    prepared = await successors.serving(new)
    if prepared.replaced != (old,):
        raise precondition(f"index {new!r} was not prepared to follow {old!r}", f"run: cherche upgrade {index} again")
    if not serving.is_alias and not replace:
        raise precondition(
            f"{index!r} is an index, and only an alias can be switched to {new!r} without a refused write",
            f"let your clients use an alias of it, or run: cherche upgrade {index} --replace — an alias of that "
            "name takes its place, and writes are refused for some seconds",
        )
    change = _switch if serving.is_alias else _replace
    async with aclosing(change(index, old, new, prepared.read, settings, context, successors)) as events:
        async for event in events:
            yield event


async def rollback(index: str, settings: BackfillOptions, context: Context) -> AsyncGenerator[UpgradeEvent, None]:
    """Let the index that was replaced serve again, with all that was written since.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION as `index_before`, or where the model before is not served.
    """
    successors = await context.engine.successors()
    found = await successors.serving(index)
    if found.is_stream:
        yield await _roll(index, await _meta_before(index, found, context), successors)
        return
    now = _only_index(index, found)
    serving = await successors.serving(now)
    before = index_before(index, found, serving)
    change = _switch(index, now, before, serving.marks, settings, context, successors, is_back=True)
    async with aclosing(change) as events:
        async for event in events:
            yield event


async def _switch(
    index: str,
    old: str,
    new: str,
    read: Mapping[str, int],
    settings: BackfillOptions,
    context: Context,
    successors: Successors,
    *,
    is_back: bool = False,
) -> AsyncGenerator[UpgradeEvent, None]:
    [group] = await context.engine.groups(new)
    if group.meta is None:
        raise precondition(f"index {new!r} is not set up for cherche", f"run: cherche setup {new}")
    # No probes here: a pause would only prolong the switch.
    settings = replace(settings, search_slowdown=0.0)
    copying = await _Copying.begin(successors, old, new, group.meta, settings, context, read)
    async with aclosing(copying.catch_up()) as events:
        async for event in events:
            yield event
    await copying.check()
    marks = {shard.key: shard.mark for shard in await context.engine.shards(new)}
    await successors.announce(old, new, copying.positions, marks, is_back=is_back)
    await successors.switch(index, (old,), (new,))
    async with aclosing(copying.settle(marks)) as events:
        async for event in events:
            yield event
    yield replace(copying.run.progress, checkpoint="", finished=True)
    yield Switched(index, (new,), (old,))


async def _replace(
    index: str,
    old: str,
    new: str,
    read: Mapping[str, int],
    settings: BackfillOptions,
    context: Context,
    successors: Successors,
) -> AsyncGenerator[UpgradeEvent, None]:
    """Let an alias take the place of an index: nothing can follow the switch, so writes are refused before it."""
    [before], [group] = await context.engine.groups(old), await context.engine.groups(new)
    if group.meta is None:
        raise precondition(f"index {new!r} is not set up for cherche", f"run: cherche setup {new}")
    settings = replace(settings, search_slowdown=0.0)
    copying = await _Copying.begin(successors, old, new, group.meta, settings, context, read)
    async with aclosing(copying.catch_up()) as events:
        async for event in events:
            yield event
    kept = f"{old}-before-{before.meta.fingerprint.sparse[:8] if before.meta else 'bare'}"
    await successors.freeze(old, frozen=True)
    try:
        async with aclosing(copying.catch_up()) as events:
            async for event in events:
                yield event
        await copying.check()
        await successors.clone(old, kept)
        marks = {shard.key: shard.mark for shard in await context.engine.shards(new)}
        await successors.announce(kept, new, {}, marks)
        await successors.replace(old, new)
    except BaseException:
        # On cancellation too: an index that stays frozen refuses its owner's writes.
        await successors.freeze(old, frozen=False)
        raise
    yield replace(copying.run.progress, checkpoint="", finished=True)
    yield Switched(index, (new,), (kept,))


async def _of_next(index: str, options: IndexOptions, context: Context) -> Estimate:
    """What another model for a data stream's next index takes: nothing, but for what people should know."""
    meta = await _next_meta(index, options, context)
    documents = (await context.engine.stats(index)).documents
    said = (
        f"{index} is a data stream: its next index will be of {meta.model}, those that it has stay as they are, "
        "and searches encode the query once for each model"
    )
    return Estimate(documents, 0, 0, 0.0, 0, 0, notes=(said,))


async def _next_meta(index: str, options: IndexOptions, context: Context) -> IndexMeta:
    known = await context.engine.meta(index)
    meta = resolve(inherited(options, known), context, await context.engine.sample(index, SAMPLE))
    if known is not None and purpose_of(known) == purpose_of(meta):
        raise precondition(
            f"the newest index of {index!r} is encoded with {meta.model!r} and these options already",
            "name another model",
        )
    return meta


async def _meta_before(index: str, serving: Serving, context: Context) -> IndexMeta:
    """The encoding before the one of a data stream's newest index."""
    metas = [(await context.engine.groups(name))[0].meta for name in reversed(serving.names)]
    found = next((meta for meta in metas if meta is not None and meta != metas[0]), None)
    if found is None:
        raise precondition(f"all indices of {index!r} are encoded alike", "there is nothing to roll back")
    return found


async def _roll(index: str, meta: IndexMeta, successors: Successors) -> Switched:
    kept = (await successors.serving(index)).names
    return Switched(index, (await successors.roll(index, meta),), kept)


def _only_index(index: str, serving: Serving) -> str:
    if len(serving.names) != 1:
        raise precondition(
            f"{index!r} stands for {len(serving.names)} indices: {', '.join(serving.names)}",
            f"upgrade one after another by its own name, such as: cherche upgrade {serving.names[0]} --replace — the "
            "alias moves along, and searches encode the query once for each model meanwhile",
        )
    return serving.names[0]


@dataclass(slots=True)
class _Copying:
    """The copy from an old index to a new one, through all rounds.

    Attributes
    ----------
    deletions : dict
        By shard of the old index, as they were when deleted documents were last looked for.
    """

    old: str
    new: str
    copy: Copy
    run: Run
    context: Context
    successors: Successors
    deletions: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def begin(
        cls,
        successors: Successors,
        old: str,
        new: str,
        meta: IndexMeta,
        settings: BackfillOptions,
        context: Context,
        read: Mapping[str, int] | None = None,
    ) -> _Copying:
        copy = Copy.of(successors, new, meta, context)
        await successors.quiet(new)
        pacer = await pacer_of(old, [IndexGroup((old,), meta)], settings, context)
        known = {f"{key}/{copy.purpose}": mark for key, mark in (read or {}).items()}
        run = Run(old, {old: copy}, pacer, context, {**read_checkpoint(settings), **known}, sweeps=False)
        return cls(old, new, copy, run, context, successors)

    @property
    def positions(self) -> dict[str, int]:
        """How far the old index was copied, by shard."""
        suffix = f"/{self.copy.purpose}"
        return {key.removesuffix(suffix): mark for key, mark in self.run.read.items() if key.endswith(suffix)}

    async def catch_up(self) -> AsyncGenerator[UpgradeEvent, None]:
        """Copy until nothing is left, and take out what was deleted."""
        async with aclosing(self._rounds()) as events:
            async for event in events:
                yield event
        await self._take_out({})

    async def check(self) -> None:
        """Refuse to switch to an index that lacks documents.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION.
        """
        for _ in range(_COUNTS):
            counts = [(await self._count(name)) for name in (self.new, self.old)]
            if counts[0] + await self._behind() >= counts[1]:
                return
            async with aclosing(self._rounds()) as events:
                async for event in events:
                    if isinstance(event, NotDone):
                        continue  # what cannot be placed is missing, and is counted as that
        raise precondition(
            f"index {self.new!r} holds {counts[0]:,} documents, {self.old!r} {counts[1]:,}: the alias was not switched",
            "see the report of the run for those that could not be copied",
        )

    async def settle(self, marks: Mapping[str, int]) -> AsyncGenerator[UpgradeEvent, None]:
        """After the switch: copy what the old index was still given, but over nothing that is newer."""
        quiet = 0
        while quiet < _QUIET_ROUNDS:
            before = self.run.progress.encoded
            self.run.targets = {self.old: replace(self.copy, newer=frozenset(await self._written_after(marks)))}
            async with aclosing(self._rounds()) as events:
                async for event in events:
                    yield event
            quiet = quiet + 1 if self.run.progress.encoded == before else 0
            await self.context.sleep(_PAUSE)
        await self._take_out(marks)
        await self.context.engine.refresh(self.new)

    async def _rounds(self) -> AsyncGenerator[UpgradeEvent, None]:
        async with aclosing(self.run.events()) as events:
            async for event in events:
                yield replace(event, finished=False) if isinstance(event, Progress) else event

    async def _behind(self) -> int:
        """Writes that others made since the last round: what is not copied yet is copied after the switch."""
        shards = await self.context.engine.shards(self.old)
        positions = self.positions
        return sum(max(0, shard.mark - positions.get(shard.key, -1)) for shard in shards)

    async def _count(self, name: str) -> int:
        await self.context.engine.refresh(name)
        return (await self.context.engine.stats(name)).documents

    async def _written_after(self, marks: Mapping[str, int]) -> list[str]:
        shards = await self.context.engine.shards(self.new)
        await self.context.engine.refresh(self.new)
        return [
            one.id for shard in shards async for page in self._pages(shard, marks.get(shard.key, -1)) for one in page
        ]

    async def _take_out(self, marks: Mapping[str, int]) -> None:
        """Delete from the new index what the old one holds no more; with `marks` only what is not newer."""
        old = {shard.key: shard.deletions for shard in await self.context.engine.shards(self.old)}
        if old == self.deletions:
            return
        shards = await self.context.engine.shards(self.new)
        await self.context.engine.refresh(self.new)
        for shard in shards:
            newest = marks.get(shard.key, shard.mark)
            async for page in self._pages(shard, -1):
                earlier = [one for one in page if version_of(one).seq_no <= newest]
                gone = await self.successors.absent(self.old, earlier)
                await self.successors.discard(gone)
        self.deletions = old

    def _pages(self, shard: ShardRange, after: int) -> AsyncIterator[list[StoredDocument]]:
        return self.context.engine.pages(shard, after, self.copy.meta)
