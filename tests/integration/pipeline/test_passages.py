"""Passages are those of the stored codes on each engine, whatever orders the hits, and slices of what is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.pipeline import search
from sidecar.values.documents import SourceDocument
from sidecar.values.index import TextField
from sidecar.values.search import SearchRequest
from tests.integration.pipeline.conftest import Bench

LONG = " ".join(f"w{i}" for i in range(150)) + " 🙂 <b>a cafe\u0301 with a\tpiano</b>, שלום. " + "more " * 150
SOURCES: dict[str, dict[str, Any]] = {
    "long": {"title": "a piano", "text": LONG, "year": 1},
    "list": {"title": ["nothing", None, "the piano in the café"], "text": "", "year": 2},
    "short": {"title": "x", "text": "piano", "year": 3},
}


async def documents() -> AsyncIterator[SourceDocument]:
    for id, source in SOURCES.items():
        yield SourceDocument(id, json.dumps(source).encode())


@pytest.fixture
async def stored(bench: Bench) -> Bench:
    await bench.set_up(fields=(TextField("title"), TextField("text")), max_length=64, chunks=16)
    await bench.feed([one async for one in documents()])
    return bench


@pytest.mark.parametrize(
    "options",
    [{}, {"rerank": True}, {"mode": "bm25"}, {"source_fields": ("year",), "rerank": True}],
)
async def test_passages_slice_what_is_stored(stored: Bench, options: dict[str, Any]) -> None:
    result = await search(SearchRequest(stored.index, "café piano", passages=2, **options), stored.context)
    assert {hit.id for hit in result.hits} == set(SOURCES)
    assert not [one for one in result.warnings if "passage" in one]
    for hit in result.hits:
        assert set(hit.source) == ({"year"} if options.get("source_fields") else set(SOURCES[hit.id]))
        assert hit.passages
        for one in hit.passages:
            value = SOURCES[hit.id][one.field]
            value = value[one.element] if isinstance(value, list) else value
            assert value[one.start : one.end] == one.text
            assert not one.encoded_now
    first = {hit.id: hit.passages[0] for hit in result.hits}
    assert "🙂 <b>a cafe\u0301 with a\tpiano</b>, שלום." in first["long"].text
    assert (first["list"].field, first["list"].element, first["list"].text) == ("title", 2, "the piano in the café")
    assert first["short"].text == "piano"


async def test_a_search_by_another_order_has_passages(stored: Bench, engine_name: str) -> None:
    if engine_name == "embedded":
        pytest.skip("the embedded engine sorts by the score alone")
    request = SearchRequest(stored.index, "piano", passages=1, rerank=True, body={"sort": [{"year": "desc"}]})
    result = await search(request, stored.context)
    assert [hit.id for hit in result.hits] == ["short", "list", "long"]
    assert all(hit.passages and not hit.passages[0].encoded_now for hit in result.hits)
