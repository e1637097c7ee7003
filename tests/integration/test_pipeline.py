"""Whole flows over both engines and batched models: what the parts promise must hold together."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.setup import remove, report, setup
from sidecar.models.batcher import BatchOptions
from sidecar.models.registry import Registry
from sidecar.pipeline import Context, PageSigner, explain, ingest, search
from sidecar.pipeline.context import Limits
from sidecar.pipeline.encode import share_tokens
from sidecar.protocols import Engine
from sidecar.testing import FakeModel
from sidecar.values.documents import IngestResult, SourceDocument, StoredDocument
from sidecar.values.index import Identity, IndexOptions, TextField
from sidecar.values.search import RerankStatus, SearchRequest, SearchResult

ENGINES = ("embedded", "opensearch", "elasticsearch")
SYNONYMS = {"automobile": "car", "physician": "doctor", "purchase": "buy"}
SUBJECTS = ("car", "doctor", "boat", "garden", "winter", "music", "bread", "river")
VERBS = ("buy", "sell", "paint", "repair", "watch", "carry")


def corpus(count: int = 60) -> list[SourceDocument]:
    """Texts of a subject, a verb and a tail that differs in length, with a field that is not encoded."""
    documents = []
    for i in range(count):
        subject, verb = SUBJECTS[i % 8], VERBS[i % 6]
        text = f"how to {verb} a {subject} in the town {' '.join(['again'] * (i % 5))}"
        source = {"title": f"{subject} number {i}", "text": text, "year": 1900 + i}
        documents.append(SourceDocument(f"doc-{i:03}", json.dumps(source).encode()))
    return documents


@dataclass
class Bench:
    """An index of its own, and models behind batchers."""

    engine: Engine
    models: Sequence[Any]
    index: str = "articles"
    options: BatchOptions = field(default_factory=lambda: BatchOptions(tokens=256))

    async def __aenter__(self) -> Bench:
        served = {model.info.name: model for model in self.models}
        self.registry = Registry(lambda name, _: served[name], self.models[0].info.name, options=lambda _: self.options)
        for name in served:
            await self.registry.load(name, "in memory")
        self.forget_passes()
        self.context = Context(self.engine, self.registry, PageSigner(b"k" * 16))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.registry.aclose()

    @property
    def passes(self) -> list[int]:
        """Texts that each model encoded since the last `forget_passes`."""
        return [sum(map(len, model.batches)) for model in self.models]

    def forget_passes(self) -> None:
        for model in self.models:
            if isinstance(model, FakeModel):
                model.batches.clear()

    async def set_up(self, **options: Any) -> Any:
        return await setup(self.index, IndexOptions(**options), self.context, dry_run=False)

    async def feed(self, documents: Sequence[SourceDocument], **options: Any) -> list[IngestResult]:
        async def arriving() -> AsyncIterator[SourceDocument]:
            for document in documents:
                yield document

        async with aclosing(ingest(arriving(), self.index, self.context, **options)) as results:
            return [result async for result in results]

    async def ask(self, text: str, **options: Any) -> SearchResult:
        return await search(SearchRequest(self.index, text, **options), self.context)

    async def dump(self) -> list[StoredDocument]:
        await self.engine.refresh(self.index)
        return [document async for document in self.engine.scan(self.index)]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    yield engine
    await engine.aclose()


@pytest.fixture
async def opensearch(opensearch_url: str) -> AsyncIterator[Engine]:
    engine = OpenSearchEngine.connect(opensearch_url)
    yield engine
    await engine.aclose()


@pytest.fixture
async def elasticsearch(elasticsearch_url: str) -> AsyncIterator[Engine]:
    engine = OpenSearchEngine.connect(elasticsearch_url)
    yield engine
    await engine.aclose()


@pytest.fixture
def engine(engine_name: str, request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.getfixturevalue(engine_name)
    return found


@pytest.fixture
def index(engine_name: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that nobody used; a cluster loses it afterwards."""
    name = f"cherche-test-{uuid.uuid4().hex[:12]}"
    yield name
    if engine_name != "embedded":
        url = request.getfixturevalue(f"{engine_name}_url").rstrip("/")
        for suffix in ("", "-other", "-lean"):
            with suppress(HTTPError):
                gone = urllib.request.Request(f"{url}/{name}{suffix}", method="DELETE")
                urllib.request.urlopen(gone, timeout=30).close()


