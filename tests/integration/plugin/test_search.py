"""A search through the pipeline ranks as the sidecar's own search does, and remains the user's search."""

from __future__ import annotations

import random
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from cherche_models.types import Encoding, TermWeights, Tokens
from sidecar.errors import ChercheError
from sidecar.testing import FakeModel
from sidecar.values.model import Kind
from sidecar.values.search import SearchRequest
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import bulk, ids, ingest_pipeline, match, search, search_pipeline
from tests.integration.profiles import disjunctions, feature_of

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

WORDS = [*(f"word{n}" for n in range(30)), "car", "automobile", "film", "movie"]
QUERIES = ["car word1", "movie word2 word3", "film", "word5 word6 word7 word8", "automobile film word9"]
DOCUMENTS = 150


def own(cluster: Cluster, text: str, **options: Any) -> SearchRequest:
    """A search of the sidecar with the same lexical clause."""
    return SearchRequest(cluster.index, text, match_set="union", body={"query": match(text)}, **options)


@pytest.fixture
async def fed(cluster: Cluster) -> Cluster:
    rng = random.Random(3)
    sources = {
        f"d{n:03}": {
            "title": " ".join(rng.choices(WORDS, k=3)),
            "text": " ".join(rng.choices(WORDS, k=rng.randint(4, 30))),
            "kind": rng.choice(["book", "paper"]),
            "year": rng.randint(2000, 2010),
        }
        for n in range(DOCUMENTS)
    }
    await bulk(cluster, sources, await ingest_pipeline(cluster))
    return cluster


@pytest.mark.parametrize(("rerank", "maxsim"), [(False, "shards"), (True, "shards"), (True, "sidecar")])
async def test_it_ranks_as_the_sidecar_does(fed: Cluster, rerank: bool, maxsim: str) -> None:
    pipeline = await search_pipeline(fed, {"rerank": rerank, "rerank_window": 50, "maxsim": maxsim})
    for text in QUERIES:
        reply = await search(fed, {"query": match(text), "size": 20}, pipeline)
        wanted = await fed.server.client.search(own(fed, text, rerank=rerank, rerank_window=50, size=20))
        assert reply["ext"]["cherche"]["query_status"] == "REWRITTEN"
        assert reply["ext"]["cherche"]["rerank_status"] == ("APPLIED" if rerank else "NOT_REQUESTED")
        assert ids(reply) == [hit.id for hit in wanted.hits]
        scores = [hit["_score"] for hit in reply["hits"]["hits"]]
        assert scores == pytest.approx([hit.score for hit in wanted.hits], rel=1e-5)


async def test_term_weights_and_the_users_words_are_one_disjunction(fed: Cluster) -> None:
    """Lucene skips documents by the sum of both only then: nested, the same search takes a multiple of the CPU."""
    pipeline = await search_pipeline(fed, {"sparse_boost": 0.75})
    reply = await search(fed, {"query": match("car film"), "profile": True}, pipeline)
    assert reply["ext"]["cherche"]["match_set"] == "union"
    ran = disjunctions(reply)
    assert ran
    for _, clauses in ran:
        features = {feature_of(clause) for clause in clauses} - {""}
        assert len(features) == 4, clauses  # both words and their synonyms
        assert len(clauses) == len(features) + 1, clauses


@pytest.mark.parametrize("rerank", [False, True])
async def test_two_phases_rank_as_the_sidecars_do(fed: Cluster, rerank: bool) -> None:
    given = {"first_terms": 2, "candidates": DOCUMENTS}
    pipeline = await search_pipeline(fed, {**given, "rerank": rerank, "rerank_window": 50})
    text = "word5 word6 word7 word8"
    reply = await search(fed, {"query": match(text), "size": 20, "track_total_hits": 1000}, pipeline)
    wanted = await fed.server.client.search(own(fed, text, **given, rerank=rerank, rerank_window=50, size=20))
    assert (reply["ext"]["cherche"]["first_terms"], wanted.sparse.first_terms) == (2, 2)
    assert ids(reply) == [hit.id for hit in wanted.hits]
    scores = [hit["_score"] for hit in reply["hits"]["hits"]]
    assert scores == pytest.approx([hit.score for hit in wanted.hits], rel=1e-5)
    counted = await search(fed, {"query": match(text), "track_total_hits": True}, pipeline)
    assert "first_terms" not in counted["ext"]["cherche"]
    assert "the request counts all hits" in counted["ext"]["cherche"]["query_reason"]


