"""Encodes the documents of an index that are not encoded, while others go on writing and searching it.

Rounds of reading: the first reads every document written up to a mark, each later one what was written since.
Nothing is written twice, and a document that changes while it is encoded is left to its newer write, which the
next round reads. The hash in the index decides; a checkpoint only spares reading.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from sidecar.errors import invalid, precondition
from sidecar.maintenance.estimate import check_room, estimate, sample_texts
from sidecar.maintenance.pace import Pacer
from sidecar.maintenance.page import process_page
from sidecar.maintenance.versions import keeps_versions, owners_versions
from sidecar.maintenance.work import Outcome
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.fingerprint import sha256_of
from sidecar.pipeline.stream import beating, in_order, in_turn
from sidecar.values.documents import StoredDocument, version_of
from sidecar.values.index import ANOTHER_INDEX, IndexGroup, IndexMeta
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Progress, ShardRange

HEARTBEAT = 2.0  # seconds between two messages at most: a client takes silence for a loss
MAX_ROUNDS = 20
_VERSION = 1


async def backfill(index: str, options: BackfillOptions, context: Context) -> AsyncGenerator[BackfillEvent, None]:
    """Encode all documents of an index that lack weights or codes, or whose text changed since.

    Yields
    ------
    An Estimate first; then Progress at least every `HEARTBEAT` seconds, the last one `finished`; and a NotDone
    for every document that could not be encoded.

    Raises
    ------
    ChercheError
        NOT_FOUND; FAILED_PRECONDITION where nothing behind the name is set up, a model is not served or the
        disk may not suffice; UNAVAILABLE where the cluster does not recover. What was done stays done.
    """
    keeps = keeps_versions(options.version_type)
    groups = await context.engine.groups(index)
    targets = {
        name: Target.of(group.meta, context, keeps_versions=keeps)
        for group in groups
        if group.meta is not None
        for name in group.names
    }
    if not targets:
        raise precondition(f"index {index!r} is not set up for cherche", f"run: cherche setup {index}")
    check_sources([group for group in groups if group.meta is not None])
    expected = await estimate(groups, context)
    if not keeps:
        expected = replace(expected, notes=(*expected.notes, *await owners_versions(index, "encoded", context)))
    yield expected
    if options.dry_run:
        return
    if not options.ignore_disk:
        check_room(expected)
    run = Run(index, targets, await pacer_of(index, groups, options, context), context, read_checkpoint(options))
    async with run.pacer.watching(), aclosing(run.events()) as events:
        async for event in events:
            yield event


def check_sources(groups: Sequence[IndexGroup]) -> None:
    """Refuse to write documents anew from a ``_source`` that lacks fields of theirs, or what says they are encoded.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    for group in groups:
        if group.lost:
            raise precondition(
                f"{', '.join(group.names)}: _source leaves out {', '.join(group.lost)}, which every document that is "
                "written anew from it would lose",
                "feed these documents whole with cherche feed, from where they come from",
            )
        if group.hidden:
            raise precondition(
                f"{', '.join(group.names)}: _source leaves out {' and '.join(group.hidden)}, without which nobody sees "
                "which documents are encoded: all of them would be encoded again and again",
                ANOTHER_INDEX,
            )


class Job(Protocol):
    """What is done with the documents of one concrete index, and for which encoding."""

    @property
    def meta(self) -> IndexMeta:
        """The encoding."""
        ...

    @property
    def purpose(self) -> str:
        """Names what is done: what was read for something else must be read again."""
        ...

    @property
    def whole_source(self) -> bool:
        """Whether it needs all fields of a document."""
        ...

    async def work(self, page: Sequence[StoredDocument], context: Context) -> Outcome:
        """Do it with some documents."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Documents are encoded where they are."""

    encoder: DocumentEncoder
    names: Sequence[str]
    keeps_versions: bool = False
    whole_source: bool = False

    @classmethod
    def of(cls, meta: IndexMeta, context: Context, *, keeps_versions: bool = False) -> Target:
        """Pick the served models.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION naming the model to serve.
        """
        encoder = DocumentEncoder.of(meta, context.encoders)
        return cls(encoder, encoder.feature_names(), keeps_versions)

    @property
    def meta(self) -> IndexMeta:
        """The encoding of the index."""
        return self.encoder.meta

    @property
    def purpose(self) -> str:
        """The encoding."""
        return purpose_of(self.meta)

    async def work(self, page: Sequence[StoredDocument], context: Context) -> Outcome:
        """See `process_page`."""
        return await process_page(page, self.encoder, self.names, context, keeps_versions=self.keeps_versions)


def purpose_of(meta: IndexMeta, *more: str) -> str:
    """Names an encoding, and what else decides the work."""
    fields = [[one.name, one.token_share] for one in meta.fields]
    return sha256_of([meta.fingerprint.sparse, meta.fingerprint.codes, fields, *more])[:16]