@pytest.fixture
async def bench(engine: Engine, index: str) -> AsyncIterator[Bench]:
    """One joint model over each engine in turn; nothing set up yet."""
    async with Bench(engine, [FakeModel(synonyms=SYNONYMS)], index) as bench:
        yield bench


@pytest.fixture
async def filled(bench: Bench) -> Bench:
    await bench.set_up()
    results = await bench.feed(corpus())
    assert {result.outcome for result in results} == {"encoded"}
    bench.forget_passes()
    return bench


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


async def test_the_sparse_stage_finds_what_bm25_cannot(filled: Bench) -> None:
    assert not ids(await filled.ask("automobile", mode="bm25"))
    for mode in ("sparse", "hybrid"):
        result = await filled.ask("automobile", mode=mode)
        assert {hit.source["title"].split()[0] for hit in result.hits} == {"car"}


@pytest.mark.parametrize("boost", [0.25, 1.0])
async def test_shown_is_scored(filled: Bench, boost: float) -> None:
    request = SearchRequest(filled.index, "purchase a car", rerank=True, sparse_boost=boost, rerank_weight=0.4, size=30)
    result, explained = await explain(request, filled.context)
    assert result.rerank.status == RerankStatus.APPLIED
    assert len(result.hits) == len(explained) == 30
    for hit, one in zip(result.hits, explained, strict=True):
        parts = hit.parts
        assert parts.first_stage == pytest.approx(parts.lexical + parts.sparse, rel=1e-6)
        assert sum(term.contribution for term in one.terms) == pytest.approx(parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(parts.maxsim, abs=1e-5)
        assert hit.score == pytest.approx(0.6 * parts.first_stage_scaled + 0.4 * parts.maxsim_scaled)
        words = f"{hit.source['title']} {hit.source['text']}".split()
        assert {match.document_token for match in one.matches} <= set(words)
        assert not one.notes
    assert {term.token for one in explained for term in one.terms} >= {
        f"h{filled.models[0].token_id(word) - 6}" for word in ("car", "buy")
    }


async def test_a_joint_model_passes_once_over_documents_and_queries(bench: Bench) -> None:
    await bench.set_up()
    bench.forget_passes()
    await bench.feed(corpus())
    assert bench.passes == [60]
    await bench.ask("buy a car", rerank=True)
    assert bench.passes == [61]


async def test_two_models_pass_once_each(embedded: Engine) -> None:
    models = [FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False, dim=8)]
    async with Bench(embedded, models) as bench:
        await bench.set_up(reranker="late")
        await bench.feed(corpus())
        assert bench.passes == [60, 60]
        result = await bench.ask("buy a car", rerank=True)
        assert (result.rerank.status, bench.passes) == (RerankStatus.APPLIED, [61, 61])
        await bench.ask("buy a car", rerank=True, query_mode="doc_only")
        assert bench.passes == [61, 62]
        await bench.ask("buy a car", mode="bm25")
        assert bench.passes == [61, 62]


async def test_fed_twice_changes_nothing_and_encodes_nothing(filled: Bench) -> None:
    before = await filled.dump()
    results = await filled.feed(corpus())
    assert {result.outcome for result in results} == {"unchanged"}
    assert filled.passes == [0]
    assert await filled.dump() == before


async def test_updates_of_another_field_keep_weights_and_codes(filled: Bench) -> None:
    before = {document.id: document for document in await filled.dump()}
    changed = []
    for document in corpus():
        source = json.loads(document.raw)
        changed.append(SourceDocument(document.id, json.dumps({**source, "year": -source["year"]}).encode()))
    results = await filled.feed(changed)
    assert {result.outcome for result in results} == {"reused"}
    assert filled.passes == [0]
    for document in await filled.dump():
        assert document.source["year"] < 0
        assert document == replace(before[document.id], source=document.source)
    assert (await filled.ask("car", rerank=True)).rerank.status == RerankStatus.APPLIED


