"""What copies keep when nodes die, shards move and snapshots are restored: ``python -m tests.benchmarks.prove nodes``.

Three nodes. Document and segment replication in turn, our fields in the recovery source or left out of it, one
replica; and indices without replicas. Each node in turn is killed, misses 1,000 writes and returns; a shard moves
while 1,000 more are written; a snapshot is taken and restored. After every step each copy of each shard is asked for
every document: codes and packed terms byte for byte, weights by their sum. Needs Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Any

from sidecar.cluster import Nodes, running_nodes
from sidecar.engines.opensearch import OpenSearchEngine
from tests.integration.nodes.copies import Copy, Corpus, asked, create, engine_of, green, node_of, send

HEAP = "512m"
WRITES = 1000
TERMS, CODE_BYTES = 120, 6500  # as of a SciFact abstract after pruning, and of its 180 tokens in 2-bit codes
REPOSITORY = "/_snapshot/nodes"

# name → replication, recovery source left out, replicas
COMBINATIONS = {
    "document-kept": ("DOCUMENT", False, 1),
    "document-excluded": ("DOCUMENT", True, 1),
    "segment-kept": ("SEGMENT", False, 1),
    "segment-excluded": ("SEGMENT", True, 1),
    "alone-document-kept": ("DOCUMENT", False, 0),
    "alone-document-excluded": ("DOCUMENT", True, 0),
    "alone-segment-excluded": ("SEGMENT", True, 0),
}


class Story:
    """One index of a combination: what was written to it, and what its copies held after each step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.replication, self.is_lean, self.replicas = COMBINATIONS[name]
        self.corpus = Corpus(name, terms=TERMS, code_bytes=CODE_BYTES)
        self.steps: dict[str, Any] = {}
        self.figures: dict[str, float] = {}

    async def begin(self, engine: OpenSearchEngine) -> None:
        """Make the index and write the first documents."""
        settings = {
            "number_of_shards": 3,
            "number_of_replicas": self.replicas,
            "replication.type": self.replication,
            "store.stats_refresh_interval": "0s",  # else the size is that of ten seconds ago
        }
        await create(engine, self.name, lean=self.is_lean, **settings)
        await self.corpus.write(engine, self.corpus.more(WRITES))
        await send(engine, "POST", f"/{self.name}/_flush")
        self.figures["bytes_per_document"] = round(await self.size(engine) / WRITES)

    async def size(self, engine: OpenSearchEngine) -> int:
        """Bytes of the primaries."""
        stats = await send(engine, "GET", f"/{self.name}/_stats/store")
        return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])

    async def look(self, engine: OpenSearchEngine, step: str, index: str = "") -> None:
        """Ask every copy, and write down what it holds."""
        self.steps[step] = summary(await asked(engine, self.corpus, index))

    @property
    def result(self) -> dict[str, Any]:
        """Everything, for the results file."""
        lost = [step for step, seen in self.steps.items() if seen["copies"] != seen["whole_copies"]]
        return {
            "replication": self.replication,
            "recovery_source": "excluded" if self.is_lean else "kept",
            "replicas": self.replicas,
            "keeps_everything": not lost,
            **self.figures,
            "documents": len(self.corpus.acknowledged),
            "steps": self.steps,
        }


def summary(copies: Sequence[Copy]) -> dict[str, int]:
    """How many copies there are and how many are whole; documents over all copies, and those that lack something."""
    return {
        "copies": len(copies),
        "whole_copies": sum(copy.is_whole for copy in copies),
        "documents_on_copies": sum(copy.expected for copy in copies),
        "without_document": sum(copy.expected - copy.documents for copy in copies),
        "without_codes": sum(copy.documents - copy.codes for copy in copies),
        "without_weights": sum(copy.documents - copy.weights for copy in copies),
    }