async def test_scores_before_the_rerank_are_kept(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    text = QUERIES[0]
    reply = await search(fed, {"query": match(text), "_source": False, "track_total_hits": False}, pipeline)
    wanted = await fed.server.client.search(own(fed, text, rerank=True))
    assert "total" not in reply["hits"]
    for hit, other in zip(reply["hits"]["hits"], wanted.hits, strict=True):
        assert "_source" not in hit
        assert hit["fields"] == {
            "cherche_first_stage": [pytest.approx(other.parts.first_stage, rel=1e-5)],
            "cherche_maxsim": [pytest.approx(other.parts.maxsim, rel=1e-5)],
        }


async def test_pages_are_cuts_of_one_order(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "rerank_window": 40})
    body = {"query": match("car film word1 word2")}
    whole = ids(await search(fed, {**body, "size": 100}, pipeline))
    pages = [await search(fed, {**body, "size": 15, "from": start}, pipeline) for start in range(0, 90, 15)]
    assert [id for page in pages for id in ids(page)] == whole[:90]
    statuses = [page["ext"]["cherche"]["rerank_status"] for page in pages]
    assert statuses == ["APPLIED"] * 3 + ["OUTSIDE_WINDOW"] * 3


async def test_totals_and_facets_are_those_of_the_users_query_where_it_decides(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "match_set": "lexical"})
    body = {
        "query": {"bool": {"must": [match("car word1")], "filter": [{"term": {"kind.keyword": "book"}}]}},
        "aggs": {"years": {"terms": {"field": "year"}}},
        "track_total_hits": True,
        "highlight": {"fields": {"text": {}}},
    }
    plain, hybrid = await search(fed, body), await search(fed, body, pipeline)
    assert hybrid["hits"]["total"] == plain["hits"]["total"]
    assert hybrid["aggregations"] == plain["aggregations"]
    assert {hit["_source"]["kind"] for hit in hybrid["hits"]["hits"]} == {"book"}
    assert any("highlight" in hit for hit in hybrid["hits"]["hits"])


async def test_min_score_applies_to_the_users_query(fed: Cluster) -> None:
    """The sparse clause must not lift a hit above min_score, and the rerank's scores must not drop one below it."""
    pipeline = await search_pipeline(fed)
    whole = {"query": match("car word1"), "size": 100}
    scores = sorted(hit["_score"] for hit in (await search(fed, whole))["hits"]["hits"])
    least = scores[len(scores) // 2]
    plain = await search(fed, {**whole, "min_score": least})
    hybrid = await search(fed, {**whole, "min_score": least}, pipeline)
    assert hybrid["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert sorted(ids(hybrid)) == sorted(ids(plain))
    assert hybrid["hits"]["total"] == plain["hits"]["total"]
    assert 0 < len(ids(plain)) < len(scores)


async def test_a_point_in_time_names_its_index_itself(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "rerank_window": 40})
    await fed.send("PUT", f"/{fed.index}-other")
    body = {"query": match("car film word1"), "size": 15}
    opened = await fed.send("POST", f"/{fed.index}/_search/point_in_time", keep_alive="1m")
    try:
        wanted = ids(await search(fed, {**body, "size": 30}, pipeline))
        await fed.send("PUT", f"/{fed.index}/_doc/new", {"text": "car film word1"}, refresh="true")
        pages = []
        for start in (0, 15):
            page = {**body, "from": start, "pit": {"id": opened["pit_id"], "keep_alive": "1m"}}
            reply = await fed.send("POST", "/_search", page, search_pipeline=pipeline)
            assert reply["ext"]["cherche"]["rerank_status"] == "APPLIED"
            pages += ids(reply)
        assert pages == wanted
    finally:
        await fed.send("DELETE", "/_search/point_in_time", {"pit_id": [opened["pit_id"]]})


async def test_filters_apply_to_hits_of_the_sparse_clause(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"match_set": "union"})
    clauses = {
        "must": [match("automobile")],
        "filter": [{"term": {"kind.keyword": "book"}}],
        "must_not": [{"range": {"year": {"lt": 2005}}}],
    }
    plain = await search(fed, {"query": {"bool": clauses}, "size": 100})
    union = await search(fed, {"query": {"bool": clauses}, "size": 100}, pipeline)
    assert set(ids(plain)) <= set(ids(union))
    for hit in union["hits"]["hits"]:
        assert (hit["_source"]["kind"], hit["_source"]["year"] >= 2005) == ("book", True)