async def test_a_feed_that_is_cut_and_resumed_ends_as_an_uninterrupted_one(filled: Bench) -> None:
    whole = await filled.dump()
    async with Bench(filled.engine, filled.models, f"{filled.index}-other") as other:
        await other.set_up()
        seen = 0

        async def cut() -> None:
            nonlocal seen

            async def arriving() -> AsyncIterator[SourceDocument]:
                for place, document in enumerate(corpus()):
                    if place == 40:
                        raise ConnectionResetError
                    yield document

            async with aclosing(ingest(arriving(), other.index, other.context)) as results:
                async for result in results:
                    seen += result.error is None

        with pytest.raises(ConnectionResetError):
            await cut()
        assert seen == 40
        assert [document.id for document in await other.dump()] == [document.id for document in whole[:40]]
        results = await other.feed(corpus())
        assert [result.outcome for result in results] == ["unchanged"] * 40 + ["encoded"] * 20
        assert await other.dump() == whole


async def test_poison_and_nan_cost_only_themselves(bench: Bench) -> None:
    await bench.set_up()
    documents = corpus()
    documents[7] = SourceDocument("poisoned", b'{"title": "poison", "text": "in a batch of others"}')
    documents[23] = SourceDocument("broken", b'{"title": "notanumber", "text": "in a batch of others"}')
    documents[31] = SourceDocument("cut", b'{"title": "')
    results = await bench.feed(documents)
    failed = {result.id: result.error for result in results if result.error}
    assert set(failed) == {"poisoned", "broken", "cut"}
    for id, error in failed.items():
        assert repr(id) in error.reason
        assert error.next_step
    stats = await bench.engine.stats(bench.index)
    assert (stats.documents, stats.encoded) == (57, 57)


async def test_a_small_queue_slows_a_feed_and_fails_none_of_it(embedded: Engine) -> None:
    """Two feeds and a queue for half a chunk: refusals are certain, failures would be visible."""
    model = FakeModel(latency=0.001)
    async with Bench(embedded, [model], options=BatchOptions(tokens=64, queue_items=32)) as bench:
        await bench.set_up()
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds / 20)

        bench.context = replace(bench.context, sleep=sleep)
        halves = corpus(400)[:200], corpus(400)[200:]
        results = await asyncio.gather(*(bench.feed(half) for half in halves))
        assert {result.outcome for half in results for result in half} == {"encoded"}
        assert pauses
        assert (await bench.engine.stats(bench.index)).encoded == 400


async def test_a_deadline_ends_a_feed_with_an_answer_for_every_document(bench: Bench) -> None:
    await bench.set_up()
    bench.models[0].gate.clear()
    bench.context = bench.context.for_caller(Identity(), timeout=0.05)
    try:
        results = await bench.feed(corpus(100))
    finally:
        bench.models[0].gate.set()
    assert [result.id for result in results] == [document.id for document in corpus(100)]
    assert {result.error.code for result in results if result.error} == {Code.DEADLINE_EXCEEDED}
    assert len(results) == 100


async def test_other_fields_change_what_is_encoded_once_fed_again(filled: Bench) -> None:
    result = await filled.set_up(fields=(TextField("title"),))
    assert any("until they are fed again" in warning for warning in result.warnings)
    assert {one.outcome for one in await filled.feed(corpus())} == {"encoded"}
    assert all(document.hash for document in await filled.dump())
    request = SearchRequest(filled.index, "car", rerank=True)
    _, explained = await explain(request, filled.context)
    assert {len(one.notes) for one in explained} == {0}


async def test_stale_fields_show_no_tokens(filled: Bench) -> None:
    await filled.set_up(fields=(TextField("title"),))
    _, explained = await explain(SearchRequest(filled.index, "car", rerank=True), filled.context)
    assert explained
    for one in explained:
        assert {match.document_token for match in one.matches} == {""}
        assert one.notes


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
async def test_pages_are_one_order(filled: Bench, mode: Any, rerank: bool) -> None:
    options: dict[str, Any] = {"mode": mode, "rerank": rerank, "rerank_window": 12, "rerank_weight": 0.8}
    whole = await filled.ask("how to buy a car", size=100, **options)
    page = await filled.ask("how to buy a car", size=7, paginate=True, **options)
    found, statuses = list(page.hits), [page.rerank.status]
    while page.next_page_token:
        token = page.next_page_token
        page = await filled.ask("how to buy a car", size=7, paginate=True, page_token=token, **options)
        found += page.hits
        statuses.append(page.rerank.status)
    assert found == list(whole.hits)
    assert len({hit.id for hit in found}) == len(found) == whole.total
    if rerank:
        assert statuses == [RerankStatus.APPLIED] * 2 + [RerankStatus.OUTSIDE_WINDOW] * (len(statuses) - 2)


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
async def test_a_page_of_an_index_that_changed_says_so(filled: Bench) -> None:
    token = (await filled.ask("car", paginate=True, size=3)).next_page_token
    await filled.feed([SourceDocument("new", b'{"text": "a new car"}')])
    with pytest.raises(ChercheError, match="page token expired") as caught:
        await filled.ask("car", paginate=True, size=3, page_token=token)
    assert caught.value.code is Code.FAILED_PRECONDITION


