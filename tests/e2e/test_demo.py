"""`cherche demo` as a newcomer runs it, with the model in the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from cherche_models.evaluate.searches import FURTHER, SEARCHES
from sidecar.cli.demo import MODES

pytestmark = pytest.mark.timeout(900)  # half a minute where nothing else runs


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    command = [sys.executable, "-m", "sidecar.cli", "demo", "--json"]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_each_stage_finds_what_bm25_misses(report: dict[str, Any]) -> None:
    found = report["in_top_3"]["searches"]
    assert found["bm25"] + 2 <= found["hybrid"], report["searches"]
    assert found["bm25"] + 2 <= found["hybrid+rerank"], report["searches"]


def test_it_runs_every_search_in_every_mode(report: dict[str, Any]) -> None:
    assert [row["search"] for row in report["searches"]] == [search.text for search in SEARCHES]
    assert [row["search"] for row in report["further"]] == [search.text for search in FURTHER]
    assert all(list(row["ranks"]) == list(MODES) for row in (*report["searches"], *report["further"]))


def test_it_feeds_a_real_corpus(report: dict[str, Any]) -> None:
    assert report["documents"] > 4_000
    assert report["feed"]["terms_per_document"] > 1


def test_it_shows_three_searches_with_hits_and_the_terms_that_found_them(report: dict[str, Any]) -> None:
    assert [row["search"] for row in report["shown"]] == [search.text for search in SEARCHES[:3]]
    assert all(len(row["hits"]) == 3 for row in report["shown"])
    assert all(hit["terms"] for row in report["shown"] for hit in row["hits"][:1])
