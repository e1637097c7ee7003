"""Nodes are lost and come back: what `setup` makes by itself keeps every weight, and what doctor warns of does not.

The whole matrix, with snapshots and every node lost in turn, is ``python -m tests.benchmarks.prove nodes``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sidecar.cluster import Nodes, running_nodes
from sidecar.cluster.parts import OPENSEARCH
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from tests.brief import brief
from tests.integration.nodes.copies import (
    PATIENT,
    Corpus,
    asked,
    create,
    engine_of,
    green,
    node_of,
    replayed,
    send,
    settled,
)
from tests.integration.opensearch.corpus import META

pytestmark = [pytest.mark.java, pytest.mark.timeout(600)]
BEFORE, MISSED = 300, 200


@pytest.fixture(scope="module")
def nodes(require: Callable[[str, str], None]) -> Iterator[Nodes]:
    environment = {name: value for name, value in os.environ.items() if name != "OPENSEARCH_URL"}
    try:
        with running_nodes(3, "512m", environment=environment, server=brief(OPENSEARCH)) as running:
            yield running
    except ChercheError as error:
        if error.code != Code.FAILED_PRECONDITION:
            raise
        require("java", str(error))


@pytest.fixture
async def first(nodes: Nodes) -> AsyncIterator[OpenSearchEngine]:
    async with engine_of(nodes, "node-1") as engine:
        yield engine


async def set_up(engine: OpenSearchEngine, index: str, replication: str) -> None:
    """An index as `setup` makes it where a template chooses the replication."""
    settings = {**PATIENT, "index.number_of_replicas": 1, "index.replication.type": replication}
    await send(
        engine, "PUT", f"/_index_template/{index}", {"index_patterns": [index], "template": {"settings": settings}}
    )
    await engine.setup(index, META)
    await green(engine, index)


async def test_a_node_that_missed_writes_comes_back(nodes: Nodes, first: OpenSearchEngine) -> None:
    await set_up(first, "by-document", "DOCUMENT")
    await set_up(first, "by-segment", "SEGMENT")
    await create(first, "losing", lean=True, number_of_replicas=1)
    corpora = [Corpus(index) for index in ("by-document", "by-segment", "losing")]
    for corpus in corpora:
        await corpus.write(first, corpus.more(BEFORE))
        assert all(copy.is_whole for copy in await settled(first, corpus))
    lost = await node_of(first, "losing", primary=False)
    living = next(spec.name for spec in nodes.specs if spec.name != lost)
    nodes.kill(lost)
    async with engine_of(nodes, living) as engine:
        for corpus in corpora:
            await corpus.write(engine, corpus.more(MISSED))
        nodes.start(lost)
        await green(engine)
        for corpus in corpora[:2]:
            copies = await settled(engine, corpus)
            assert len(copies) == 2
            assert all(copy.is_whole for copy in copies), copies
            assert await engine.hazards(corpus.index) == ()
        primary, returned = sorted(await asked(engine, corpora[2]), key=lambda copy: not copy.is_primary)
        assert primary.is_whole
        assert await replayed(engine, "losing", lost) >= MISSED
        assert (returned.node, returned.documents) == (lost, BEFORE + MISSED)
        assert returned.codes == returned.terms == returned.weights == BEFORE
        [warning] = await engine.hazards("losing")
        assert "recovery source" in warning


async def test_a_moved_shard_of_an_index_without_replicas(nodes: Nodes, first: OpenSearchEngine) -> None:
    # The balancer moves shards too: before the test does, or back.
    await send(first, "PUT", "/_cluster/settings", {"persistent": {"cluster.routing.rebalance.enable": "none"}})
    await green(first)
    await create(first, "alone-losing", lean=True, number_of_replicas=0)
    await send(
        first,
        "PUT",
        "/_index_template/alone",
        {"index_patterns": ["alone"], "template": {"settings": {"index.number_of_replicas": 0}}},
    )
    await first.setup("alone", META)
    found = []
    for corpus in (Corpus("alone"), Corpus("alone-losing")):
        await corpus.write(first, corpus.more(BEFORE))
        here = await node_of(first, corpus.index, primary=True)
        there = next(spec.name for spec in nodes.specs if spec.name != here)
        move = {"index": corpus.index, "shard": 0, "from_node": here, "to_node": there}
        await send(first, "POST", "/_cluster/reroute", {"commands": [{"move": move}]})
        await green(first, corpus.index)
        [copy] = await asked(first, corpus)
        assert (copy.node, copy.documents) == (there, BEFORE)
        found.append(copy)
    assert found[0].is_whole
    assert found[1].codes == found[1].weights == 0
    assert len(await first.hazards("alone-losing")) == 1