async def test_an_index_that_never_heard_of_us_is_reranked_on_the_fly(filled: Bench) -> None:
    stored = await filled.ask("buy a car", mode="bm25", rerank=True)
    await remove(filled.index, filled.context)
    assert (await report(filled.index, filled.context)).meta is None
    filled.forget_passes()
    result = await filled.ask("buy a car", mode="bm25", rerank=True)
    assert (result.rerank.status, ids(result)) == (RerankStatus.APPLIED, ids(stored))
    assert result.fingerprint.sparse == ""
    with pytest.raises(ChercheError, match=f"run: cherche setup {filled.index}"):
        await filled.ask("buy a car")


async def test_codes_that_are_not_stored_rank_the_same(filled: Bench) -> None:
    stored = await filled.ask("buy a car", rerank=True, rerank_weight=0.9)
    async with Bench(filled.engine, filled.models, f"{filled.index}-lean") as lean:
        await lean.set_up(codec="none")
        await lean.feed(corpus())
        assert {document.codes for document in await lean.dump()} == {None}
        result = await lean.ask("buy a car", rerank=True, rerank_weight=0.9)
        assert (result.rerank.status, ids(result)) == (RerankStatus.APPLIED, ids(stored))
        assert [hit.score for hit in result.hits] == pytest.approx([hit.score for hit in stored.hits])


async def test_no_time_left_is_the_first_stages_order(filled: Bench) -> None:
    """The query waits behind a pass that does not end; on the fly the hits' texts do."""
    plain = await filled.ask("buy a car", mode="bm25")
    filled.models[0].gate.clear()
    filled.context = filled.context.for_caller(Identity(), timeout=2.0)
    try:
        result = await filled.ask("buy a car", mode="bm25", rerank=True)
    finally:
        filled.models[0].gate.set()
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.DEADLINE, 0)
    assert ids(result) == ids(plain)


async def test_a_search_that_is_cancelled_at_any_point_leaves_nothing_behind(filled: Bench) -> None:
    before = asyncio.all_tasks()
    for steps in range(30):
        task = asyncio.create_task(filled.ask("buy a car", rerank=True, query_mode="doc_only"))
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before
    assert len(ids(await filled.ask("buy a car", rerank=True))) == 10


async def test_doc_only_agrees_with_the_document_frequencies_of_the_index(filled: Bench) -> None:
    result, explained = await explain(
        SearchRequest(filled.index, "river in the town", query_mode="doc_only"), filled.context
    )
    weights = {term.token: term.query_weight for one in explained for term in one.terms}
    names = {word: f"h{filled.models[0].token_id(word) - 6}" for word in ("river", "town")}
    assert weights[names["river"]] > weights[names["town"]] > 0
    assert filled.passes == [0]
    for hit, one in zip(result.hits, explained, strict=True):
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)


async def test_what_setup_projects_is_what_a_feed_writes(filled: Bench) -> None:
    planned = await setup(filled.index, IndexOptions(), filled.context, dry_run=True)
    packed = sum(len(d.terms or b"") + len(d.codes or b"") for d in await filled.dump())
    postings = sum(result.terms for result in await filled.feed(corpus())) * 4
    assert planned.projected_bytes == pytest.approx(packed + postings, rel=0.05)


