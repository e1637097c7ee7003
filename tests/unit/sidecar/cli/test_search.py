"""Searches: hits, the parts of their scores, pages."""

from __future__ import annotations

import json

import pytest

from sidecar.cli.output import Output
from sidecar.cli.search import _printer
from sidecar.cli.session import Session
from sidecar.values.index import Fingerprint
from sidecar.values.search import Hit, RerankOutcome, ScoreParts, SearchRequest, SearchResult, Timings
from tests.unit.sidecar.cli.conftest import Command


def test_search_shows_parts_that_add_up(articles: Command) -> None:
    page = articles.json("search", "articles", "aspirin stroke", "--rerank", "--explain")
    (hit, *_), parts = page["hits"], page["hits"][0]["parts"]
    assert hit["id"] == "1"
    assert parts["first_stage"] == pytest.approx(parts["lexical"] + parts["sparse"])
    explained = next(e for e in page["explanations"] if e["id"] == "1")
    assert parts["sparse"] == pytest.approx(sum(term["contribution"] for term in explained["terms"]))
    assert parts["maxsim"] == pytest.approx(sum(match["similarity"] for match in explained["matches"]), abs=1e-4)
    assert page["rerank"]["status"] == "APPLIED"


def test_search_prints_columns_where_nobody_looks(articles: Command) -> None:
    result = articles("search", "articles", "aspirin", "--mode", "bm25")
    header, row = result.stdout.splitlines()
    assert header.split() == ["rank", "score", "lexical", "sparse", "id", "text"]
    assert row.split()[0] == "1"
    assert "Aspirin aspirin prevents stroke" in row
    assert "1 hit," in result.stderr
    assert not articles("search", "articles", "aspirin", "--quiet").stderr


def test_explain_prints_terms_and_tokens(articles: Command) -> None:
    printed = articles("search", "articles", "heart", "--rerank", "--explain").stdout
    assert "Cardiac care" in printed
    (term,) = printed.partition("contribution\n")[2].partition("\nMaxSim")[0].splitlines()
    query, document, contribution = map(float, term.split()[1:])
    assert contribution == pytest.approx(query * document, abs=1e-3)
    assert "query token" in printed


@pytest.mark.parametrize("options", [[], ["--rerank"], ["--rerank", "--rerank-window", "1"], ["--fusion", "rrf"]])
def test_the_sum_that_is_printed_is_the_score(articles: Command, options: list[str]) -> None:
    command = ["search", "articles", "aspirin stroke ducks cardiac", "--explain", *options]
    printed = [line for line in articles(*command).stdout.splitlines() if " = " in line]
    hits = articles.json(*command)["hits"]
    assert len(printed) == len(hits) > 1
    first_stage = 0.0
    for line, hit in zip(printed, hits, strict=True):
        for sum in line.partition(": ")[2].split("; "):
            terms, _, total = sum.rpartition(": ")[2].rpartition(" = ")
            names = {"first stage": f"{first_stage}", "lexical": "", "sparse": "", "·": "*"}
            for name, value in names.items():
                terms = terms.replace(name, value)
            assert float(total) == pytest.approx(eval(terms), abs=3e-4), line
            first_stage = float(total)
        assert float(total) == pytest.approx(hit["score"], abs=1e-4)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_a_filter_keeps_others_out(articles: Command) -> None:
    page = articles.json("search", "articles", "aspirin", "--filter", '{"ids": {"values": ["2"]}}', code=0)
    assert "1" not in [hit["id"] for hit in page["hits"]]


def test_without_hits_they_are_counted(articles: Command) -> None:
    counted = articles.json("search", "articles", "aspirin", "--size", "0", "--rerank")
    assert (counted["hits"], counted["total"] > 0, counted["rerank"]["status"]) == ([], True, "NOT_REQUESTED")


@pytest.mark.parametrize("options", [["--filter", "{"], ["--query-json", "absent.json"], ["--rerank-weight", "2"]])
def test_a_search_that_cannot_be_read_is_a_usage_error(articles: Command, options: list[str]) -> None:
    articles("search", "articles", "aspirin", *options, code=2)


def test_pages_follow_one_another(articles: Command) -> None:
    query = "aspirin ducks cardiac"
    first = articles.json("search", "articles", query, "--size", "2", "--paginate")
    token = first["next_page_token"]
    second = articles.json("search", "articles", query, "--size", "2", "--page", token)
    assert [hit["rank"] for hit in first["hits"] + second["hits"]] == [1, 2, 3]
    assert len({hit["id"] for hit in first["hits"] + second["hits"]}) == 3
    assert articles("search", "articles", "something else", "--page", token, code=1).stderr


