"""The page's files and questions, over a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar import config
from sidecar.gateway.page.assets import ASSETS, PREFIX
from sidecar.gateway.page.routes import API, QUESTIONS
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from tests.integration.gateway.conftest import Http, Serve, fake_model, problem, sample

ARTICLES = {
    "1": {"title": "Acetylsalicylic acid", "text": "Low-dose aspirin lowered the risk of a second stroke."},
    "2": {"title": "Sleep and memory", "text": "Sleep strengthens what was learned during the day."},
    "3": {"title": "Boundary layers", "text": "Heat transfer in laminar flow over the wing."},
}
SEARCH = {"index": "articles", "text": "aspirin and sleep", "mode": "hybrid", "rerank": True}


async def documents() -> AsyncIterator[SourceDocument]:
    for id, source in ARTICLES.items():
        yield SourceDocument(id, json.dumps(source).encode())


async def fill(http: Http, index: str = "articles") -> None:
    await http.server.client.setup_index(index, IndexOptions())
    async for result in http.server.client.index_documents(index, documents(), refresh=True):
        assert result.error is None


@pytest.fixture
def model() -> FakeModel:
    return fake_model(synonyms={"aspirin": "acid"})


@pytest.fixture
async def filled(http: Http) -> Http:
    await fill(http)
    return http


async def ask(http: Http, name: str, body: Any) -> Any:
    got = await http(f"{API}{name}", body)
    assert got.status == 200, got.body
    assert got.headers["cache-control"] == "no-store"
    return got.json


async def finished(http: Http, name: str, body: Any) -> Any:
    """The result of work in steps."""
    got = await ask(http, name, body)
    while "result" not in got:
        assert got["done"] <= got["of"]
        got = await ask(http, "proceed", {"work": got["work"]})
    return got["result"]


@pytest.mark.parametrize("path", sorted(ASSETS))
async def test_a_file_needs_no_token_and_brings_its_policy(protected: Http, path: str) -> None:
    got = await protected.get(path)
    assert got.status == 200
    assert got.body == ASSETS[path].body
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"
    again = await protected.get(path, if_none_match=got.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", sorted(QUESTIONS))
async def test_a_question_needs_the_token(protected: Http, path: str) -> None:
    method, _ = QUESTIONS[path]
    assert problem(await protected(path, {}, method)) == (401, "UNAUTHENTICATED")
    assert (await protected(path, {}, method, authorization="Bearer TOKEN")).status != 401


@pytest.mark.parametrize("path", ["/", f"{PREFIX}main.js", f"{API}indices"])
async def test_the_page_has_no_other_name_on_loopback(http: Http, path: str) -> None:
    assert problem(await http.get(path, host="evil.example")) == (403, "PERMISSION_DENIED")


async def test_a_form_of_another_site_asks_nothing(filled: Http) -> None:
    got = await filled(f"{API}search", SEARCH, content_type="text/plain")
    assert problem(got) == (415, "INVALID_ARGUMENT")


async def test_the_page_is_no_part_of_the_document(http: Http) -> None:
    paths = (await http.get("/openapi.json")).json["paths"]
    assert not [path for path in paths if path == "/" or path.startswith(PREFIX)]


async def test_a_file_that_is_not_there_is_a_typed_error(http: Http) -> None:
    assert problem(await http.get(f"{PREFIX}../app.py")) == (404, "NOT_FOUND")


async def test_it_lists_what_can_be_searched(filled: Http) -> None:
    found = (await filled.get(f"{API}indices")).json
    [index] = found["indices"]
    assert (index["name"], index["model"], index["reranks"], index["fields"]) == (
        "articles",
        "fake",
        True,
        ["title", "text"],
    )
    assert found["engine"]["product"] == "embedded"
    assert found["models"] == [{"name": "fake", "state": "READY"}]


async def test_no_index_is_an_empty_list(http: Http) -> None:
    assert (await http.get(f"{API}indices")).json["indices"] == []


async def test_a_search_is_that_of_grpc_with_bars(filled: Http) -> None:
    found = await ask(filled, "search", SEARCH)
    same = await filled.server.client.search(await_request())
    assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in same.hits]
    for shown, hit in zip(found["hits"], same.hits, strict=True):
        assert shown["score"] == pytest.approx(hit.score)
        assert sum(shown["shares"].values()) == pytest.approx(hit.score)
    assert found["rerank"]["status"] == "APPLIED"
    assert found["timings"]["total"] > 0
    assert sample(filled, "cherche_requests_total", method=f"{API}search", code="OK") == 1


def await_request() -> Any:
    from sidecar.values.search import SearchRequest

    return SearchRequest(**SEARCH)


async def test_an_index_is_described_as_doctor_does(filled: Http) -> None:
    found = await ask(filled, "index", {"index": "articles"})
    report = await filled.server.client.get_index("articles")
    assert found["counts"] == {"documents": 3, "encoded": 3, "pending": 0}
    assert found["findings"] == list(report.findings) == []
    assert found["meta"]["fingerprint"]["sparse"] == report.meta.fingerprint.sparse
    assert all(size > 0 for size in found["bytes"].values())
    assert found["sampled"] == 3


async def test_a_backfill_of_this_sidecar_is_followed(filled: Http, model: FakeModel) -> None:
    client, body = filled.server.client, {"index": "articles"}
    assert await ask(filled, "jobs", body) == {"counts": {"documents": 3, "encoded": 3, "pending": 0}, "jobs": []}
    await client.remove_index("articles")
    await client.setup_index("articles", IndexOptions())
    model.gate.clear()

    async def backfilled() -> None:
        async for _ in client.backfill_index("articles", BackfillOptions(search_slowdown=0.0, ignore_disk=True)):
            pass

    going = asyncio.create_task(backfilled())
    while not (found := await ask(filled, "jobs", body))["jobs"]:
        assert not going.done()
    [job] = found["jobs"]
    assert (job["kind"], job["index"], job["phase"], job["runs"]) == ("backfill", "articles", "estimating", True)
    assert found["counts"]["encoded"] == 0
    model.gate.set()
    await going
    found = await ask(filled, "jobs", body)
    [job] = found["jobs"]
    assert (job["phase"], job["encoded"], job["failed"], job["to_encode"]) == ("done", 3, 0, 3)
    assert found["counts"]["encoded"] == 3
    await fill(filled, "others")
    assert (await ask(filled, "jobs", {"index": "others"}))["jobs"] == [], "of another index"


async def test_a_search_says_that_the_index_is_being_filled(filled: Http, model: FakeModel) -> None:
    async def more() -> AsyncIterator[SourceDocument]:
        yield SourceDocument("4", b'{"text": "more on sleep"}')
        await finish.wait()

    async def fed() -> None:
        async for result in filled.server.client.index_documents("articles", more(), refresh=True):
            assert result.error is None
            arrived.set()

    arrived, finish = asyncio.Event(), asyncio.Event()
    assert (await ask(filled, "search", SEARCH))["jobs"] == []
    going = asyncio.create_task(fed())
    await arrived.wait()
    assert (await ask(filled, "search", SEARCH))["jobs"] == [{"kind": "feed", "encoded": 1}]
    finish.set()
    await going
    assert (await ask(filled, "search", SEARCH))["jobs"] == []


async def test_why_reads_what_explain_explains(filled: Http) -> None:
    found = await ask(filled, "why", {"search": SEARCH, "id": "1"})
    result, explanations = await filled.server.client.explain(await_request(), ids=["1"])
    [one] = explanations
    hit = next(hit for hit in result.hits if hit.id == "1")
    assert [term["contribution"] for term in found["terms"]] == pytest.approx([t.contribution for t in one.terms])
    assert sum(found["shares"].values()) == pytest.approx(hit.score)
    best = [max(row) for row in found["similarities"]]
    assert best == pytest.approx([match.similarity for match in one.matches], abs=1e-4)
    token = found["tokens"][found["best"][0]]
    assert found["text"][slice(*token["place"])] == "aspirin"
    assert problem(await filled(f"{API}why", {"search": SEARCH, "id": "7"})) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"mode": "odd"}, 422, "mode"),
        ({"rerank_weight": -1}, 400, "rerank_weight is -1"),
        ({"index": ""}, 400, "no index is named"),
        ({"index": "none"}, 404, "there is no index 'none'"),
        ({"rerank_weight": 7}, 400, "rerank_weight is 7"),
    ],
)
async def test_what_is_wrong_has_a_reason_and_a_next_step(
    filled: Http, change: dict[str, Any], status: int, said: str
) -> None:
    got = await filled(f"{API}search", SEARCH | change)
    assert problem(got)[0] == status
    assert said in got.json["reason"]


async def test_modes_are_measured_by_what_was_judged(serve: Serve, tmp_path: Path) -> None:
    async with serve(fake_model(), gateway=config.Gateway(port=0, judgements=tmp_path / "judged")) as http:
        await fill(http)
        nothing = await http(f"{API}measure", {"index": "articles"})
        assert problem(nothing) == (400, "INVALID_ARGUMENT")
        assert "grade a hit" in nothing.json["next_step"]
        for query, id, grade in (("aspirin", "1", 3), ("aspirin", "3", 0), ("sleep", "2", 2), ("wing", "1", 1)):
            await ask(http, "judge", {"index": "articles", "query": query, "id": id, "grade": grade})
        kept = await ask(http, "judgements", {"index": "articles"})
        assert kept["queries"][0] == {"query": "aspirin", "grades": {"1": 3, "3": 0}}
        found = await finished(http, "measure", {"index": "articles"})
        assert found["queries"] == 3
        bm25 = found["modes"][0]
        assert (bm25["mode"], bm25["ndcg"]) == ("bm25", pytest.approx(2 / 3)), "two found first, one not at all"
        assert bm25["standard_error"] == pytest.approx(1 / 3)
        assert [row["against_bm25"] is None for row in found["modes"]] == [True, False, False]
        refused = await http(f"{API}judge", {"index": "articles", "query": "q", "id": "1", "grade": 9})
        assert problem(refused) == (422, "INVALID_ARGUMENT")


CASES = 24


async def cases() -> AsyncIterator[SourceDocument]:
    """Words that mislead BM25 beside synonyms that only the weights know: a larger boost helps."""
    for i in range(CASES):
        yield SourceDocument(f"right{i}", json.dumps({"text": f"cardiac case{i} of old patients"}).encode())
        yield SourceDocument(f"wrong{i}", json.dumps({"text": f"case{i} case{i} case{i}"}).encode())


async def test_settings_are_chosen_from_what_was_judged_and_not_written(serve: Serve, tmp_path: Path) -> None:
    model = fake_model(synonyms={"heart": "cardiac"})
    async with serve(model, gateway=config.Gateway(port=0, judgements=tmp_path / "judged")) as http:
        client = http.server.client
        await client.setup_index("cases", IndexOptions(sparse_boost=0.25, prune="top_k:50"))
        async for result in client.index_documents("cases", cases(), refresh=True):
            assert result.error is None
        for i in range(CASES):
            if i == 9:
                few = await http(f"{API}tune", {"index": "cases"})
                assert problem(few) == (400, "FAILED_PRECONDITION")
                assert "9 of the queries have a relevant document, and 10 are needed" in few.json["reason"]
            await ask(http, "judge", {"index": "cases", "query": f"heart case{i}", "id": f"right{i}", "grade": 3})
        before = (await client.get_index("cases")).meta
        found = await finished(http, "tune", {"index": "cases"})
        assert found["queries"] == CASES
        assert found["before"] == {"sparse_boost": 0.25, "rerank_weight": 0.5, "rerank_window": 100}
        assert found["choice"] != found["before"]
        assert found["held_out"]["difference"] > 0
        assert found["offered"], found["reason"]
        assert len(found["errors"]) == 2
        assert (await client.get_index("cases")).meta == before, "only a click writes"


async def test_work_that_nobody_began_is_not_found(http: Http) -> None:
    assert problem(await http(f"{API}proceed", {"work": "none"})) == (404, "NOT_FOUND")


def changes(**new: float) -> dict[str, Any]:
    old = {"sparse_boost": 1.0, "rerank_weight": 0.5, "rerank_window": 100}
    return {"index": "articles", **{name: {"old": old[name], "new": new.get(name, old[name])} for name in old}}


async def test_settings_are_written_over_those_that_were_shown(filled: Http) -> None:
    meta = (await filled.server.client.get_index("articles")).meta
    assert (meta.sparse_boost, meta.rerank_weight, meta.rerank_window) == (1.0, 0.5, 100)
    await ask(filled, "settings", changes(sparse_boost=2.0, rerank_window=40))
    now = (await filled.server.client.get_index("articles")).meta
    assert (now.sparse_boost, now.rerank_weight, now.rerank_window) == (2.0, 0.5, 40)
    assert now.fingerprint == meta.fingerprint
    stale = await filled(f"{API}settings", changes(sparse_boost=3.0))
    assert problem(stale) == (400, "FAILED_PRECONDITION")
    assert "other settings by now" in stale.json["reason"]


async def test_hits_beyond_the_answers_limit_are_refused(serve: Serve) -> None:
    async with serve(fake_model(), limits=config.Limits(request_bytes=1500)) as http:
        await fill(http)
        got = await http(f"{API}search", SEARCH)
        assert problem(got) == (413, "INVALID_ARGUMENT")