async def test_a_document_too_large_is_refused_and_its_neighbours_are_not(filled: Bench) -> None:
    filled.context = replace(filled.context, limits=Limits(document_bytes=200))
    large = SourceDocument("large", json.dumps({"text": "word " * 100}).encode())
    results = await filled.feed([large, SourceDocument("small", b'{"text": "word"}')])
    assert [result.outcome for result in results] == ["failed", "encoded"]
    assert results[0].error is not None
    assert "has 512 bytes, the limit is 200" in results[0].error.reason


@pytest.mark.parametrize("engine_name", ["opensearch", "elasticsearch"], indirect=True)
async def test_another_order_and_facets_are_the_clusters(filled: Bench) -> None:
    body = {"sort": [{"year": "desc"}], "aggs": {"years": {"stats": {"field": "year"}}}, "track_total_hits": True}
    result = await filled.ask("car", rerank=True, body=body)
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.SKIPPED_SORT, 0)
    years = [hit.source["year"] for hit in result.hits]
    assert years == sorted(years, reverse=True)
    assert result.aggregations is not None
    assert result.aggregations["years"]["count"] == result.total == 8
    assert [hit.extra["sort"] for hit in result.hits] == [[year] for year in years]


@pytest.mark.parametrize("engine_name", ["opensearch"], indirect=True)
async def test_pages_leave_no_point_in_time_open(filled: Bench, opensearch_url: str) -> None:
    def open_now() -> int:
        url = f"{opensearch_url.rstrip('/')}/_search/point_in_time/_all"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return len(json.load(reply).get("pits", []))

    before = open_now()
    page = await filled.ask("town", size=25, paginate=True, rerank=True)
    assert open_now() == before + 1
    while token := page.next_page_token:
        page = await filled.ask("town", size=25, paginate=True, rerank=True, page_token=token)
    assert open_now() == before


# The shipped model: real words, sub-words and special tokens


DOCSTRINGS = {
    "shutil.rmtree": "Recursively delete a directory tree. If ignore_errors is set, errors are ignored.",
    "subprocess.run": "Run command with arguments and return a CompletedProcess instance, capturing output.",
    "json.loads": "Deserialize s (a str, bytes or bytearray instance) to a Python object; see `parse_constant`.",
    "special": "[SEP] and [CLS] are what a tokenizer puts around a text; naïve [PAD] too. " + "more of it " * 40,
}


@pytest.fixture
async def shipped(embedded: Engine) -> AsyncIterator[Bench]:
    from sidecar.config import shipped_model
    from sidecar.models.library import load_model

    model = load_model("cherche-tiny", shipped_model(), device="cpu", dtype="fp32")
    async with Bench(embedded, [model]) as bench:
        yield bench


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.2, 0.7)])
async def test_the_shipped_models_tokens_line_up(shipped: Bench, shares: tuple[float, float]) -> None:
    title, text = (TextField(name, share) for name, share in zip(("title", "text"), shares, strict=True))
    await shipped.set_up(fields=(title, text), max_length=40)
    documents = [
        SourceDocument(id, json.dumps({"title": id, "text": text}).encode()) for id, text in DOCSTRINGS.items()
    ]
    results = await shipped.feed(documents)
    assert [results[0].truncated, results[-1].truncated] == [False, True]
    request = SearchRequest(shipped.index, "delete the tokenizer's [SEP]", rerank=True, rerank_weight=1.0)
    result, explained = await explain(request, shipped.context)
    assert len(explained) == 4
    for hit, one in zip(result.hits, explained, strict=True):
        assert not one.notes
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(hit.parts.maxsim, abs=1e-5)
        assert all(match.query_token and match.document_token for match in one.matches)
    by_id = {one.id: one for one in explained}
    special = {m.query_token: m.document_token for m in by_id["special"].matches}
    assert special["token"] == "token"
    assert {("del", "del"), ("##ete", "##ete")} <= {
        (m.query_token, m.document_token) for m in by_id["shutil.rmtree"].matches
    }


@pytest.mark.parametrize("texts", [["[SEP] a", "b"], ["a", "[CLS] b"], ["", "[SEP]"], ["x [SEP]", "y"], ["", ""]])
async def test_special_tokens_in_a_text_are_text(shipped: Bench, texts: list[str]) -> None:
    encoder = shipped.registry.named("")
    [joined] = await encoder.tokenize([" ".join(filter(None, texts))], "document")
    assert await share_tokens(encoder, texts, [TextField("title", 0.5), TextField("text")], 512) == joined
