"""Judged searches: what is read, and what is no measurement."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.testing import FakeModel
from tests.unit.sidecar.cli.conftest import Command, judged, serving


def test_eval_fails_where_a_rerank_did_not_happen(articles: Command, tmp_path: Path) -> None:
    with serving(tmp_path / "other", [FakeModel(late_interaction=False)]) as address:
        other = Command(address, tmp_path)
        other("setup", "articles")
        other("feed", "articles", str(articles.folder / "corpus.jsonl"))
        result = other("eval", "articles", *judged(articles), "--modes", "hybrid+rerank", code=1)
    assert "hybrid+rerank was not reranked throughout: 2 UNAVAILABLE" in result.stderr
    assert "hybrid+rerank" in result.stdout


@pytest.mark.parametrize("modes", ["bm26", "sparse+fast", "sparse:half"])
def test_eval_names_the_modes_there_are(articles: Command, modes: str) -> None:
    assert modes in articles("eval", "articles", *judged(articles), "--modes", modes, code=2).stderr


def test_eval_names_a_judged_query_without_text(articles: Command) -> None:
    options = judged(articles)
    Path(options[1]).write_text('{"_id": "q1", "text": "aspirin"}\n')
    assert "'q2'" in articles("eval", "articles", *options, code=1).stderr
