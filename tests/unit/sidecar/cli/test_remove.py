"""An index without cherche again."""

from __future__ import annotations

import json

from tests.unit.sidecar.cli.conftest import Command


def test_remove_leaves_the_documents_and_asks_first(articles: Command) -> None:
    assert "--yes" in articles("remove", "articles", code=2).stderr
    assert "external_gte" in articles("remove", "articles", "--yes", "--version-type", "internal", code=2).stderr
    assert articles.json("remove", "articles", "--version-type", "external_gte", "--dry-run")["documents"] == 3
    assert articles.json("remove", "articles", "--yes")["documents"] == 3
    kept = [json.loads(line) for line in articles("dump", "articles").stdout.splitlines()]
    assert [line["source"]["title"] for line in kept] == ["Aspirin", "Ducks", "Cardiac care"]
    assert not any(line["terms"] or line["hash"] for line in kept)
