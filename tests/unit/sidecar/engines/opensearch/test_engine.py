"""The engine against a scripted cluster: identities, limits, refusals that a test node cannot give."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Identity
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
