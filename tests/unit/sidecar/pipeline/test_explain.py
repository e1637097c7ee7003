from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.pipeline import explain, ingest
from sidecar.pipeline.explain import contributions
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.first_stage import SparseClause
from sidecar.values.index import TextField
from sidecar.values.search import Explanation, SearchRequest, SearchResult

TEXTS = {
    "1": ("sea", "the blue sea is wide"),
    "2": ("sky", "the blue sky is blue"),
    "3": ("", "nothing of that kind blue"),
    "4": ("long", "blue " + "word " * 300),
}


async def filled(world: Any, **options: Any) -> Any:
    world.set_up(**options)

    async def arriving() -> Any:
        for id, (title, text) in TEXTS.items():
            fields = f'"title": "{title}", ' if title else ""
            yield SourceDocument(id, f'{{{fields}"text": "{text}", "year": 1}}'.encode())

    async for result in ingest(arriving(), world.index, world.context):
        assert result.error is None
    return world


async def run(world: Any, ids: tuple[str, ...] = (), **options: Any) -> tuple[SearchResult, dict[str, Explanation]]:
    request = SearchRequest(**{"index": world.index, "text": "blue sky", "rerank": True, **options})
    result, explained = await explain(request, world.context, ids)
    assert [one.id for one in explained] == [hit.id for hit in result.hits if not ids or hit.id in ids]
    return result, {one.id: one for one in explained}


def tokens_of(world: Any, id: str) -> list[str]:
    """Tokens that have a row in the codes."""
    [tokens] = world.encoder.model.tokenize([" ".join(filter(None, TEXTS[id]))], "document", 128)
    return [tokens.texts[place] for place in world.encoder.model.kept(tokens, "document")]


@pytest.fixture
async def ready(world: Any) -> Any:
    return await filled(world)


@pytest.mark.parametrize("boost", [1.0, 0.3])
@pytest.mark.parametrize("codec", ["int8", "none"])
async def test_the_parts_add_up_to_what_was_shown(world: Any, boost: float, codec: str) -> None:
    await filled(world, codec=codec)
    result, explained = await run(world, sparse_boost=boost)
    for hit in result.hits:
        one = explained[hit.id]
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(hit.parts.maxsim, abs=1e-5)
        assert one.sparse_boost == boost
        assert not one.notes
        for term in one.terms:
            assert term.contribution == pytest.approx(boost * term.query_weight * term.document_weight)
        assert [t.contribution for t in one.terms] == sorted((t.contribution for t in one.terms), reverse=True)


async def test_the_boost_of_an_index_is_in_each_contribution(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    search = ready.engine.search

    async def boosted(*asked: Any) -> Any:
        page = await search(*asked)
        parts = [{name: 3 * getattr(hit, name) for name in ("score", "lexical", "sparse")} for hit in page.hits]
        hits = (replace(hit, **three, boost=3.0) for hit, three in zip(page.hits, parts, strict=True))
        return replace(page, hits=tuple(hits))

    monkeypatch.setattr(ready.engine, "search", boosted)
    result, explained = await run(ready)
    for hit in result.hits:
        one = explained[hit.id]
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert hit.parts.first_stage == pytest.approx(hit.parts.lexical + hit.parts.sparse)
        assert one.sparse_boost == 3.0


@pytest.mark.parametrize("codec", ["int8", "none"])
async def test_tokens_line_up_with_the_rows_of_the_codes(world: Any, codec: str) -> None:
    """Equal words have similarity 1, and the long document is cut where its codes end."""
    await filled(world, codec=codec)
    result, explained = await run(world)
    assert {hit.id for hit in result.hits} == set(TEXTS)
    for id, one in explained.items():
        words = tokens_of(world, id)
        assert [match.query_token for match in one.matches] == ["blue", "sky"]
        for match in one.matches:
            assert match.document_token == words[match.document_position]
            assert (match.similarity > 0.99) == (match.query_token == match.document_token)
        assert {match.query_token for match in one.matches} & set(words)


async def test_terms_are_the_vocabularys_tokens(ready: Any) -> None:
    _, explained = await run(ready)
    names = {f"h{ready.encoder.model.token_id(word) - 6}" for word in ("blue", "sky")}
    assert {term.token for term in explained["2"].terms} == names


@pytest.mark.parametrize("fields", [("title",), ("text",), ("year",)])
@pytest.mark.parametrize("codec", ["int8", "none"])
async def test_no_token_is_shown_of_text_that_was_not_returned(world: Any, fields: tuple[str, ...], codec: str) -> None:
    await filled(world, codec=codec)
    result, explained = await run(world, source_fields=fields)
    for hit in result.hits:
        whole = fields == ("text",) and hit.id == "3"  # it has no title: nothing is missing
        one = explained[hit.id]
        assert {bool(term.token) for term in one.terms} == {whole}
        assert {bool(match.document_token) for match in one.matches} == {whole}
        assert any("tokens are not shown" in note for note in one.notes) != whole
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)


