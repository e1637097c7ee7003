"""The engine against a scripted cluster: identities, limits, refusals that a test node cannot give."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from typing import Any

import pytest
import structlog

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request, index_path
from sidecar.errors import ChercheError, Code
from sidecar.observe import logs
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Identity
from sidecar.values.search import Query, SparseClause
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Naps, Sent, engine, refusal

EMPTY = {"hits": {"hits": [], "total": {"value": 0, "relation": "eq"}}, "_shards": {"failed": 0, "total": 1}}
QUERY = Query("x", "hybrid", (), clauses=(SparseClause(1, "a", 1.0),))


def answering(settings: Any = None, search: Any = EMPTY) -> FakeTransport:
    def answer(request: Sent) -> Any:
        if request.path == "/_cluster/settings":
            return settings if settings is not None else {"defaults": {}}
        return search(request) if callable(search) else search

    return FakeTransport(answer)


async def test_requests_carry_the_callers_credentials_and_no_others() -> None:
    transport = answering()
    shared = engine(transport)
    for caller in ("Basic one", "Bearer two", None):
        await shared.as_caller(Identity(caller)).search("books", QUERY)
    sent = [request.headers.get("authorization") for request in transport.sent if "_search" in request.path]
    assert sent == ["Basic one", "Bearer two", None]


async def test_a_service_account_stands_in_only_for_callers_without_credentials() -> None:
    transport = answering()
    shared = engine(transport, service_identity=Identity("ApiKey service"))
    for caller in ("Basic one", None):
        await shared.as_caller(Identity(caller)).search("books", QUERY)
    sent = [request.headers.get("authorization") for request in transport.sent if "_search" in request.path]
    assert sent == ["Basic one", "ApiKey service"]


async def test_credentials_show_nowhere() -> None:
    shared = engine(answering(search=refusal(401, "security_exception", "no")))
    acting = shared.as_caller(Identity("Basic c2VjcmV0"))
    with pytest.raises(ChercheError) as refused:
        await acting.search("books", QUERY)
    assert refused.value.code == Code.UNAUTHENTICATED
    assert "c2VjcmV0" not in f"{refused.value!r} {acting._http.identity!r}"
    with pytest.raises(ChercheError) as with_password:
        OpenSearchEngine.connect("https://ada:hunter2@cluster:9200")
    assert "hunter2" not in str(with_password.value)


async def test_the_callers_time_is_passed_on() -> None:
    transport = answering()
    await engine(transport).search("books", Query("x", "bm25", (), timeout=1.5))
    [search] = [request for request in transport.sent if "_search" in request.path]
    assert search.timeout == 1.5
    assert search.body["timeout"] == "1500ms"


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"defaults": {"indices.query.bool.max_clause_count": "20"}}, 20),
        (
            {
                "defaults": {"indices.query.bool.max_clause_count": "20"},
                "transient": {"indices.query.bool.max_clause_count": "50"},
            },
            50,
        ),
        (refusal(403, "security_exception", "no permissions"), 1024),
    ],
)
async def test_the_clause_limit_is_the_clusters(settings: Any, limit: int) -> None:
    assert (await engine(answering(settings)).info()).max_clauses == limit


async def test_too_many_clauses_are_halved_until_they_fit() -> None:
    def search(request: Sent) -> Any:
        features = request.body["query"]["bool"]["must"][0]["bool"]["should"]
        return EMPTY if len(features) <= 30 else refusal(400, "too_many_nested_clauses", "maxClauseCount is 40")

    clauses = tuple(SparseClause(n, f"t{n}", 1.0 + n) for n in range(200))
    page = await engine(answering(search=search)).search("books", Query("x", "sparse", (), clauses=clauses))
    assert page.warnings[0].startswith("175 of 200 query terms left out")


async def test_partial_results_are_told() -> None:
    failures = [{"reason": {"reason": "shard burnt"}}]
    reply = {**EMPTY, "timed_out": True, "suggest": {}, "_shards": {"failed": 1, "total": 3, "failures": failures}}
    page = await engine(answering(search=reply)).search("books", QUERY)
    assert [w for w in page.warnings if "time limit" in w]
    assert "1 of 3 shards failed: shard burnt" in page.warnings
    assert [w for w in page.warnings if "suggest" in w]


@pytest.mark.parametrize(
    "root",
    [
        {"version": {"number": "7.10.2"}, "tagline": "You Know, for Search"},
        {"version": {"distribution": "opensearch", "number": "1.3.2"}},
        {},
    ],
)
async def test_a_unsupported_product_is_refused(root: Any) -> None:
    class Unsupported(FakeTransport):
        async def perform_request(self, *args: Any, **options: Any) -> Any:
            return root

    with pytest.raises(ChercheError, match="does not speak to") as refused:
        await engine(Unsupported(lambda request: {})).info()
    assert refused.value.code == Code.FAILED_PRECONDITION


@pytest.mark.parametrize("name", ["", "*", "a,b", "_all", "-x", "a/b", "../x", "a b", "a?b", "<a-{now}>", "c:x"])
def test_a_name_reaches_one_index(name: str) -> None:
    with pytest.raises(ChercheError) as refused:
        index_path(name, "_search")
    assert refused.value.code == Code.INVALID_ARGUMENT


def test_names_are_quoted() -> None:
    assert index_path("bücher%", "_doc") == "/b%C3%BCcher%25/_doc"


@pytest.mark.parametrize("url", ["cluster:9200", "ftp://cluster", "", "http://"])
def test_a_url_is_checked(url: str) -> None:
    with pytest.raises(ChercheError) as refused:
        OpenSearchEngine.connect(url)
    assert refused.value.code == Code.INVALID_ARGUMENT


async def test_refresh_waits_for_segment_replicas() -> None:
    behind = iter(["2", "1", "0"])

    def answer(request: Sent) -> Any:
        if request.path == "/_cat/segment_replication/books":
            return [{"checkpoints_behind": next(behind)}]
        return {}

    naps = Naps()
    await engine(FakeTransport(answer), sleep=naps).refresh("books")
    assert naps.seconds == [0.1, 0.1]


async def test_refresh_does_not_wait_for_ever() -> None:
    transport = FakeTransport(lambda request: [{"checkpoints_behind": "1"}])
    with pytest.raises(ChercheError, match="1 replicas are behind") as late:
        await engine(transport, sleep=Naps()).refresh("books")
    assert late.value.code == Code.UNAVAILABLE


async def test_remove_does_not_race_a_feed_for_ever() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/books/_mapping":
            return {"books": {"mappings": {}}}
        if request.path == "/books/_settings":
            return {"books": {"settings": {}}}
        return [] if request.path.startswith("/_cat") else {"updated": 0, "version_conflicts": 3}

    with pytest.raises(ChercheError, match="keep writing") as refused:
        await engine(FakeTransport(answer)).remove("books")
    assert refused.value.code == Code.FAILED_PRECONDITION


async def test_a_document_that_never_stands_still_counts_as_never_encoded() -> None:
    numbers = iter(range(100))

    def answer(request: Sent) -> Any:
        stamp = {"_seq_no": next(numbers), "_primary_term": 1}
        if request.path.endswith("_mget"):
            source = {"title": "x", "cherche_hash": "h", "cherche_state": "ok"}
            return {"docs": [{"_index": "books", "_id": "a", "found": True, "_source": source, **stamp}]}
        return {"hits": {"hits": [{"_index": "books", "_id": "a", "fields": {"cherche_terms": ["dA"]}, **stamp}]}}

    found = (await engine(FakeTransport(answer)).read("books", ["a"]))["a"]
    assert (found.source, found.hash, found.state, found.terms) == ({"title": "x"}, "", "pending", None)


async def test_a_cluster_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        absent = OpenSearchEngine.connect(url)
        try:
            with pytest.raises(ChercheError, match=url) as unreachable:
                await absent.info()
            assert unreachable.value.code == Code.UNAVAILABLE
            [result] = await absent.write("books", [StoredDocument("a", {}, "h", "pending")])
            assert result.error is not None
            assert result.error.code == Code.UNAVAILABLE
        finally:
            await absent.aclose()


async def test_a_cluster_that_accepts_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hung = OpenSearchEngine.connect(url, timeout=0.2)
        try:
            with pytest.raises(ChercheError, match=url) as late:
                await hung.info()
            assert late.value.code == Code.DEADLINE_EXCEEDED
        finally:
            await hung.aclose()


async def test_something_that_is_no_cluster() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 5\r\n\r\n"
        writer.write(head.encode() + b"hello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wrong = OpenSearchEngine.connect(url)
        try:
            with pytest.raises(ChercheError, match="not JSON") as refused:
                await wrong.info()
            assert refused.value.code == Code.UNAVAILABLE
        finally:
            await wrong.aclose()


async def test_what_a_cluster_warns_of_is_logged_once_and_no_python_warning() -> None:
    said = '299 Elasticsearch-7.17.29-580aff1a "Loading the fielddata on the _id field is deprecated"'
    root = b'{"version": {"number": "7.17.29", "build_flavor": "default"}}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nwarning: {said}\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(root)}\r\n\r\n".encode() + root)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        ours = OpenSearchEngine.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        logs.configure(stream=(written := io.StringIO()))
        try:
            for _ in range(3):
                await ours._http.send(Request("GET", "/"), what="cluster")
        finally:
            structlog.reset_defaults()
            await ours.aclose()
    [line] = map(json.loads, written.getvalue().splitlines())
    assert (line["level"], line["reason"]) == ("warning", "Loading the fielddata on the _id field is deprecated")


async def test_a_name_that_is_switched_between_two_requests_is_asked_again() -> None:
    names = iter(["old", "new", "new", "new"])

    def answer(request: Sent) -> Any:
        return {next(names): {"mappings": {}, "settings": {}}}

    [group] = await engine(FakeTransport(answer)).groups("books")
    assert group.names == ("new",)


async def test_a_name_that_never_stands_still_is_no_answer() -> None:
    names = iter(map(str, range(100)))
    with pytest.raises(ChercheError, match="again and again") as restless:
        await engine(FakeTransport(lambda _: {next(names): {"mappings": {}, "settings": {}}})).groups("books")
    assert restless.value.code is Code.UNAVAILABLE
