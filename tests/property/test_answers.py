"""Whatever a cluster answers, a call gives a typed error, and calls nothing stored that is not."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.answers import outcomes
from sidecar.engines.opensearch.dialect import choose
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument, Version, WriteResult
from sidecar.values.first_stage import Query
from sidecar.values.maintenance import Placement
from tests.contract.test_elasticsearch import CLAUSES, META, TERMS, Specified, engine
from tests.unit.sidecar.engines.opensearch import fakes

DEEP: Any = {}
for _ in range(50):
    DEEP = {"hits": [DEEP]}
NUMBERS = (-1, 0, 1 << 70, 2.5, float("nan"), float("inf"), True)
ODD: tuple[Any, ...] = (None, "", "x", "AAA", *NUMBERS, [], {}, [None], DEEP)
IDS = tuple(str(n) for n in range(6))
DOCUMENT = StoredDocument("1", {"title": "sun"}, "h", "ok", features={"sun": 1.5}, terms=TERMS)


@dataclass
class Mutated(Specified):
    """A cluster one of whose answers was changed on its way, in one to three places."""

    random: random.Random = field(default_factory=random.Random)
    every: float = 0.3

    async def perform_request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        reply = await super().perform_request(method, url, *arguments, **options)
        # Another version would be spoken to as that version.
        if url == "/" or self.random.random() > self.every:
            return reply
        for _ in range(self.random.randint(1, 3)):
            reply = mutated(copy.deepcopy(reply), self.random)
        return reply


def mutated(reply: Any, rng: random.Random) -> Any:
    """An answer with one part of it gone, odd, repeated or elsewhere."""
    places = [(None, None), *parts(reply)]
    within, key = rng.choice(places)
    if within is None:
        return rng.choice(ODD)
    what = rng.choice(("odd", "odd", "gone", "twice", "order"))
    if what == "gone":
        del within[key]
    elif what == "odd" or not isinstance(within, list):
        within[key] = rng.choice(ODD)
    elif what == "twice":
        within.insert(key, within[key])
    else:
        rng.shuffle(within)
    return reply


def parts(value: Any) -> list[tuple[Any, Any]]:
    """Every place within an answer."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in list(keys) for place in ((value, key), *parts(value[key]))]


async def _search(ours: OpenSearchEngine, **options: Any) -> None:
    query = Query("sun", "hybrid", META.fields, clauses=CLAUSES, timeout=2.0, with_terms=True, **options)
    await ours.search("books", query)


async def _pages(ours: OpenSearchEngine) -> None:
    for shard in await ours.shards("books"):
        async for page in ours.pages(shard, -1, META):
            await ours.update(page)


async def _scan(ours: OpenSearchEngine) -> None:
    async for _ in ours.scan("books"):
        pass


async def _replace(ours: OpenSearchEngine) -> None:
    successors = await ours.successors()
    read = replace(DOCUMENT, version=Version(0, 1, "books"))
    await successors.create("new", "books", META)
    held = await successors.held("new", [read])
    await successors.place("new", [Placement(DOCUMENT, "", one.version) for one in held.values()])
    await successors.absent("new", [read])
    await successors.discard([read])
    await successors.announce("books", "new", {}, {})
    await successors.serving("books")
    await successors.switch("shelf", ["books"], ["new"])
    await successors.clone("books", "copy")
    await successors.replace("books", "copy")
    await successors.roll("logs", META)


async def _facts(ours: OpenSearchEngine) -> None:
    await ours.info()
    await ours.meta("books")
    await ours.groups("books")
    await ours.identities("books")
    await ours.stats("books")
    await ours.gaps("books", META)
    await ours.hazards("books")
    await ours.load()
    await ours.room("books")
    await ours.document_frequencies("books", [(7, "sun")])


CALLS: Mapping[str, Callable[[OpenSearchEngine], Awaitable[Any]]] = {
    "search": _search,
    "ranks": lambda ours: _search(ours, fusion="rrf"),
    "point in time": lambda ours: _search(ours, keep_pit=True),
    "read": lambda ours: ours.read("books", ["1", "2"]),
    "write": lambda ours: ours.write("books", [DOCUMENT]),
    "setup": lambda ours: ours.setup("books", META),
    "template": lambda ours: ours.setup("logs", META),
    "remove": lambda ours: ours.remove("books", dry_run=True),
    "sample": lambda ours: ours.sample("books", 3),
    "refresh": lambda ours: ours.refresh("books"),
    "scan": _scan,
    "pages": _pages,
    "replace": _replace,
    "facts": _facts,
}


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(["7.17.29", "9.1.0"]))
def test_no_answer_is_a_defect(name: str, seed: int, version: str) -> None:
    cluster = Mutated(version, absent={"new", "copy", "logs"}, random=random.Random(seed))
    error = asyncio.run(asyncio.wait_for(_failure(cluster, name), 20))
    assert error is None or error.code is not Code.INTERNAL


async def _failure(cluster: Mutated, name: str) -> ChercheError | None:
    try:
        await CALLS[name](engine(cluster))
    except ChercheError as error:
        return error
    return None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_no_root_is_a_defect(seed: int) -> None:
    root = mutated({"name": "n", "version": {"number": "9.1.0", "build_flavor": "default"}}, random.Random(seed))
    try:
        choose(root)
    except ChercheError as refused:
        code = refused.code
    else:
        code = Code.FAILED_PRECONDITION
    assert code is Code.FAILED_PRECONDITION


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_nothing_is_acknowledged_that_was_not_stored(seed: int) -> None:
    """However the answer to a bulk is cut, repeated, reordered or rewritten."""
    rng = random.Random(seed)
    stored = {id for id in IDS if rng.random() < 0.7}

    def answer(request: fakes.Sent) -> Any:
        items = [fakes.written(id) if id in stored else fakes.failed(id, 400, "mapper_parsing_exception") for id in IDS]
        reply: Any = {"took": 1, "errors": len(stored) < len(IDS), "items": items}
        for _ in range(rng.randint(0, 3)):
            reply = _changed_without_lies(reply, rng)
        return reply

    documents = [StoredDocument(id, {"title": id}, "h", "ok") for id in IDS]
    results: list[WriteResult] = asyncio.run(fakes.engine(fakes.FakeTransport(answer)).write("books", documents))
    assert [result.id for result in results] == list(IDS)
    assert {result.id for result in results if result.error is None} <= stored
    assert all(result.error is None or result.error.code is not Code.INTERNAL for result in results)


def _changed_without_lies(reply: Any, rng: random.Random) -> Any:
    """As `mutated`, but nothing that was refused is called stored under its own id: no reader could tell."""
    before = copy.deepcopy(reply)
    after = mutated(reply, rng)
    refused = [one["_id"] for one in outcomes(before, len(IDS)) if one.get("error") is not None and "_id" in one]
    lies = any(one.get("_id") in refused and one.get("error") is None for one in outcomes(after, len(IDS)))
    return before if lies else after


def test_the_mutations_reach_what_a_reader_without_checks_would_stumble_over() -> None:
    """Or the properties above would hold for any reader."""
    stumbled = 0
    for seed in range(200):
        reply = mutated({"hits": {"hits": [{"_id": "a", "_score": 1.0}]}}, random.Random(seed))
        try:
            [float(hit["_score"]) for hit in reply["hits"]["hits"]]
        except (KeyError, TypeError, ValueError):
            stumbled += 1
    assert stumbled > 50