async def test_no_token_is_shown_of_text_that_changed_since(ready: Any) -> None:
    """The same number of tokens, so that only the hash can tell."""
    old = ready.engine.documents["2"]
    ready.engine.documents["2"] = replace(old, source={**old.source, "text": "the blue sky was grey"})
    _, explained = await run(ready)
    assert {match.document_token for match in explained["2"].matches} == {""}
    assert "changed since encoded" in explained["2"].notes[-1]
    assert {term.token for term in explained["1"].terms} != {""}


async def test_cut_terms_are_not_explained(ready: Any) -> None:
    ready.engine.change = lambda page: replace(page, clauses=1)
    result, explained = await run(ready)
    assert result.query_terms == 1
    assert all(len(one.terms) <= 1 for one in explained.values())


async def test_only_the_wanted_hits_are_explained_and_absent_ones_are_told(ready: Any) -> None:
    result, explained = await run(ready, ids=("2", "9", "nobody"))
    assert list(explained) == ["2"]
    assert len(result.hits) == 4
    assert result.warnings == ("not explained, since not on this page: 9, nobody",)


async def test_hits_below_the_window_have_no_matches(ready: Any) -> None:
    result, explained = await run(ready, rerank_window=2)
    assert [bool(explained[hit.id].matches) for hit in result.hits] == [True, True, False, False]


@pytest.mark.parametrize(("terms", "note"), [(None, "no packed terms"), (b"CT", "not packed terms")])
async def test_terms_that_cannot_be_read_are_a_note(ready: Any, terms: bytes | None, note: str) -> None:
    old = ready.engine.documents["2"]
    ready.engine.documents["2"] = replace(old, terms=terms)
    _, explained = await run(ready)
    assert explained["2"].terms == ()
    assert note in explained["2"].notes[0]
    assert explained["2"].matches


async def test_bm25_has_no_terms_and_an_index_never_set_up_has_matches(ready: Any) -> None:
    _, explained = await run(ready, mode="bm25")
    assert all(one.terms == () and one.matches and not one.notes for one in explained.values())
    ready.engine.metas[ready.index] = None
    _, explained = await run(ready, mode="bm25")
    assert {match.document_token for match in explained["2"].matches} == {"blue", "sky"}
    _, explained = await run(ready, mode="bm25", source_fields=("title",))
    assert {match.document_token for match in explained["2"].matches} == {""}


async def test_token_shares_line_up_too(world: Any) -> None:
    await filled(world, fields=(TextField("title", 0.2), TextField("text", 0.5)), max_length=12)
    _, explained = await run(world)
    assert not any(one.notes for one in explained.values())
    assert {match.document_token for match in explained["2"].matches} == {"blue", "sky"}


async def test_two_models_explain_with_their_own_tokens(make_world: Callable[..., Any]) -> None:
    sparse, late = FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False, max_length=32)
    world = await filled(make_world(sparse, late), reranker="late")
    result, explained = await run(world)
    for hit in result.hits:
        assert not explained[hit.id].notes
        assert sum(m.similarity for m in explained[hit.id].matches) == pytest.approx(hit.parts.maxsim, abs=1e-5)


def test_contributions_fall_and_ties_are_ordered() -> None:
    clauses = [
        SparseClause(1, "b", 1.0),
        SparseClause(2, "a", 1.0),
        SparseClause(3, "c", 2.0),
        SparseClause(4, "d", 9.0),
    ]
    found = contributions(clauses, {1: 0.5, 2: 0.5, 3: 1.0}, ["", "b", "a", "c", "d"], 2.0)
    assert [(term.token, term.contribution) for term in found] == [("c", 4.0), ("a", 1.0), ("b", 1.0)]


@pytest.mark.parametrize("codec", ["int8", "none"])
async def test_hits_that_share_an_id_are_explained_each_by_its_own_terms_and_codes(world: Any, codec: str) -> None:
    """As documents of several indices do, or of one index under several routings."""
    await filled(world, codec=codec)
    world.engine.change = lambda page: replace(page, hits=tuple(replace(hit, id="same") for hit in page.hits))
    request = SearchRequest(world.index, "blue sky", rerank=True)
    result, explained = await explain(request, world.context)
    assert {hit.id for hit in result.hits} == {"same"}
    assert len({round(hit.parts.sparse, 4) for hit in result.hits}) > 1
    for hit, one in zip(result.hits, explained, strict=True):
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(hit.parts.maxsim, abs=1e-5)
        assert all(term.token for term in one.terms)