async def test_a_filtered_alias_shows_nothing_hidden(fed: Cluster) -> None:
    alias, pipeline = f"{fed.index}-books", await search_pipeline(fed, {"rerank": True, "match_set": "union"})
    added = {"add": {"index": fed.index, "alias": alias, "filter": {"term": {"kind.keyword": "book"}}}}
    await fed.send("POST", "/_aliases", {"actions": [added]})
    body = {"query": match("car film word1 word2"), "size": 100}
    whole = await search(fed, body, pipeline)
    seen = await fed.send("POST", f"/{alias}/_search", body, search_pipeline=pipeline)
    books = [hit["_id"] for hit in whole["hits"]["hits"] if hit["_source"]["kind"] == "book"]
    assert seen["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert set(ids(seen)) >= set(books)
    assert {hit["_source"]["kind"] for hit in seen["hits"]["hits"]} == {"book"}
    assert seen["hits"]["total"]["value"] < whole["hits"]["total"]["value"]


async def test_a_sorted_search_is_left_alone(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    body = {"query": match("car"), "sort": [{"year": "desc"}, "_id"]}
    reply = await search(fed, body, pipeline, _source="false")
    assert ids(reply) == ids(await search(fed, body))
    assert reply["ext"]["cherche"]["rerank_status"] == "SKIPPED_SORT"


async def test_collapse_keeps_its_groups(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    collapse = {"field": "year", "inner_hits": {"name": "same", "size": 2}}
    reply = await search(fed, {"query": match("car word1"), "collapse": collapse}, pipeline)
    assert reply["ext"]["cherche"]["rerank_status"] == "APPLIED"
    for hit in reply["hits"]["hits"]:
        assert hit["fields"]["year"] == [hit["_source"]["year"]]
        assert {inner["_source"]["year"] for inner in hit["inner_hits"]["same"]["hits"]["hits"]} == set(
            hit["fields"]["year"]
        )


@pytest.mark.parametrize("body", [{"size": 0}, {"query": {"match": {"text": "nowhere"}}}, {"from": 140, "size": 5}])
async def test_empty_pages(fed: Cluster, body: dict[str, Any]) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "match_set": "lexical"})
    reply = await search(fed, {"query": match("car"), **body}, pipeline)
    assert ids(reply) == []
    assert "rerank_status" in reply["ext"]["cherche"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"match_all": {}}, "NO_TEXT"),
        ({"term": {"kind.keyword": "book"}}, "NO_TEXT"),
        ({"match": {"text": " "}}, "NO_TEXT"),
    ],
)
async def test_a_search_without_text_is_left_alone(fed: Cluster, query: dict[str, Any], status: str) -> None:
    reply = await search(fed, {"query": query}, await search_pipeline(fed))
    assert reply["ext"]["cherche"]["query_status"] == status
    assert ids(reply) == ids(await search(fed, {"query": query}))


@pytest.mark.parametrize("maxsim", ["shards", "sidecar"])
async def test_a_query_of_an_unknown_language_stays_the_users(
    fed: Cluster, monkeypatch: pytest.MonkeyPatch, maxsim: str
) -> None:
    known = FakeModel._encode

    def encode(model: FakeModel, tokens: Tokens, kind: Kind) -> Encoding:
        is_unknown = kind == "query" and "film" in tokens.texts
        return Encoding(TermWeights.empty(), None, unknown_language=True) if is_unknown else known(model, tokens, kind)

    monkeypatch.setattr(FakeModel, "_encode", encode)
    pipeline = await search_pipeline(fed, {"rerank": True, "match_set": "union", "maxsim": maxsim})
    query = {"query": match(f"film {maxsim}")}
    for _ in range(2):  # the second is cached
        reply = await search(fed, query, pipeline)
        ext = reply["ext"]["cherche"]
        assert (ext["query_status"], ext["rerank_status"]) == ("UNKNOWN_LANGUAGE", "UNKNOWN_LANGUAGE")
        assert "does not know the language" in ext["query_reason"]
        assert "does not know the language" in ext["rerank_reason"]
        assert ids(reply) == ids(await search(fed, query))


