"""The first stage on a real cluster of each product: scores, membership, pass-through, points in time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.known import Known
from sidecar.engines.opensearch.query import says_sum, search_body
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import OWN_FIELDS
from sidecar.values.first_stage import EnginePage, GroupClauses, Mode, Query, SparseClause
from sidecar.values.index import Fingerprint
from tests.integration.opensearch.corpus import META, NAMES, Send, clauses_of, encoded, refused, weights_of
from tests.integration.profiles import disjunctions, feature_of

pytestmark = pytest.mark.java

WORDS = [f"word{number}" for number in range(40)]
DOCUMENTS = 400
REQUESTS = 80


def source_of(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "title": " ".join(rng.choices(WORDS, k=4)),
        "text": " ".join(rng.choices(WORDS, k=rng.randint(3, 30))),
        "kind": rng.choice(["book", "paper", "note"]),
        "year": rng.randint(2000, 2020),
        "group": number % 37,
    }


@pytest.fixture(scope="module")
def weights() -> list[TermWeights]:
    rng = random.Random(11)
    return [weights_of(rng, 40) for _ in range(DOCUMENTS)]


@pytest.fixture
async def fed(opensearch: OpenSearchEngine, index: str, send: Send, weights: list[TermWeights]) -> str:
    properties = {"kind": {"type": "keyword"}, "year": {"type": "integer"}, "group": {"type": "integer"}}
    mappings = {"_source": {"excludes": ["cherche_*"]}, "properties": properties}
    await send("PUT", f"/{index}", {"settings": {"number_of_shards": 2}, "mappings": mappings})
    await opensearch.setup(index, META)
    rng = random.Random(12)
    documents = [encoded(f"d{n}", source_of(rng, n), each) for n, each in enumerate(weights)]
    assert refused(await opensearch.write(index, documents)) == {}
    await opensearch.refresh(index)
    return index


def query(text: str = "word1 word2", mode: Mode = "hybrid", **changes: Any) -> Query:
    clauses = clauses_of(weights_of(random.Random(text), 12)) if mode != "bm25" else ()
    return replace(Query(text, mode, META.fields, clauses=clauses, size=DOCUMENTS), **changes)


async def test_the_sparse_score_is_our_sum_over_the_packed_terms(opensearch: OpenSearchEngine, fed: str) -> None:
    pairs = 0
    for number in range(20):
        wanted = weights_of(random.Random(100 + number), 30)
        boost = 0.5 + number / 10
        asked = query(f"q{number}", "sparse", clauses=clauses_of(wanted), size=60, sparse_boost=boost, with_terms=True)
        for hit in (await opensearch.search(fed, asked)).hits:
            assert hit.terms is not None
            ours = boost * wanted.dot(codec.unpack_terms(hit.terms))
            assert hit.score == pytest.approx(ours, rel=1e-5)
            assert (hit.sparse, hit.lexical) == (hit.score, 0.0)
            pairs += 1
    assert pairs >= 1000


@pytest.mark.parametrize("token", [0, 1, 2, 3])
async def test_a_single_unsafe_token_is_found(opensearch: OpenSearchEngine, fed: str, token: int) -> None:
    asked = query("x", "sparse", clauses=(SparseClause(token, NAMES[token], 100.0),), with_terms=True, size=5)
    hits = (await opensearch.search(fed, asked)).hits
    assert hits
    for hit in hits:
        assert hit.terms is not None
        stored = dict(codec.unpack_terms(hit.terms).items())
        assert hit.score == pytest.approx(100 * stored[token], rel=1e-6)


@pytest.mark.parametrize("named_scores", [True, False])
@pytest.mark.parametrize("match_set", ["union", "lexical"])
async def test_parts_add_up(opensearch: OpenSearchEngine, fed: str, match_set: str, named_scores: bool) -> None:
    known = await opensearch._dialect()
    if named_scores and not known.named_scores:
        pytest.skip(f"{known.title} {known.version} has no include_named_queries_score")
    dialect = replace(known, named_scores=named_scores)
    engine = OpenSearchEngine(opensearch._http, known=Known(dialect))
    page = await engine.search(fed, query(match_set=match_set, sparse_boost=0.7, with_terms=True))
    wanted = TermWeights.from_pairs([(clause.id, clause.weight) for clause in query().clauses])
    alone = {hit.id: hit.score for hit in (await engine.search(fed, query(mode="bm25"))).hits}
    for hit in page.hits:
        assert hit.terms is not None
        assert hit.sparse == pytest.approx(0.7 * wanted.dot(codec.unpack_terms(hit.terms)), rel=1e-4)
        assert hit.lexical == pytest.approx(alone.get(hit.id, 0.0), rel=1e-3, abs=1e-4)
        assert hit.score == pytest.approx(hit.lexical + hit.sparse, rel=1e-5)
    assert {hit.id for hit in page.hits} >= set(alone)
    assert (len(page.hits) == len(alone)) is (match_set == "lexical")


@pytest.mark.parametrize("match_set", ["union", "lexical"])
async def test_the_part_that_no_name_says_is_the_one_that_a_name_would_say(
    opensearch: OpenSearchEngine, fed: str, match_set: str
) -> None:
    known = await opensearch._dialect()
    if not known.named_scores:
        pytest.skip(f"{known.title} {known.version} has no include_named_queries_score")
    rng, seen = random.Random(3), set[tuple[bool, bool]]()
    for _ in range(20):
        body = {key: value for key, value in generated(rng).items() if key not in ("sort", "collapse")}
        asked = query(match_set=match_set, sparse_boost=rng.choice([0.001, 0.7, 30.0]), body=body)
        both = replace(asked, body={**asked.body, "version": True})
        assert (says_sum(asked), says_sum(both)) == (True, False)
        page, named = await opensearch.search(fed, asked), await opensearch.search(fed, both)
        assert [(hit.id, hit.score, hit.lexical) for hit in page.hits] == [
            (hit.id, hit.score, hit.lexical) for hit in named.hits
        ]
        for hit, one in zip(page.hits, named.hits, strict=True):
            # A float of the cluster's has 24 bits, and so has the sum.
            assert hit.sparse == pytest.approx(one.sparse, rel=1e-6, abs=hit.score * 2**-22)
            seen.add((hit.lexical > 0, hit.sparse > 0))
    assert seen >= ({(True, True), (False, True)} if match_set == "union" else {(True, True)})


def generated(rng: random.Random) -> dict[str, Any]:
    """A search body as people write it."""
    words = " ".join(rng.sample(WORDS, rng.randint(1, 6)))
    body: dict[str, Any] = {"track_total_hits": True}
    match: dict[str, Any] = {"query": "{{text}}" if rng.random() < 0.5 else words}
    if rng.random() < 0.6:
        match["minimum_should_match"] = rng.choice(["2", "50%", "-1", "2<75%"])
    shapes = [
        {"match": {rng.choice(["title", "text"]): match}},
        {"multi_match": {**match, "fields": ["title^3", "text"], "type": rng.choice(["best_fields", "cross_fields"])}},
        {
            "bool": {
                "should": [{"match": {"title": word}} for word in words.split()] + [{"term": {"kind": "book"}}],
                "minimum_should_match": rng.choice([1, 2]),
                "must_not": [{"term": {"year": 2003}}],
            }
        },
    ]
    body["query"] = rng.choice(shapes)
    if rng.random() < 0.5:
        body["filter"] = {"range": {"year": {"gte": rng.randint(2000, 2015)}}}
    if rng.random() < 0.7:
        body["aggs"] = {
            "kinds": {"terms": {"field": "kind"}, "aggs": {"years": {"stats": {"field": "year"}}}},
            "decades": {"histogram": {"field": "year", "interval": 10}},
        }
    if rng.random() < 0.4:
        body["collapse"] = {"field": "group"}
    if rng.random() < 0.3:
        body["post_filter"] = {"term": {"kind": rng.choice(["book", "note"])}}
    if rng.random() < 0.3:
        body["sort"] = [{"year": "desc"}, {"_id": "asc"}]
    return body


async def test_match_set_lexical_leaves_membership_to_the_user(opensearch: OpenSearchEngine, fed: str) -> None:
    rng = random.Random(13)
    seen: list[Mapping[str, Any]] = []
    for _ in range(REQUESTS):
        text = " ".join(rng.sample(WORDS, 3))
        body = generated(rng)
        plain = await opensearch.search(fed, query(text, "bm25", body=body))
        hybrid = await opensearch.search(fed, query(text, match_set="lexical", body=body))
        assert _membership(hybrid, body) == _membership(plain, body), body
        if plain.hits and "sort" not in body:
            assert max(hit.sparse for hit in hybrid.hits) > 0
        seen.append(body)
        assert plain.total == 0 or plain.hits
    for feature in ("aggs", "collapse", "filter", "post_filter", "sort"):
        assert sum(feature in body for body in seen) >= 10, feature
    assert sum("minimum_should_match" in str(body) for body in seen) >= 20


def _membership(page: EnginePage, body: Mapping[str, Any]) -> tuple[object, ...]:
    """Everything of a page that must not depend on scores."""
    if "sort" in body:
        members: object = [hit.id for hit in page.hits]
    elif "collapse" in body:
        members = sorted(hit.source["group"] for hit in page.hits)
    else:
        members = sorted(hit.id for hit in page.hits)
    return page.total, page.total_is_lower_bound, page.aggregations, members


async def test_union_adds_what_only_the_sparse_clause_finds(opensearch: OpenSearchEngine, fed: str) -> None:
    nowhere = await opensearch.search(fed, query("absent", match_set="union"))
    assert nowhere.total == DOCUMENTS  # every document has the token "."
    assert all(hit.lexical == 0.0 and hit.sparse > 0 for hit in nowhere.hits)
    assert (await opensearch.search(fed, query("absent", match_set="lexical"))).total == 0
    assert (await opensearch.search(fed, query("absent", "sparse", clauses=()))).total == 0


@pytest.mark.parametrize("given_filter", [None, {"term": {"kind": "book"}}])
async def test_term_weights_and_the_users_words_are_one_disjunction(
    opensearch: OpenSearchEngine, fed: str, send: Send, given_filter: Any
) -> None:
    """Lucene skips documents by the sum of both only then: nested, the same search takes a multiple of the CPU."""
    asked = query(sparse_boost=0.75, size=10, body={} if given_filter is None else {"filter": given_filter})
    body = {**search_body(asked, asked.clauses), "profile": True}
    ran = disjunctions(await send("POST", f"/{fed}/_search", body))
    assert len(ran) >= 2  # shards
    for _, clauses in ran:
        features = [feature_of(clause) for clause in clauses if feature_of(clause)]
        assert len(set(features)) == len(features) == len(asked.clauses)
        others = [clause["description"] for clause in clauses if not feature_of(clause)]
        assert len(others) == 1 + (given_filter is not None), others


async def test_term_weights_of_several_models_are_flat_in_each_index(
    opensearch: OpenSearchEngine, fed: str, send: Send
) -> None:
    other = f"{fed}-other"
    await opensearch.setup(other, replace(META, fingerprint=Fingerprint("c" * 64, "")))
    try:
        theirs = clauses_of(weights_of(random.Random(9), 5))
        asked = query(sparse_boost=0.75, size=10, names=(fed,), others=(GroupClauses((other,), theirs),))
        await opensearch.write(other, [encoded("o1", {"title": "word1"}, weights_of(random.Random(9), 5))])
        await opensearch.refresh(other)
        body = {**search_body(asked, asked.clauses), "profile": True}
        ran = disjunctions(await send("POST", f"/{fed},{other}/_search", body))
        assert {name for name, _ in ran} == {fed, other}
        for name, clauses in ran:
            own = asked.clauses if name == fed else theirs
            assert sum(bool(feature_of(clause)) for clause in clauses) == len(own)
            # Lucene 8 keeps the part of the other model, which has no documents here.
            scoring = [clause for clause in clauses if clause["type"] != "MatchNoDocsQuery"]
            assert len(scoring) == len(own) + 1, [clause["type"] for clause in clauses]
    finally:
        await send("DELETE", f"/{other}")


@pytest.mark.parametrize("named_scores", [True, False])
@pytest.mark.parametrize("mode", ["hybrid", "sparse"])
@pytest.mark.parametrize("candidates", [20, DOCUMENTS])
async def test_candidates_of_few_terms_have_the_scores_of_all_terms(
    opensearch: OpenSearchEngine, fed: str, mode: Mode, candidates: int, named_scores: bool
) -> None:
    known = await opensearch._dialect()
    engine = OpenSearchEngine(opensearch._http, known=Known(replace(known, named_scores=named_scores)))
    if named_scores and not known.named_scores:
        pytest.skip(f"{known.title} {known.version} has no include_named_queries_score")
    asked = query("word1 word2 word3", mode, sparse_boost=0.7)
    exact = {hit.id: hit for hit in (await engine.search(fed, asked)).hits}
    asked = replace(asked, first_terms=4, candidates=candidates, size=20)
    page = await engine.search(fed, asked)
    assert (page.first_terms, page.clauses, page.total_is_lower_bound) == (4, len(asked.clauses), True)
    assert len(page.hits) == 20
    for hit in page.hits:
        one = exact[hit.id]
        assert hit.score == pytest.approx(one.score, rel=1e-6)
        # One of them is the score less the other, with its rounding.
        assert hit.lexical == pytest.approx(one.lexical, rel=1e-6, abs=0 if named_scores else 1e-5)
        assert hit.sparse == pytest.approx(one.sparse, rel=1e-4)
    pages = [await engine.search(fed, replace(asked, size=5, offset=offset)) for offset in (0, 5, 10, 15)]
    assert [hit.id for found in pages for hit in found.hits] == [hit.id for hit in page.hits]


async def test_body_parts_pass_through(opensearch: OpenSearchEngine, fed: str) -> None:
    body = {
        "query": {"match": {"title": {"query": "{{text}}", "_name": "mine"}}},
        "highlight": {"fields": {"title": {}}},
        "docvalue_fields": ["year"],
        "aggs": {"kinds": {"terms": {"field": "kind"}}},
        "sort": [{"year": "asc"}, "_score"],
        "_source": ["title", "cherche_*"],
        "track_total_hits": 3,
    }
    page = await opensearch.search(fed, query("word3", body=body, match_set="lexical", with_codes=True, size=4))
    assert page.aggregations is not None
    assert page.total_is_lower_bound
    assert page.request["body"]["aggs"] == body["aggs"]
    for hit in page.hits:
        assert set(hit.source) == {"title"}
        assert "<em>word3</em>" in hit.extra["highlight"]["title"][0]
        assert hit.extra["fields"] == {"year": [hit.extra["sort"][0]]}
        assert list(hit.extra["matched_queries"]) == ["mine"]
        assert hit.codes is not None
        assert hit.score == pytest.approx(hit.lexical + hit.sparse)
        assert hit.score == pytest.approx(hit.extra["sort"][1], rel=1e-5)


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("source", [None, True, "*", ["*"], {"includes": ["*"]}, {"excludes": ["kind"]}])
async def test_own_fields_never_leave(opensearch: OpenSearchEngine, fed: str, source: Any, known: bool) -> None:
    if known:  # that sources are lean: then they come whole
        await opensearch.groups(fed)
    body = {} if source is None else {"_source": source}
    page = await opensearch.search(fed, query(body=body, size=3))
    for hit in page.hits:
        assert hit.source
        assert not set(OWN_FIELDS) & set(hit.source)
    named = await opensearch.search(fed, query(source_fields=("year", "cherche_digest"), size=3))
    assert {tuple(hit.source) for hit in named.hits} == {("year",)}


async def test_a_point_in_time_stands_still(opensearch: OpenSearchEngine, fed: str) -> None:
    first = await opensearch.search(fed, query(size=10, keep_pit=True))
    await opensearch.write(fed, [encoded("late", {"title": "word1 word2"}, weights_of(random.Random(1), 100))])
    await opensearch.refresh(fed)
    whole = await opensearch.search(fed, query(pit=first.pit))
    second = await opensearch.search(fed, query(pit=first.pit, offset=10, size=10))
    assert [hit.id for hit in whole.hits[:20]] == [hit.id for hit in (*first.hits, *second.hits)]
    assert "late" not in {hit.id for hit in whole.hits}
    await opensearch.close_pit(first.pit)
    await opensearch.close_pit(first.pit)
    with pytest.raises(ChercheError, match="point in time has expired") as expired:
        await opensearch.search(fed, query(pit=first.pit))
    assert expired.value.code == Code.FAILED_PRECONDITION


async def test_too_many_terms_keep_the_heaviest(opensearch: OpenSearchEngine, fed: str) -> None:
    clauses = tuple(SparseClause(n, f"absent{n}", 0.001) for n in range(1000, 2500))
    heavy = query().clauses
    page = await opensearch.search(fed, query(clauses=(*clauses, *heavy)))
    [warning] = page.warnings
    assert "max_clause_count" in warning
    assert warning.startswith(f"{1500 + len(heavy) - 1000} of {1500 + len(heavy)} ")
    assert [hit.sparse for hit in page.hits] == pytest.approx(
        [hit.sparse for hit in (await opensearch.search(fed, query())).hits]
    )


async def test_a_lexical_part_of_many_clauses_halves_the_sparse_one_where_they_are_counted_together(
    opensearch: OpenSearchEngine, fed: str, product: str
) -> None:
    body = {"query": {"bool": {"should": [{"match": {"title": f"word{n}"}} for n in range(600)]}}}
    clauses = tuple(SparseClause(n, f"absent{n}", 1.0) for n in range(800))
    page = await opensearch.search(fed, query(body=body, clauses=clauses))
    assert page.hits
    if product == "elasticsearch":  # Lucene 8 counts each bool alone
        assert page.warnings == ()
    else:
        assert "400 of 800 query terms left out" in page.warnings[0]


async def test_a_broken_query_is_the_callers(opensearch: OpenSearchEngine, fed: str) -> None:
    with pytest.raises(ChercheError, match="unknown query") as broken:
        await opensearch.search(fed, query(body={"query": {"nonsense": {}}}))
    assert broken.value.code == Code.INVALID_ARGUMENT


async def test_a_missing_index_names_setup(opensearch: OpenSearchEngine, index: str) -> None:
    with pytest.raises(ChercheError) as missing:
        await opensearch.search(index, query())
    assert missing.value.code == Code.NOT_FOUND
    assert missing.value.next_step == f"run: cherche setup {index}"
