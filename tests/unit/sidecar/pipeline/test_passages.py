"""Passages of hits: right slices of what is stored, whatever the codes are, and never a failed search."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.errors import ChercheError, Code
from sidecar.pipeline import ingest, passages, search
from sidecar.pipeline.passages import stored_values
from sidecar.pipeline.text import field_texts, join
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument, value_at
from sidecar.values.index import TextField
from sidecar.values.passages import Passage
from sidecar.values.search import Hit, SearchRequest, SearchResult

LONG = " ".join(f"w{i}" for i in range(100)) + " the blue sky, at last. " + " ".join(f"v{i}" for i in range(100))


async def filled(world: Any, documents: dict[str, dict[str, Any]], **options: Any) -> Any:
    world.set_up(**options)

    async def arriving() -> Any:
        for id, source in documents.items():
            yield SourceDocument(id, json.dumps(source).encode())

    async for result in ingest(arriving(), world.index, world.context):
        assert result.error is None
    world.encoder.calls.clear()
    return world


async def ask(world: Any, **options: Any) -> SearchResult:
    request = SearchRequest(**{"index": world.index, "text": "blue sky", "passages": 2, **options})
    return await search(request, world.context)


def check(hit: Hit, stored: dict[str, Any], *, in_order: bool = True) -> None:
    """Offsets slice the value that is stored."""
    for one in hit.passages:
        value = stored[one.field]
        value = value[one.element] if isinstance(value, list) else value
        assert value[one.start : one.end] == one.text
        assert one.text.strip() == one.text != ""
        for answer in one.answers:
            assert one.start <= answer.start < answer.end <= one.end
    assert not in_order or [one.score for one in hit.passages] == sorted(
        (one.score for one in hit.passages), reverse=True
    )


def answered(one: Passage) -> dict[str, str]:
    return {a.query_token: one.text[a.start - one.start : a.end - one.start] for a in one.answers}


@pytest.mark.parametrize("options", [{}, {"rerank": True}, {"mode": "bm25"}, {"query_mode": "doc_only"}])
async def test_the_best_window_of_a_long_text_by_its_stored_codes(world: Any, options: dict[str, Any]) -> None:
    source = {"title": "a title", "text": LONG}
    await filled(world, {"1": source, "2": {"text": "blue"}}, max_length=32, chunks=16)
    result = await ask(world, **options)
    hit = next(hit for hit in result.hits if hit.id == "1")
    check(hit, source)
    first, second = hit.passages
    assert (first.field, first.element, first.encoded_now) == ("text", 0, False)
    assert "the blue sky, at last." in first.text
    assert first.score == pytest.approx(2.0, abs=0.02)
    assert second.score < first.score
    assert answered(first) == {"blue": "blue", "sky": "sky"}
    assert not [one for one in result.warnings if "passage" in one]
    assert not [kind for kind, _ in world.encoder.calls if kind == "document"]


@pytest.mark.parametrize("codec", ["none", "pool4+int8"])
async def test_a_text_whose_codes_are_pooled_or_absent_is_encoded_now(world: Any, codec: str) -> None:
    source = {"text": LONG}
    await filled(world, {"1": source}, max_length=32, chunks=16, codec=codec)
    result = await ask(world)
    [hit] = result.hits
    check(hit, source)
    assert all(one.encoded_now for one in hit.passages)
    assert "the blue sky, at last." in hit.passages[0].text
    world.encoder.calls.clear()
    assert await ask(world, rerank=True)  # kept for the next search
    assert not [kind for kind, _ in world.encoder.calls if kind == "document"]


async def test_a_text_that_changed_since_is_encoded_now(world: Any) -> None:
    await filled(world, {"1": {"text": "a blue sky"}})
    world.engine.documents["1"] = replace(world.engine.documents["1"], source={"text": "no blue sea"})
    [hit] = (await ask(world)).hits
    assert (hit.passages[0].text, hit.passages[0].encoded_now) == ("no blue sea", True)


async def test_each_passage_lies_within_one_value_of_a_field(world: Any) -> None:
    source = {"title": ["red", None, "blue"], "text": ["", "sky"]}
    await filled(world, {"1": source})
    [hit] = (await ask(world, passages=5)).hits
    check(hit, source)
    assert {(one.field, one.element, one.text) for one in hit.passages} == {
        ("title", 0, "red"),
        ("title", 2, "blue"),
        ("text", 1, "sky"),
    }


async def test_a_title_with_all_words_of_the_query_comes_after_the_text(world: Any) -> None:
    source = {"title": "blue sky", "text": "w " * 30 + "blue"}
    await filled(world, {"1": source})
    [hit] = (await ask(world)).hits
    assert [one.field for one in hit.passages] == ["text", "title"]
    assert hit.passages[1].score > hit.passages[0].score


@pytest.mark.parametrize("codec", ["none", "int8"])
@pytest.mark.parametrize("rerank", [True, False])
async def test_fields_that_were_not_asked_for_are_not_returned(world: Any, codec: str, rerank: bool) -> None:
    await filled(world, {"1": {"title": "a", "text": "blue sky", "year": 1}}, codec=codec)
    [hit] = (await ask(world, source_fields=("year",), rerank=rerank)).hits
    assert hit.source == {"year": 1}
    assert hit.passages[0].text == "blue sky"


async def test_every_page_has_some_whatever_orders_it(ready: Any) -> None:
    first = await ask(ready, text="common three", rerank=True, rerank_window=4, size=4, paginate=True)
    below = await ask(
        ready, text="common three", rerank=True, rerank_window=4, size=4, page_token=first.next_page_token
    )
    by_year = await ask(ready, text="common three", rerank=True, body={"sort": ["year"]})
    for result in (first, below, by_year):
        assert result.hits
        for hit in result.hits:
            assert hit.passages
            check(hit, ready.engine.documents[hit.id].source)


async def test_none_are_made_unless_asked_for(ready: Any) -> None:
    result = await ask(ready, text="common three", passages=0)
    assert not any(hit.passages for hit in result.hits)
    assert not ready.engine.queries[-1].with_codes
    assert (await ask(ready, text="common", size=0)).hits == ()


@pytest.mark.parametrize("passages", [-1, 11])
async def test_a_number_out_of_bounds_is_refused(ready: Any, passages: int) -> None:
    with pytest.raises(ChercheError, match="give 1 to 10"):
        await ask(ready, passages=passages)


async def test_without_a_late_interaction_model_a_warning_says_so(make_world: Callable[..., Any]) -> None:
    world = await filled(make_world(FakeModel("sparse", late_interaction=False)), {"1": {"text": "blue"}})
    result = await ask(world)
    assert [hit.id for hit in result.hits] == ["1"]
    assert result.warnings == (
        "no passages: model 'sparse' has no late-interaction head — set the index up with --reranker",
    )


async def test_a_model_that_cannot_encode_now_costs_the_passages_alone(world: Any) -> None:
    await filled(world, {"1": {"text": "blue"}, "2": {"text": "a blue sky"}}, codec="none")
    world.encoder.refusals[:] = [ChercheError(Code.RESOURCE_EXHAUSTED, "the queue is full")]
    result = await ask(world, mode="bm25")
    assert [hit.id for hit in result.hits] == ["2", "1"]
    assert not any(hit.passages for hit in result.hits)
    assert result.warnings == ("no passages: the queue is full",)


async def test_a_text_that_cannot_be_read_costs_no_other_hit_its_passages(world: Any) -> None:
    await filled(world, {"1": {"text": "blue sky"}, "2": {"text": "blue sky too"}})
    held = world.engine.documents["2"]
    world.engine.documents["2"] = replace(held, source={"text": "blue sky unreadable"})
    world.engine.documents["3"] = replace(held, id="3", source={"title": {"an": "object"}, "text": "blue sky"})
    result = await ask(world)
    found = {hit.id: bool(hit.passages) for hit in result.hits}
    assert found == {"1": True, "2": False, "3": False}
    assert "no passages of 1 of 3 hits: this text cannot be cut into tokens" in result.warnings
    assert "no passages of 1 of 3 hits: they have no text in the fields that are encoded" in result.warnings


async def test_no_more_texts_are_encoded_than_a_page_should_wait_for(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world, {f"{i}": {"text": f"blue {i}"} for i in range(6)}, codec="none")
    monkeypatch.setattr(passages, "MOST_ENCODED", 3)
    monkeypatch.setattr(passages, "MOST_HITS", 5)
    result = await ask(world)
    assert [bool(hit.passages) for hit in result.hits] == [True] * 3 + [False] * 3
    assert result.warnings == (
        "no passages of 2 of 6 hits: the index has no vector of each token, and at most 3 texts are encoded for it",
        "no passages of 1 of 6 hits: only the first 5 hits of a page get some",
    )


async def test_time_that_runs_out_costs_the_passages_alone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(world, {"1": {"text": "blue"}})

    async def forever(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(passages, "windows_of_each", forever)
    result = await ask(world)
    assert [hit.id for hit in result.hits] == ["1"]
    assert "time ran out" in result.warnings[0]


@pytest.mark.parametrize("chunks", [1, 2])
async def test_a_field_behind_one_that_its_share_cut_has_its_own_tokens(world: Any, chunks: int) -> None:
    title = " ".join(f"t{i}" for i in range(40)) + " the blue sea " + " ".join(f"u{i}" for i in range(200))
    text = "the blue sky, at last. " + " ".join(f"v{i}" for i in range(60))
    source = {"title": title, "none": "", "text": text}
    fields = (TextField("title", token_share=0.2), TextField("none"), TextField("text"))
    await filled(world, {"1": source, "2": {"text": "blue"}}, fields=fields, max_length=32, chunks=chunks)
    hit = next(hit for hit in (await ask(world)).hits if hit.id == "1")
    check(hit, source)
    assert hit.passages[0].field == "text"
    assert answered(hit.passages[0]) == {"blue": "blue", "sky": "sky"}
    assert hit.passages[0].score == pytest.approx(2.0, abs=0.02)


async def test_each_of_many_values_looks_at_its_own_tokens_alone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [f"w{i}" for i in range(20)] + ["blue sky"] + [f"v{i}" for i in range(5_000)]
    await filled(world, {"1": {"text": values}}, max_length=32, chunks=2)
    asked: list[str] = []
    best = passages.passages.best

    def counted(query: Any, document: Any, places: Any, text: str, **options: Any) -> Any:
        asked.append(text)
        return best(query, document, places, text, **options)

    monkeypatch.setattr(passages.passages, "best", counted)
    [hit] = (await ask(world)).hits
    check(hit, {"text": values})
    assert (hit.passages[0].element, hit.passages[0].text) == (20, "blue sky")
    # No token was read of the others.
    assert 20 < len(asked) < 100


# Astral, combining, joined, right to left, without spaces, markup, controls, letters that change when they are lowered.
ODD = [
    "blue",
    "sky",
    "e\u0301",
    "\t",
    "\n",
    "\u00a0",
    "\u200b",
    "👩🏽‍🚀",
    "𝕏",
    "知ら",
    "ไทย",
    "שָׁלוֹם",
    "\u202b",
    "<b>",
    "&amp;",
    "İ",
    "ﬁ",
    "\x00",
    " ",
]
values = st.lists(st.sampled_from(ODD), max_size=30).map("".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values, st.lists(st.one_of(values, st.none()), max_size=4))
@example("blueblue\ufb01\u0130", [])
def test_offsets_slice_any_text_that_is_stored(make_world: Callable[..., Any], title: str, texts: list[str]) -> None:
    source = {"title": title, "text": texts}

    async def run() -> None:
        model = FakeModel(max_length=16)
        world = await filled(make_world(model), {"1": source, "2": {"text": "blue sky"}}, chunks=16)
        for hit in (await ask(world, passages=10)).hits:
            check(hit, source if hit.id == "1" else {"text": "blue sky"}, in_order=False)
            for one in hit.passages:
                for token, (word, similarity) in said(one).items():
                    # By the ids of words, which are hashes: two words may share one.
                    own = model.tokenize([word], "document")[0].ids[1]
                    assert similarity < 0.99 or own == model.token_id(token)

    asyncio.run(run())


def said(one: Passage) -> dict[str, tuple[str, float]]:
    return {a.query_token: (one.text[a.start - one.start : a.end - one.start], a.similarity) for a in one.answers}


def test_values_are_where_they_stand_in_the_joined_text(world: Any) -> None:
    source = {
        "title": ["", [None, "a"], 7, True],
        "a": [{"b": "x"}, {"c": 1}, {"b": ["", "y"]}],
        "none": "",
        "text": "t",
    }
    meta = world.set_up(fields=tuple(map(TextField, ("none", "title", "absent", "a.b", "text"))))
    whole = join(field_texts("it", source, meta.fields))
    found = list(stored_values(source, meta))
    assert [(field, element, text) for field, element, _, text in found] == [
        ("none", 0, ""),
        ("title", 0, ""),
        ("title", 2, "a"),
        ("title", 3, "7"),
        ("title", 4, "true"),
        ("a.b", 0, "x"),
        ("a.b", 1, ""),
        ("a.b", 2, "y"),
        ("text", 0, "t"),
    ]
    assert all(whole[start : start + len(text)] == text for _, _, start, text in found)
    assert value_at(source, "a.b") == ["x", "", "y"]
