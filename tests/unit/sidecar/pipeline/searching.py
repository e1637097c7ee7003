"""A filled index, and short ways to search it."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError
from sidecar.pipeline import ingest, search
from sidecar.values.documents import SourceDocument
from sidecar.values.search import SearchRequest, SearchResult

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def text_of(i: int) -> str:
    """More words the higher the number; every text has `common`."""
    return " ".join(["common", *(WORDS[: i % 10 + 1]), *(["filler"] * (i // 10))])


async def filled(world: Any, count: int = 40, **options: Any) -> Any:
    world.set_up(**options)
    documents = [SourceDocument(f"d{i:02}", f'{{"title": "t", "text": "{text_of(i)}"}}'.encode()) for i in range(count)]

    async def arriving() -> Any:
        for document in documents:
            yield document

    async for result in ingest(arriving(), world.index, world.context):
        assert result.error is None
    for encoder in world.encoders.encoders:
        encoder.calls.clear()
    return world


async def ask(world: Any, text: str = "common three", **options: Any) -> SearchResult:
    return await search(SearchRequest(index=world.index, text=text, **options), world.context)


async def refused(world: Any, **options: Any) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        await ask(world, **options)
    return caught.value


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


async def pages(world: Any, **options: Any) -> list[SearchResult]:
    found = [await ask(world, paginate=True, **options)]
    while token := found[-1].next_page_token:
        found.append(await ask(world, paginate=True, page_token=token, **options))
    return found
