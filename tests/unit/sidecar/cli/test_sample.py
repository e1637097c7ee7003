"""Documents of an index read for measuring and training."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar.cli.sample import Sample, read_sample
from sidecar.client.client import Client
from sidecar.errors import ChercheError
from tests.unit.sidecar.cli.conftest import Command


def sampled(command: Command, index: str, *names: str, **which: Any) -> Sample:
    async def run() -> Sample:
        async with Client(command.address) as client:
            return await read_sample(client, index, names, **which)

    return asyncio.run(run())


def test_judged_documents_come_first_and_once(articles: Command) -> None:
    found = sampled(articles, "articles", judged=["3", "gone"], sample=10)
    assert next(iter(found.documents)) == "3"
    assert sorted(found.documents) == ["1", "2", "3"]
    assert found.documents["2"] == ["Ducks", "ducks swim on the pond"]
    assert (found.held.judged, found.held.absent, found.without_text) == (2, 1, 0)
    assert found.report.stats.documents == 3


def test_other_fields_than_those_of_the_index(articles: Command) -> None:
    assert sampled(articles, "articles", "title", sample=10).documents["2"] == ["Ducks"]
    assert list(sampled(articles, "articles", judged=["1"]).documents) == ["1"]


def test_what_holds_no_text_says_why(articles: Command) -> None:
    with pytest.raises(ChercheError, match="no document of 'articles' has text in body — name the fields"):
        sampled(articles, "articles", "body", sample=10)
    articles("setup", "empty", "--fields", "text")
    with pytest.raises(ChercheError, match="index 'empty' holds no documents — feed it first: cherche feed empty"):
        sampled(articles, "empty", sample=10)
