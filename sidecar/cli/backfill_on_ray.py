"""The backfill over the machines of a Ray cluster: shards are read, encoded and written by a Ray Data pipeline.

    shards of an index ─► read pages (tasks) ─► judge, encode, write (actors, a model each) ─► counts

``python -m sidecar.cli.backfill_on_ray INDEX --encoders 8`` with the settings of a sidecar, or `backfill` from a
program of one's own. The same steps as `sidecar.maintenance.backfill`, and the same guarded writes: one is refused
where somebody wrote the document since it was read. A worker that dies is replaced and its page done again; what it
had written already is found in order by the next round. Needs the extra ``ray``.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from sidecar import config
from sidecar.config import Settings
from sidecar.errors import invalid, precondition
from sidecar.maintenance.backfill import MAX_ROUNDS, Target
from sidecar.maintenance.estimate import check_room, estimate
from sidecar.maintenance.page import process_page
from sidecar.protocols import Engine
from sidecar.serve import open_engine, pipeline
from sidecar.values.documents import StoredDocument, version_of
from sidecar.values.index import Identity, IndexMeta
from sidecar.values.maintenance import Estimate, NotDone, ShardRange

if TYPE_CHECKING:
    from ray.data import Dataset

T = TypeVar("T")
Batch = dict[str, Any]
OnPage = Callable[["Report"], None]


@dataclass(slots=True)
class Report:
    """What a run did: counts as `sidecar.values.maintenance.Progress` has them, documents not done, and who encoded.

    Attributes
    ----------
    counts : Counter
        read, encoded, kept, conflicts, gone, skipped, failed.
    not_done : list of NotDone
    encoders : set of str
        Actors that encoded at least one page.
    rounds : int
    """

    counts: Counter[str] = field(default_factory=Counter)
    not_done: list[NotDone] = field(default_factory=list)
    encoders: set[str] = field(default_factory=set)
    rounds: int = 0


def backfill(
    index: str,
    settings: Settings,
    *,
    encoders: int = 2,
    cpus: float = 1.0,
    ignore_disk: bool = False,
    on_page: OnPage | None = None,
) -> Report:
    """Encode what an index holds and is not encoded, on the Ray cluster this process is connected to.

    Blocks; within an event loop call it in a thread. Without ``ray.init`` of the caller's own, Ray connects as it
    does by itself: to ``RAY_ADDRESS``, else it starts on this machine. Workers must reach the cluster and find
    the models under the same paths.

    Parameters
    ----------
    index : str
        Index, alias or data stream.
    settings : Settings
        Of a sidecar: engine, address, models, credentials.
    encoders : int
        Actors, each with the models loaded.
    cpus : float
        Processors that Ray reserves for each; on a machine with a GPU give Ray's own settings instead.
    ignore_disk : bool
        Go on where the cluster's disk may not suffice.
    on_page : callable
        Called with the report so far after every page.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the engine is this process's own file; FAILED_PRECONDITION without the extra,
        where nothing behind the name is set up, a model is not served, or the disk may not suffice.
    """
    if settings.engine == "embedded":
        raise invalid("a Ray cluster cannot share the embedded engine's file", "name a cluster with --url")
    _import_ray()
    metas = asyncio.run(_with_engine(settings, lambda engine: _metas(index, engine)))
    if not ignore_disk:
        check_room(asyncio.run(_estimated(index, settings)))
    report, after = Report(), dict[str, int]()
    for number in range(1, MAX_ROUNDS + 1):
        report.rounds = number
        shards = asyncio.run(_with_engine(settings, lambda engine: _shards(index, metas, engine)))
        before = report.counts["encoded"] + report.counts["conflicts"]
        for row in _pipeline(shards, after, metas, settings, encoders, cpus).iter_rows():
            _add(report, row)
            if on_page is not None:
                on_page(report)
        after |= {shard.key: shard.mark for shard in shards}
        if report.counts["encoded"] + report.counts["conflicts"] == before:
            break
    return report


class Encoder:
    """An actor: models and a connection of its own; one page a call."""

    def __init__(self, settings: Settings, metas: dict[str, IndexMeta]) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        context = self._loop.run_until_complete(self._stack.enter_async_context(pipeline(settings)))
        self._context = context.for_caller(_identity(settings))
        self._targets: dict[str, Target] = {}
        self._metas = metas

    def __call__(self, batch: Batch) -> Batch:
        """Judge, encode and write the pages of a batch."""
        answers = [self._page(pickle.loads(page)) for page in batch["page"]]
        return {"outcome": np.array(answers, dtype=object)}

    def _page(self, page: list[StoredDocument]) -> bytes:
        target = self._target(version_of(page[0]).index)
        outcome = self._loop.run_until_complete(process_page(page, target.encoder, target.names, self._context))
        return pickle.dumps((outcome.counts, outcome.not_done, _actor()))

    def _target(self, index: str) -> Target:
        if index not in self._targets:
            self._targets[index] = Target.of(self._metas[index], self._context)
        return self._targets[index]


def _pipeline(
    shards: list[ShardRange],
    after: dict[str, int],
    metas: dict[str, IndexMeta],
    settings: Settings,
    encoders: int,
    cpus: float,
) -> Dataset:
    ray = _import_ray()
    work = [{"shard": pickle.dumps((shard, after.get(shard.key, -1), metas[shard.index]))} for shard in shards]

    def read(batch: Batch) -> Iterator[Batch]:
        for one in batch["shard"]:
            for page in _pages(settings, *pickle.loads(one)):
                yield {"page": np.array([pickle.dumps(page)], dtype=object)}

    made: Dataset = (
        ray.data.from_items(work, override_num_blocks=max(1, len(work)))
        .map_batches(read, batch_size=1, num_cpus=0.1)
        .map_batches(
            Encoder,
            batch_size=1,
            fn_constructor_args=(settings, metas),
            compute=ray.data.ActorPoolStrategy(size=encoders),
            num_cpus=cpus,
        )
    )
    return made


def _pages(settings: Settings, shard: ShardRange, after: int, meta: IndexMeta) -> Iterator[list[StoredDocument]]:
    """The pages of a shard, one at a time, in a process without an event loop."""
    with asyncio.Runner() as runner:
        engine = open_engine(settings).as_caller(_identity(settings))
        try:
            pages = engine.pages(shard, after, meta)
            while (page := runner.run(_next(pages))) is not None:
                yield page
        finally:
            runner.run(engine.aclose())


async def _next(pages: Any) -> list[StoredDocument] | None:  # noqa: ANN401  # an async iterator; anext takes more
    return await anext(pages, None)


def _add(report: Report, row: Batch) -> None:
    counts, not_done, actor = pickle.loads(row["outcome"])
    report.counts += counts
    report.not_done += not_done
    report.encoders.add(actor)


async def _estimated(index: str, settings: Settings) -> Estimate:
    """What the run will take; encodes a sample here, so that a model which is missing is missed before Ray starts."""
    async with pipeline(settings) as context:
        ours = context.for_caller(_identity(settings))
        return await estimate(await ours.engine.groups(index), ours)


async def _metas(index: str, engine: Engine) -> dict[str, IndexMeta]:
    groups = await engine.groups(index)
    metas = {name: group.meta for group in groups if group.meta is not None for name in group.names}
    if not metas:
        raise precondition(f"index {index!r} is not set up for cherche", f"run: cherche setup {index}")
    return metas


async def _shards(index: str, metas: dict[str, IndexMeta], engine: Engine) -> list[ShardRange]:
    shards = [shard for shard in await engine.shards(index) if shard.index in metas]
    await engine.refresh(index)
    return shards


async def _with_engine(settings: Settings, call: Callable[[Engine], Awaitable[T]]) -> T:
    engine = open_engine(settings)
    try:
        return await call(engine.as_caller(_identity(settings)))
    finally:
        await engine.aclose()


def _identity(settings: Settings) -> Identity:
    return Identity(settings.secret("authorization") or None)


def _actor() -> str:
    return str(_import_ray().get_runtime_context().get_actor_id())


def _import_ray() -> Any:  # noqa: ANN401  # a module without types
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise precondition("Ray is not installed", "run: pip install 'cherche-sidecar[ray]'") from error
    return ray


@click.command()
@click.argument("index")
@click.option("--encoders", default=2, show_default=True, type=click.IntRange(1), help="Actors with a model each.")
@click.option("--cpus", default=1.0, show_default=True, type=click.FloatRange(0), help="Processors of each.")
@click.option("--ignore-disk", is_flag=True, help="Go on where the disk may not suffice.")
def main(index: str, encoders: int, cpus: float, ignore_disk: bool) -> None:
    """Encode what INDEX holds and is not encoded, on a Ray cluster; settings as of cherche serve."""
    report = backfill(index, config.load(), encoders=encoders, cpus=cpus, ignore_disk=ignore_disk)
    for one in report.not_done:
        click.echo(f"{one.index} {one.id}: {one.error}", err=True)
    # As `cherche backfill` prints it: conflicts under the name that the wire gives them.
    counts = {"outrun" if name == "conflicts" else name: count for name, count in report.counts.items()}
    done = {"index": index, "rounds": report.rounds, "encoders": len(report.encoders), **counts}
    click.echo(json.dumps(done))
    sys.exit(1 if report.counts["failed"] else 0)


if __name__ == "__main__":
    main()