async def lose_each_node(nodes: Nodes, stories: Iterable[Story]) -> None:
    """Kill each node in turn, write what it misses, look at the survivors, let it return, look again."""
    names = [spec.name for spec in nodes.specs]
    for lost, living in zip(names, names[1:] + names[:1], strict=True):
        nodes.kill(lost)
        async with engine_of(nodes, living) as engine:
            for story in stories:
                await story.corpus.write(engine, story.corpus.more(WRITES))
                await story.look(engine, f"{lost} is gone, its primaries are promoted elsewhere")
            nodes.start(lost)
            await green(engine)
            for story in stories:
                await story.look(engine, f"{lost} is back, having missed {WRITES:,} writes")


async def move_while_writing(engine: OpenSearchEngine, nodes: Nodes, story: Story) -> None:
    """Move a primary to a node that has no copy, and write meanwhile."""
    index = story.name
    here = await node_of(engine, index, primary=True)
    taken = {here, await node_of(engine, index, primary=False)} if story.replicas else {here}
    there = next(spec.name for spec in nodes.specs if spec.name not in taken)
    move = {"index": index, "shard": 0, "from_node": here, "to_node": there}
    documents = story.corpus.more(WRITES)
    await story.corpus.write(engine, documents[: WRITES // 2])
    await asyncio.gather(
        send(engine, "POST", "/_cluster/reroute", {"commands": [{"move": move}]}),
        story.corpus.write(engine, documents[WRITES // 2 :]),
    )
    await green(engine, index)
    await story.look(engine, f"a primary moved while {WRITES:,} were written")


async def add_replica(engine: OpenSearchEngine, story: Story) -> None:
    """Give an index without replicas one."""
    await story.corpus.write(engine, story.corpus.more(WRITES))
    await send(engine, "PUT", f"/{story.name}/_settings", {"index.number_of_replicas": 1})
    await green(engine, story.name)
    await story.look(engine, f"a replica was added after {WRITES:,} writes")


async def snapshot(engine: OpenSearchEngine, nodes: Nodes, stories: Sequence[Story]) -> None:
    """Take a snapshot of all indices and restore it beside them."""
    await send(engine, "PUT", REPOSITORY, {"type": "fs", "settings": {"location": str(nodes.snapshots)}})
    names = {"indices": ",".join(story.name for story in stories), "include_global_state": False}
    await send(engine, "PUT", f"{REPOSITORY}/one", names, wait_for_completion="true")
    renamed = {"rename_pattern": "(.+)", "rename_replacement": "restored-$1"}
    restored = await send(
        engine, "POST", f"{REPOSITORY}/one/_restore", {**names, **renamed}, wait_for_completion="true"
    )
    assert restored["snapshot"]["shards"]["failed"] == 0
    await green(engine)
    for story in stories:
        await story.look(engine, "restored from a snapshot", f"restored-{story.name}")


async def tell(nodes: Nodes) -> dict[str, Any]:
    """The whole story of every combination."""
    stories = [Story(name) for name in COMBINATIONS]
    replicated = [story for story in stories if story.replicas]
    async with engine_of(nodes, "node-1") as engine:
        for story in stories:
            await story.begin(engine)
            await story.look(engine, "written")
    await lose_each_node(nodes, replicated)
    async with engine_of(nodes, "node-1") as engine:
        for story in stories:
            if not story.replicas:
                await story.look(engine, "every node was lost once and came back")
            await move_while_writing(engine, nodes, story)
            if not story.replicas:
                await add_replica(engine, story)
        await snapshot(engine, nodes, stories)
    return {story.name: story.result for story in stories}


def measure() -> dict[str, Any]:
    """Section ``nodes`` of the proofs."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENSEARCH_URL"}
    with running_nodes(3, HEAP, environment=environment) as nodes:
        combinations = asyncio.run(tell(nodes))
    kept = [name for name, figures in combinations.items() if figures["keeps_everything"]]
    return {
        "nodes": 3,
        "heap": HEAP,
        "terms_per_document": TERMS,
        "code_bytes_per_document": CODE_BYTES,
        "keep_everything": kept,
        "lose": [name for name in combinations if name not in kept],
        "combinations": combinations,
    }