async def test_missing_embeddings_are_not_cached(fed: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    known = FakeModel._encode
    pipeline = await search_pipeline(fed)
    with monkeypatch.context() as patch:
        patch.setattr(FakeModel, "_encode", lambda *passed: replace(known(*passed), embeddings=None))
        ext = (await search(fed, {"query": match("word3 busy")}, pipeline))["ext"]["cherche"]
        assert (ext["query_status"], ext["rerank_status"]) == ("REWRITTEN", "UNAVAILABLE")
    ext = (await search(fed, {"query": match("word3 busy")}, pipeline))["ext"]["cherche"]
    assert ext["rerank_status"] == "APPLIED"


async def test_a_request_has_its_own_options(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    body = {"query": match("car word1")}
    off = await search(fed, {**body, "ext": {"cherche": {"mode": "off"}}}, pipeline)
    assert ids(off) == ids(await search(fed, body))
    assert off["ext"]["cherche"]["query_status"] == "OFF"
    text = await search(fed, {"query": {"match_all": {}}, "ext": {"cherche": {"text": "car word1"}}}, pipeline)
    assert text["ext"]["cherche"]["query_status"] == "REWRITTEN"
    weighed = await search(fed, {**body, "ext": {"cherche": {"rerank_weight": 0.125}}}, pipeline)
    assert weighed["ext"]["cherche"]["rerank_weight"] == 0.125
    with pytest.raises(ChercheError, match=r"unknown keys \[wight\]"):
        await search(fed, {**body, "ext": {"cherche": {"wight": 1}}}, pipeline)


@pytest.mark.parametrize("maxsim", ["shards", "sidecar"])
async def test_codes_are_never_returned(fed: Cluster, maxsim: str) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "rerank_window": 5, "maxsim": maxsim})
    reply = await search(fed, {"query": match("car word1 word2 film"), "size": 20}, pipeline)
    assert len(ids(reply)) == 20
    assert "cherche_codes" not in str(reply)


async def test_clients_cannot_send_query_vectors(fed: Cluster) -> None:
    ext = {"cherche_maxsim_query": {"tokens": 1, "dim": 16}}
    with pytest.raises(ChercheError, match="internal to the plugin"):
        await search(fed, {"query": match("car"), "ext": ext})


@pytest.mark.parametrize("maxsim", ["shards", "sidecar"])
@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (None, "1 of 2 hits have no token codes: feed their documents again"),
        (b"damaged", "1 of 2 hits have codes that cannot be read: these 7 bytes are not token codes"),
    ],
)
async def test_a_hit_without_codes_stays_in_the_page(
    fed: Cluster, maxsim: str, codes: bytes | None, reason: str
) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "match_set": "lexical", "maxsim": maxsim})
    await bulk(fed, {"other": {"title": "unheard"}}, f"{fed.index}-ingest")
    unfed = {"title": "unheard of"} | ({} if codes is None else {"cherche_codes": b64encode(codes).decode()})
    await fed.send("PUT", f"/{fed.index}/_doc/unfed", unfed, refresh="true")
    reply = await search(fed, {"query": match("unheard")}, pipeline)
    ext = reply["ext"]["cherche"]
    assert (ext["rerank_status"], ext["rerank_reason"]) == ("PARTIAL", reason)
    assert (ext["reranked"], ext["codes_missing"]) == (1, 1)
    assert set(ids(reply)) == {"other", "unfed"}
    assert "cherche_maxsim" not in {hit["_id"]: hit for hit in reply["hits"]["hits"]}["unfed"]["fields"]


async def test_the_kill_switch(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    body = {"query": match("car word1")}
    await fed.settings(enabled=False)
    off = await search(fed, body, pipeline)
    assert off["ext"]["cherche"]["query_status"] == "OFF"
    assert ids(off) == ids(await search(fed, body))
    await fed.settings(enabled=True)
    assert (await search(fed, body, pipeline))["ext"]["cherche"]["query_status"] == "REWRITTEN"


async def test_a_second_search_of_a_text_needs_no_encoding(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed)
    body = {"query": match("car word4")}
    first = await search(fed, body, pipeline)
    passes = len(fed.model.batches)
    assert ids(await search(fed, body, pipeline)) == ids(first)
    assert len(fed.model.batches) == passes
