"""What is kept of a cluster: for how long, for whom, and what makes it go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.known import _DRIFT, Frequencies, Kept, Known
from sidecar.values.documents import CODES, TERMS, WEIGHTS
from sidecar.values.first_stage import Query
from sidecar.values.index import Fingerprint, Identity, IndexMeta, TextField
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine

META = IndexMeta("m", Fingerprint("a" * 64, ""), (TextField("text"),), 64)
FEATURES = [(1, "sun"), (2, "sea")]


@dataclass
class Cluster:
    """An index that others may change."""

    meta: IndexMeta | None = META
    uuid: str = "first"
    counts: dict[str, int] = field(default_factory=lambda: {"sun": 3, "sea": 2})
    total: int = 100
    excludes: tuple[str, ...] = ()
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.transport = FakeTransport(self.answer)
        self.engine = engine(self.transport, known=Known(clock=lambda: self.now))

    def answer(self, request: Sent) -> Any:
        if request.path.endswith("/_mapping"):
            meta = {} if self.meta is None else {"_meta": {"cherche": self.meta.to_json()}}
            source = {"excludes": list(self.excludes)}
            return {"books": {"mappings": {**meta, "_source": source, "properties": {"text": {"type": "text"}}}}}
        if request.path.endswith("/_settings"):
            return {"books": {"settings": {"index.uuid": self.uuid}}}
        if request.path.endswith("/_search"):
            filters = request.body.get("aggs", {}).get("counts", {}).get("filters", {}).get("filters", [])
            names = [one.get("rank_feature", {}).get("field", "").partition(".")[2] for one in filters]
            buckets = [{"doc_count": self.counts.get(name, 0)} for name in names]
            hits = {"total": {"value": self.total}, "hits": []}
            return {"hits": hits, "aggregations": {"counts": {"buckets": buckets}}}
        return {}

    def asked(self, ending: str) -> int:
        """Requests so far to paths that end so."""
        return sum(sent.path.endswith(ending) for sent in self.transport.sent)


async def test_an_index_is_asked_about_once_in_a_while() -> None:
    cluster = Cluster()
    for _ in range(3):
        [group] = await cluster.engine.groups("books", max_age=1.0)
        assert group.meta == META
        cluster.now += 0.4
    assert (cluster.asked("/_mapping"), cluster.asked("/_settings")) == (1, 1)
    cluster.now += 0.1
    await cluster.engine.groups("books", max_age=1.0)
    assert cluster.asked("/_mapping") == 2


async def test_what_another_process_changed_is_seen_when_its_time_is_over_and_at_once_where_no_age_is_allowed() -> None:
    cluster = Cluster(meta=None)
    assert (await cluster.engine.groups("books", max_age=1.0))[0].meta is None
    cluster.meta = META  # set up
    assert (await cluster.engine.groups("books", max_age=1.0))[0].meta is None
    assert (await cluster.engine.groups("books"))[0].meta == META
    cluster.meta = None  # removed
    assert (await cluster.engine.groups("books", max_age=1.0))[0].meta == META
    cluster.now += 1.0
    assert (await cluster.engine.groups("books", max_age=1.0))[0].meta is None


async def test_the_time_counts_from_before_the_question() -> None:
    cluster = Cluster()
    answer = cluster.answer

    def slow(request: Sent) -> Any:
        cluster.now += 0.6  # each of two requests
        return answer(request)

    cluster.transport.answer = slow
    await cluster.engine.groups("books", max_age=1.0)
    await cluster.engine.groups("books", max_age=1.0)
    assert cluster.asked("/_mapping") == 2


async def test_whole_sources_are_asked_for_where_all_behind_a_name_are_known_to_be_lean() -> None:
    for excludes, whole in (((WEIGHTS, TERMS, CODES), True), ((WEIGHTS, TERMS), False)):
        cluster = Cluster(excludes=excludes)
        asked = []
        for caller in ("Basic one", "Basic two"):
            acting = cluster.engine.as_caller(Identity(caller))
            await acting.search("books", Query("x", "bm25", ()))
            asked.append(cluster.transport.sent[-1].body["_source"])
            await cluster.engine.as_caller(Identity("Basic one")).groups("books")
        assert [one is True for one in asked] == [False, False]  # of the second caller nothing is known
        await cluster.engine.as_caller(Identity("Basic one")).search("books", Query("x", "bm25", ()))
        assert (cluster.transport.sent[-1].body["_source"] is True) == whole


async def test_callers_do_not_share_what_they_may_see() -> None:
    cluster = Cluster()
    for caller in ("Basic one", "Basic two", "Basic one"):
        await cluster.engine.as_caller(Identity(caller)).groups("books", max_age=1.0)
    assert cluster.asked("/_mapping") == 2


async def test_a_change_from_here_is_seen_at_once() -> None:
    cluster = Cluster()
    await cluster.engine.groups("books", max_age=1.0)
    await cluster.engine.setup("books", META)
    before = cluster.asked("/_mapping")
    await cluster.engine.groups("books", max_age=1.0)
    assert cluster.asked("/_mapping") == before + 1


async def frequencies(engine: OpenSearchEngine, features: list[tuple[int, str]] = FEATURES) -> tuple[list[int], int]:
    return await engine.document_frequencies("books", features, max_age=60.0)


async def test_only_features_that_are_not_known_are_counted() -> None:
    cluster = Cluster()
    assert await frequencies(cluster.engine, FEATURES[:1]) == ([3], 100)
    cluster.counts = {"sun": 5, "sea": 4}
    assert await frequencies(cluster.engine) == ([3, 4], 100)
    assert await frequencies(cluster.engine, FEATURES[::-1]) == ([4, 3], 100)
    assert cluster.asked("/_search") == 2
    cluster.now += 60.0
    assert await frequencies(cluster.engine) == ([5, 4], 100)
    assert cluster.asked("/_search") == 3


async def test_counts_are_taken_anew_where_no_age_is_allowed() -> None:
    cluster = Cluster()
    await frequencies(cluster.engine)
    cluster.counts, cluster.total = {"sun": 5, "sea": 4}, 101
    assert await cluster.engine.document_frequencies("books", FEATURES) == ([5, 4], 101)
    assert await cluster.engine.document_frequencies("books", []) == ([], 101)


async def test_counts_of_an_index_that_grew_or_shrank_are_taken_anew() -> None:
    cluster = Cluster()
    await frequencies(cluster.engine, FEATURES[:1])
    cluster.counts, cluster.total = {"sun": 50, "sea": 40}, 106
    assert await frequencies(cluster.engine) == ([50, 40], 106)
    assert await frequencies(cluster.engine) == ([50, 40], 106)
    assert cluster.asked("/_search") == 3  # sun, sea, both


async def test_no_more_documents_hold_a_feature_than_there_are() -> None:
    cluster = Cluster(counts={"sun": 100, "sea": 1})
    await frequencies(cluster.engine, FEATURES[:1])
    cluster.total = 97  # some were deleted, too few to count anew
    assert await frequencies(cluster.engine) == ([97, 1], 97)


async def test_counts_go_with_an_index_that_was_created_again() -> None:
    cluster = Cluster()
    await cluster.engine.groups("books", max_age=1.0)
    await frequencies(cluster.engine)
    cluster.uuid, cluster.counts = "second", {"sun": 9, "sea": 8}
    cluster.now += 1.0
    await cluster.engine.groups("books", max_age=1.0)
    assert await frequencies(cluster.engine) == ([9, 8], 100)


def test_what_is_kept_is_bounded() -> None:
    kept = Kept[int](limit=3)
    for number in range(10):
        kept.put(("", str(number)), number)
    assert [kept.get(("", str(number))) for number in range(10)] == [None] * 7 + [7, 8, 9]
    table = Frequencies()
    for start in range(0, 1 << 16, 1 << 12):
        table.add({str(number): 1 for number in range(start, start + (1 << 12))}, 100, 0.0)
        assert len(table._counts) <= 1 << 14


def test_drift_is_of_the_number_that_was_counted_with() -> None:
    table = Frequencies()
    table.add({"sun": 3}, 1000, 1.0)
    assert not table.has_drifted(1000 + int(1000 * _DRIFT))
    assert table.has_drifted(1001 + int(1000 * _DRIFT))
    assert table.has_drifted(900)
