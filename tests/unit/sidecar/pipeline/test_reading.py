"""A hit as the models read it: from what is stored, and shown to whom the text was returned."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline import ingest
from sidecar.pipeline.reading import Reading, read_hit
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.search import SearchRequest, SearchResult

TEXTS = {"1": "The blue sea", "2": "sky, Blue sky", "3": "blue " + "word " * 200}


async def fill(world: Any, **options: Any) -> Any:
    world.set_up(**options)

    async def arriving() -> Any:
        for id, text in TEXTS.items():
            yield SourceDocument(id, f'{{"text": "{text}", "year": 1}}'.encode())

    async for result in ingest(arriving(), world.index, world.context):
        assert result.error is None
    return world


async def read(world: Any, id: str, **options: Any) -> tuple[SearchResult, Reading]:
    request = SearchRequest(**{"index": world.index, "text": "blue sky", "rerank": True, **options})
    return await read_hit(request, world.context, id)


def written(reading: Reading) -> dict[str, list[str]]:
    terms = zip(reading.explanation.terms, reading.terms, strict=True)
    return {term.token: [reading.text[slice(*place)] for place in where] for term, where in terms}


async def test_parts_are_those_of_the_hit(world: Any) -> None:
    await fill(world)
    result, reading = await read(world, "2")
    hit = next(hit for hit in result.hits if hit.id == "2")
    assert reading.hit == hit
    assert reading.similarities.max(axis=1).sum() == pytest.approx(hit.parts.maxsim, abs=1e-5)
    assert reading.query_tokens == ("blue", "sky")
    assert [token for token, _ in reading.tokens] == ["sky", ",", "blue", "sky"]
    assert [reading.text[slice(*place)] for _, place in reading.tokens if place] == ["sky", ",", "Blue", "sky"]


async def test_terms_stand_where_they_are_written_and_added_ones_nowhere(make_world: Any) -> None:
    model = FakeModel(synonyms={"sky": "heaven"})
    vocabulary = list(model.info.vocabulary)
    for word in ("blue", "sky", "heaven"):
        vocabulary[model.token_id(word)] = word
    object.__setattr__(model.info, "vocabulary", tuple(vocabulary))
    world = await fill(make_world(model))
    _, reading = await read(world, "2")
    assert written(reading) == {"sky": ["sky", "sky"], "blue": ["Blue"], "heaven": []}


async def test_a_long_document_is_read_window_after_window(world: Any) -> None:
    await fill(world)
    _, reading = await read(world, "3")
    assert len(reading.tokens) == reading.similarities.shape[1] > 201
    assert all(reading.text[slice(*place)] == token for token, place in reading.tokens if place)
    assert all(place for _, place in reading.tokens)


async def test_without_the_text_no_token_is_shown(world: Any) -> None:
    await fill(world)
    _, reading = await read(world, "2", source_fields=("year",))
    assert reading.text == ""
    assert {token for token, _ in reading.tokens} == {""}
    assert not any(reading.terms)
    assert reading.explanation.notes


async def test_without_a_rerank_there_are_terms_alone(world: Any) -> None:
    await fill(world)
    _, reading = await read(world, "1", rerank=False)
    assert reading.similarities.size == 0
    assert reading.tokens == ()
    assert reading.text == "The blue sea"
    assert reading.explanation.terms


async def test_a_hit_that_is_not_there(world: Any) -> None:
    await fill(world)
    with pytest.raises(ChercheError, match="'9' is not among the hits") as absent:
        await read(world, "9")
    assert absent.value.code is Code.NOT_FOUND
