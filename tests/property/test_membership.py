"""No hit breaks a condition of its caller, and an exact lookup finds what it found: in memory, and embedded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.opensearch.query import search_body
from sidecar.maintenance.setup import setup
from sidecar.models.registry import Registry
from sidecar.pipeline import Context, PageSigner, ingest, search
from sidecar.pipeline.match_set import decide
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.search import MatchSet, SearchRequest
from tests.bodies import ENCODED, SYNONYMS, TEXTS, Case, cases, documents, matches

DOCUMENTS = documents()
CASES = cases(1_000, seed=5)


def found(case: Case, pin: MatchSet) -> set[str]:
    """Ids that the rewritten body matches where the sparse clause matches every document there is."""
    decided = decide(case.body, ENCODED, pin, case.text)
    fields = tuple(TextField(name) for name in ENCODED)
    query = Query(case.text, "hybrid", fields, decided.match_set, (SparseClause(1, "a", 1.0),), body=case.body)
    body = search_body(query, query.clauses)
    post = body.get("post_filter", {"match_all": {}})
    return {
        id
        for id, source in DOCUMENTS.items()
        if matches(body["query"], id, source, lambda _: True) and matches(post, id, source)
    }


def plain(case: Case) -> set[str]:
    post = case.body.get("post_filter", {"match_all": {}})
    return {
        id for id, source in DOCUMENTS.items() if matches(case.body["query"], id, source) and matches(post, id, source)
    }


@pytest.mark.parametrize(("pin", "count", "least"), [("auto", 1_000, 200), ("union", 200, 40), ("lexical", 200, 0)])
def test_no_hit_breaks_a_condition_even_where_weights_find_everything(pin: MatchSet, count: int, least: int) -> None:
    widened = 0
    for case in CASES[:count]:
        hits, before = found(case, pin), plain(case)
        broken = {id: case.broken_by(id, DOCUMENTS[id]) for id in hits}
        assert not any(broken.values()), (case.body, {id: why for id, why in broken.items() if why})
        assert hits >= before, case.body
        if not case.is_open or pin == "lexical":
            assert hits == before, case.body
        widened += hits > before
    # What weights find must not be empty, or the test would hold of a search without them.
    assert widened >= least


def test_pages_and_facets_share_one_match_set() -> None:
    for case in CASES:
        bare = {"query": case.body["query"]}
        assert decide(case.body, ENCODED, text=case.text) == decide(bare, ENCODED, text=case.text)


async def arriving() -> AsyncIterator[SourceDocument]:
    for id, source in DOCUMENTS.items():
        yield SourceDocument(id, json.dumps(source).encode())


async def test_filters_bind_every_hit_of_the_embedded_engine(tmp_path: Path) -> None:
    engine, model = EmbeddedEngine(tmp_path / "index.sqlite"), FakeModel(synonyms=SYNONYMS)
    registry = Registry(lambda name, _: model, model.info.name)
    await registry.load(model.info.name, "in memory")
    context = Context(engine, registry, PageSigner(b"k" * 16))
    await setup("t", IndexOptions(), context, dry_run=False)
    async for result in ingest(arriving(), "t", context):
        assert result.error is None
    widened = 0
    for number, case in enumerate(case for case in CASES if case.is_open):
        conditions = [*case.must, *({"bool": {"must_not": [clause]}} for clause in case.must_not)]
        if not {kind for one in case.must + case.must_not for kind in one} <= {"term", "terms", "range", "ids"}:
            continue
        clause = {"match": {"text": {"query": "{{text}}", "operator": ("or", "and")[number % 2]}}}
        body = {"query": clause, "filter": conditions}
        text = TEXTS[number % len(TEXTS)]
        hits = (await search(SearchRequest("t", text, body=body, size=300), context)).hits
        for hit in hits:
            assert not case.broken_by(hit.id, DOCUMENTS[hit.id])
        lexical = {id for id, source in DOCUMENTS.items() if _fits(case, clause, text, id, source)}
        widened += len(hits) > len(lexical)
        assert {hit.id for hit in hits} >= lexical
        if number % 2:
            assert {hit.id for hit in hits} == lexical
    assert widened > 20
    await registry.aclose()
    await engine.aclose()


def _fits(case: Case, clause: dict[str, dict[str, dict[str, str]]], text: str, id: str, source: dict[str, str]) -> bool:
    options = {**clause["match"]["text"], "query": text}
    return matches({"match": {"text": options}}, id, source) and not case.broken_by(id, source)
