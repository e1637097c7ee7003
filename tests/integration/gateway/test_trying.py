"""`cherche try` in the page: which clusters are contacted, with what, and that nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sidecar import config
from sidecar.gateway.page.routes import API
from tests.integration.gateway.conftest import Http, Serve, fake_model, problem
from tests.other_cluster import OtherCluster, other_cluster

DOCUMENTS = {
    "long": {"title": "Cases", "text": "case case case of nothing"},
    "right": {"title": "Hearts", "text": "a cardiac case"},
    "other": {"title": "Sleep", "text": "learned during the day"},
}
QUERY = {"index": "books", "text": "heart case"}
BASIC = "Basic dXNlcjpwYXNz"


@pytest.fixture
def cluster() -> Iterator[OtherCluster]:
    with other_cluster(DOCUMENTS) as found:
        yield found


@pytest.fixture
async def http(serve: Serve, cluster: OtherCluster) -> AsyncIterator[Http]:
    """A sidecar whose page may try one cluster."""
    gateway = config.Gateway(port=0, clusters=(f"{cluster.url.upper()}/",))
    settings = {"gateway": gateway, "service_account": "Basic b3du", "authorization": "Basic b3du"}
    async with serve(fake_model(synonyms={"heart": "cardiac"}), **settings) as http:
        yield http


async def ask(http: Http, name: str, body: Any, **headers: str) -> Any:
    got = await http(f"{API}{name}", body, **headers)
    assert got.status == 200, got.body
    return got.json


async def test_a_cluster_that_was_named_shows_its_indices(http: Http, cluster: OtherCluster) -> None:
    assert (await http.get(f"{API}indices")).json["clusters"] == [f"{cluster.url.upper()}/"]
    found = await ask(http, "try-cluster", {"url": cluster.url}, cherche_try_authorization=BASIC)
    assert found == {"engine": {"product": "OpenSearch", "version": "3.8.0"}, "indices": ["books"]}


async def test_both_orders_are_of_one_search_and_nothing_is_written(http: Http, cluster: OtherCluster) -> None:
    found = await ask(http, "try", {"url": cluster.url, **QUERY}, cherche_try_authorization=BASIC)
    assert [hit["id"] for hit in found["before"]] == ["long", "right"]
    assert {hit["id"] for hit in found["after"]} == {"long", "right"}
    assert (found["overlap"], found["risen"], found["rerank"]["status"]) == (2, 0, "APPLIED")
    for hit in found["before"] + found["after"]:
        assert sum(hit["shares"].values()) == pytest.approx(hit["score"])
    read = await ask(http, "try-why", {"url": cluster.url, **QUERY, "id": "right"})
    assert read["query_tokens"] == ["heart", "case"]
    assert sum(max(row) for row in read["similarities"]) == pytest.approx(read["parts"]["maxsim"], abs=1e-3)
    assert {method for method, path, _ in cluster.asked if "/_search" not in path} == {"GET"}
    assert sum("/_search" in path for _, path, _ in cluster.asked) == 2


async def test_only_what_was_typed_for_it_is_sent(http: Http, cluster: OtherCluster) -> None:
    """Neither the sidecar's account nor the caller's credentials for its own cluster."""
    body = {"url": cluster.url, **QUERY}
    await ask(http, "try", body, cherche_cluster_authorization="Basic b3du")
    assert {given for _, _, given in cluster.asked} == {""}
    cluster.asked.clear()
    await ask(http, "try", body, cherche_try_authorization=BASIC)
    assert {given for _, _, given in cluster.asked} == {BASIC}
    cluster.asked.clear()
    await ask(http, "try", body)
    assert {given for _, _, given in cluster.asked} == {""}, "credentials are of one question"


@pytest.mark.parametrize("name", ["try", "try-cluster", "try-why"])
@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://127.0.0.1:1", "https://search.example", "file:///x"])
async def test_nothing_else_is_contacted(http: Http, cluster: OtherCluster, name: str, url: str) -> None:
    got = await http(f"{API}{name}", {"url": url, **QUERY, "id": "1"})
    assert problem(got) == (403, "PERMISSION_DENIED")
    assert "CHERCHE_GATEWAY__CLUSTERS" in got.json["next_step"]
    assert cluster.asked == []


async def test_a_sidecar_contacts_no_other_cluster_unless_it_was_told_to(serve: Serve, cluster: OtherCluster) -> None:
    async with serve(fake_model()) as plain:
        assert (await plain.get(f"{API}indices")).json["clusters"] == []
        got = await plain(f"{API}try-cluster", {"url": cluster.url})
        assert problem(got) == (403, "PERMISSION_DENIED")
    assert cluster.asked == []


async def test_credentials_in_an_address_are_refused_and_not_repeated(http: Http, cluster: OtherCluster) -> None:
    got = await http(f"{API}try-cluster", {"url": cluster.url.replace("//", "//ada:hunter2@")})
    assert problem(got) == (400, "INVALID_ARGUMENT")
    assert b"hunter2" not in got.body
    assert cluster.asked == []
