"""What is stored beside each document, line by line."""

from __future__ import annotations

import json

from tests.unit.sidecar.cli.conftest import Command


def test_a_line_holds_a_documents_source_and_the_digests_of_what_is_beside_it(articles: Command) -> None:
    result = articles("dump", "articles")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["id"] for line in lines] == ["1", "2", "3"]
    assert lines[1]["source"] == {"title": "Ducks", "text": "ducks swim on the pond"}
    assert {line["state"] for line in lines} == {"ok"}
    for name in ("terms", "codes"):
        assert all(len(line[name]) == 64 for line in lines)
        assert len({line[name] for line in lines}) == 3
    assert result.stderr == "3 documents\n"


def test_two_dumps_of_one_index_are_equal(articles: Command) -> None:
    assert articles("dump", "articles").stdout == articles("dump", "articles").stdout