def test_the_embedded_engine_has_no_curl_command(articles: Command) -> None:
    assert "--engine opensearch" in articles("search", "articles", "aspirin", "--curl", code=1).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--query-terms 4", "--query-terms is of --query-mode pruned, which is full"),
        (
            "--mode bm25 --query-mode pruned --query-terms 4",
            "--query-mode is of --mode sparse or hybrid, which is bm25",
        ),
        ("--mode bm25 --match-set union", "--match-set is of --mode sparse or hybrid, which is bm25"),
        ("--mode bm25 --sparse-boost 2", "--sparse-boost is of --mode sparse or hybrid, which is bm25"),
        ("--mode bm25 --fusion rrf", "--fusion is of --mode hybrid, which is bm25"),
        ("--mode sparse --fusion rrf", "--fusion is of --mode hybrid, which is sparse"),
        ("--rank-constant 5", "--rank-constant is of --fusion rrf, which is sum"),
        ("--fusion-window 5", "--fusion-window is of --fusion rrf, which is sum"),
        ("--rerank-window 5", "--rerank-window is of --rerank, which is not given"),
        ("--rerank-weight 0", "--rerank-weight is of --rerank, which is not given"),
        ("--reranker fake", "--reranker is of --rerank, which is not given"),
        ("--query-mode pruned --query-terms 4", ""),
        ("--mode sparse --match-set lexical --sparse-boost 2", ""),
        ("--fusion rrf --rank-constant 5 --fusion-window 5", ""),
        ("--mode bm25 --rerank --rerank-window 5 --rerank-weight 0", ""),
    ],
)
def test_an_option_that_can_do_nothing_is_a_usage_error(articles: Command, options: str, said: str) -> None:
    assert said in articles("search", "articles", "aspirin", *options.split(), code=2 if said else 0).stderr


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        (
            '{"bool": {"must": [{"match": {"title": "care"}}], "filter": [{"ids": {"values": ["2"]}}]}}',
            1,
            "'bool' needs",
        ),
        (
            '{"bool": {"must": [{"match": {"title": "care"}}], "must_not": [{"ids": {"values": ["2"]}}]}}',
            1,
            "'bool' nee",
        ),
        ('{"match": {"title": 5}}', 1, "match has no query text"),
        ('{"match": {"title": "{{text}}"}}', 0, ""),
    ],
)
@pytest.mark.parametrize(
    "options",
    [[], ["--mode", "sparse"], ["--mode", "sparse", "--match-set", "union"], ["--mode", "sparse", "--rerank"]],
)
def test_a_condition_of_the_query_binds_or_is_refused_in_every_mode(
    articles: Command, query: str, code: int, said: str, options: list[str]
) -> None:
    (articles.folder / "query.json").write_text(f'{{"query": {query}}}')
    body = ["--query-json", str(articles.folder / "query.json")]
    assert said in articles("search", "articles", "aspirin cardiac", *body, *options, code=code).stderr


@pytest.mark.parametrize(
    ("written", "ids", "said"),
    [
        ('{"match": {"title": "cardiac"}}', ["3"], ""),
        ('{"filter": {"ids": {"values": ["2", "3"]}}}', ["3"], ""),
        ('{"track_total_hits": false}', ["1", "3"], ""),
        ('{"sort": ["year"]}', [], "'sort' needs a cluster"),
        ('{"aggs": {}}', [], "'aggs' needs a cluster"),
        ('{"min_score": 3}', [], "'min_score' needs a cluster"),
        ('{"size": 3}', [], "the search body sets 'size' — use size"),
        ('{"_source": false}', [], "the search body sets '_source'"),
        ('{"query": null}', [], "the query of the search body is empty"),
        ('{"query": {}}', [], "the query of the search body is empty"),
        ('{"knn": {"v": {"vector": [1], "k": 1}}}', [], "query 'knn' needs a cluster"),
    ],
)
def test_a_lone_key_of_a_search_body_is_that_and_any_other_a_query(
    articles: Command, written: str, ids: list[str], said: str
) -> None:
    (articles.folder / "body.json").write_text(written)
    body = str(articles.folder / "body.json")
    command = ["search", "articles", "aspirin cardiac", "--query-json", body, "--match-set", "lexical"]
    if said:
        assert said in articles(*command, code=1).stderr
    else:
        assert sorted(hit["id"] for hit in articles.json(*command)["hits"]) == ids


def test_both_filters_hold(articles: Command) -> None:
    (articles.folder / "body.json").write_text('{"filter": {"ids": {"values": ["1", "3"]}}}')
    body = ["--query-json", str(articles.folder / "body.json"), "--filter", '{"ids": {"values": ["2", "3"]}}']
    assert [hit["id"] for hit in articles.json("search", "articles", "aspirin cardiac", *body)["hits"]] == ["3"]


def test_what_belongs_to_a_page_beside_its_hits_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    parts = ScoreParts(1.0, 0.0, 1.0, 1)
    marked = {"highlight": {"title": ["<em>fox</em>", "the <em>fox</em>"]}}
    hit = Hit("7", 1, 1.0, parts, {"title": "fox"}, marked)
    counted = {"years": {"buckets": [{"key": 2019, "doc_count": 1}]}}
    page = SearchResult((hit,), 1, False, RerankOutcome(), Fingerprint("s"), Timings(), aggregations=counted)
    _printer(Session(Output(False, False)), page, (), SearchRequest("articles", "fox"))()
    printed = capsys.readouterr().out
    assert "1. 7, title: <em>fox</em> … the <em>fox</em>" in printed
    assert json.loads(printed[printed.index("{") :]) == counted