@dataclass(slots=True)
class Run:
    """One backfill.

    Attributes
    ----------
    targets : mapping
        Of each concrete index; those without one are left out.
    read : dict
        By shard and purpose, the last write that was read and answered.
    failed : set of (index, id, seq_no)
        Not tried again in this run.
    sweeps : bool
        Whether a run that was resumed looks, at its end, for what the one before left behind.
    """

    index: str
    targets: Mapping[str, Job]
    pacer: Pacer
    context: Context
    read: dict[str, int]
    progress: Progress = field(default_factory=Progress)
    sweeps: bool = True
    failed: set[tuple[str, str, int]] = field(default_factory=set)
    _resumed: bool = field(init=False)

    def __post_init__(self) -> None:
        self._resumed = bool(self.read)

    async def events(self) -> AsyncGenerator[BackfillEvent, None]:
        """All rounds, and what an earlier run left behind."""
        for number in range(1, MAX_ROUNDS + 1):
            self.progress = replace(self.progress, round=number)
            before = self.progress
            async with aclosing(self._round(incomplete=False)) as events:
                async for event in events:
                    yield event
            # What is written has a new sequence number, so only a round without writes has seen the last of them.
            if (self.progress.encoded, self.progress.conflicts) == (before.encoded, before.conflicts):
                break
        else:
            said = f"others kept writing documents without weights for {MAX_ROUNDS} rounds: the last of them wait"
            self.progress = replace(self.progress, notes=(*self.progress.notes, f"{said} — run: cherche backfill"))
        # Documents that failed in the run before lie behind its positions: only a look for incomplete ones finds them.
        if self._resumed and self.sweeps:
            async with aclosing(self._round(incomplete=True)) as events:
                async for event in events:
                    yield event
        await self.context.engine.refresh(self.index)
        yield replace(self._shown(), checkpoint="", finished=True)

    async def _round(self, *, incomplete: bool) -> AsyncGenerator[BackfillEvent, None]:
        # The marks before the refresh: all writes up to them are then visible, later ones belong to the next round.
        shards = [shard for shard in await self.context.engine.shards(self.index) if shard.index in self.targets]
        await self.context.engine.refresh(self.index)
        pages = in_turn([self._pages(shard, incomplete) for shard in shards])
        answers = in_order(pages, self._work)
        async with aclosing(pages), aclosing(answers), aclosing(beating(answers, HEARTBEAT)) as events:
            async for answered in events:
                if answered is not None:
                    shard, page, outcome = answered
                    self._note(shard, page, outcome, keep=not incomplete)
                    for one in outcome.not_done:
                        yield one
                yield self._shown()
        if not incomplete:
            self.read |= {self._key(shard): shard.mark for shard in shards}

    async def _pages(
        self, shard: ShardRange, incomplete: bool
    ) -> AsyncGenerator[tuple[ShardRange, list[StoredDocument]], None]:
        target = self.targets[shard.index]
        after = -1 if incomplete else self.read.get(self._key(shard), -1)
        pages = self.context.engine.pages(
            shard, after, target.meta, incomplete=incomplete, whole_source=target.whole_source
        )
        async for page in pages:
            await self.pacer.proceed()
            yield shard, page

    async def _work(
        self, item: tuple[ShardRange, list[StoredDocument]]
    ) -> tuple[ShardRange, list[StoredDocument], Outcome]:
        shard, page = item
        target = self.targets[shard.index]
        fresh = [one for one in page if (shard.index, one.id, version_of(one).seq_no) not in self.failed]
        return shard, page, await target.work(fresh, self.context)

    def _note(self, shard: ShardRange, page: Sequence[StoredDocument], outcome: Outcome, *, keep: bool) -> None:
        self.progress = self.progress.plus(outcome.counts)
        places = {one.id: version_of(one).seq_no for one in page}
        self.failed |= {(one.index, one.id, places[one.id]) for one in outcome.not_done}
        if outcome.refused:
            self.pacer.throttle.refused()
        if keep:
            # Documents of one bulk may share a number, and the page may end among them.
            self.read[self._key(shard)] = version_of(page[-1]).seq_no - 1

    def _shown(self) -> Progress:
        notes = (*self.progress.notes, *self.pacer.notes)
        return replace(self.progress, paused=self.pacer.paused, notes=notes, checkpoint=write_checkpoint(self.read))

    def _key(self, shard: ShardRange) -> str:
        return f"{shard.key}/{self.targets[shard.index].purpose}"


def write_checkpoint(read: Mapping[str, int]) -> str:
    """What a later run needs to go on from here."""
    return json.dumps({"version": _VERSION, "read": dict(sorted(read.items()))}, separators=(",", ":"))


def read_checkpoint(options: BackfillOptions) -> dict[str, int]:
    """Read `write_checkpoint`'s text; nothing of it counts for another index or encoding.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where it is none.

    >>> read_checkpoint(BackfillOptions(checkpoint=write_checkpoint({"a/0/b": 7})))
    {'a/0/b': 7}
    """
    if not options.checkpoint:
        return {}
    try:
        data = json.loads(options.checkpoint)
        if data["version"] != _VERSION:
            return {}
        return {str(key): int(value) for key, value in data["read"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise invalid(
            f"the checkpoint cannot be read: {error!r}", "run without it: nothing is encoded twice"
        ) from error


async def pacer_of(index: str, groups: Sequence[IndexGroup], options: BackfillOptions, context: Context) -> Pacer:
    """A pacer that probes with beginnings of the index's own texts."""
    first = next(group for group in groups if group.meta is not None)
    assert first.meta is not None
    texts = await sample_texts(first.names[0], first.meta, context)
    return Pacer(context, index, texts, first.meta.fields, options)
