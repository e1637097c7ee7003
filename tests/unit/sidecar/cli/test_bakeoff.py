"""Models beside each other: rows, comparisons, and what is said of a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sidecar.models.library
from sidecar.errors import precondition
from sidecar.testing import FakeModel
from tests.unit.sidecar.cli.conftest import Command, judged, judged_beyond


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each name loads: fakes with other heads, a cross-encoder, and what fails."""

    def load(name: str, source: str) -> Any:
        if source == "broken":
            raise precondition("broken holds no model", "name another folder")
        if source == "crashing":
            raise RuntimeError("out of memory")
        if source == "cross":
            return lambda pairs: [float("cardiac" in text) for _, text in pairs]
        heads = {"late": (False, True), "sparse": (True, False)}.get(source, (True, True))
        synonyms = {} if source == "plain" else {"heart": "cardiac"}
        note = "a sentence encoder" if source == "late" else ""
        return FakeModel(name=name, sparse=heads[0], late_interaction=heads[1], synonyms=synonyms, note=note)

    monkeypatch.setattr(sidecar.models.library, "load_candidate", load)


def bakeoff(command: Command, *models: str, more: tuple[str, ...] = (), code: int = 0) -> Any:
    return command.json("bakeoff", "articles", "--models", *models, *judged(command), *more, code=code)


def test_its_figures_are_those_of_eval_where_all_documents_are_scored(articles: Command) -> None:
    report = bakeoff(articles, "fake")
    modes = articles.json("eval", "articles", *judged(articles))["modes"]
    (row,) = report["models"]
    assert row["ndcg@10"] == {
        "bm25": modes["bm25"]["ndcg@10"],
        "hybrid": modes["hybrid"]["ndcg@10"],
        "rerank": modes["hybrid+rerank"]["ndcg@10"],
    }
    assert row["recall@100"] == modes["hybrid"]["recall@100"]
    assert (report["documents"], report["index_documents"], report["is_sample"]) == (3, 3, False)
    assert report["warnings"] == []
    assert row["bytes_per_document"] > 0
    assert row["documents_per_second"] > 0
    assert set(row["query_ms"]) == {"p50", "p95"}
    assert "cost_per_million_documents" not in row


def test_models_without_term_weights_rerank_the_first_that_has_them(articles: Command) -> None:
    report = bakeoff(articles, "cross", "late", "sparse", "plain")
    rows = {row["model"]: row for row in report["models"]}
    assert list(rows) == ["cross", "late", "sparse", "plain"]
    assert {rows[name]["first_stage"] for name in ("cross", "late", "sparse")} == {"bm25 + sparse"}
    assert rows["plain"]["first_stage"] == "bm25 + plain"
    assert rows["cross"]["architecture"] == "cross_encoder"
    assert rows["cross"]["documents_per_second"] is rows["cross"]["bytes_per_document"] is None
    assert set(rows["sparse"]["ndcg@10"]) == {"bm25", "hybrid"}
    assert set(rows["late"]["ndcg@10"]) == {"bm25", "rerank"}
    assert rows["cross"]["comparison"] is None  # the baseline
    assert rows["plain"]["comparison"]["losses"] == 1
    assert rows["late"]["note"] == "a sentence encoder"


def test_without_any_term_weights_bm25s_hits_are_reranked(articles: Command) -> None:
    assert [row["first_stage"] for row in bakeoff(articles, "late", "cross")["models"]] == ["bm25", "bm25"]


def test_a_model_that_fails_is_a_row_and_costs_the_others_nothing(articles: Command) -> None:
    report = bakeoff(articles, "broken", "crashing", "fake")
    rows = {row["model"]: row for row in report["models"]}
    assert rows["broken"]["error"] == "broken holds no model — name another folder"
    assert rows["crashing"]["error"] == "RuntimeError: out of memory"
    assert rows["broken"]["query_ms"] is rows["broken"]["comparison"] is None
    assert report["baseline"] == "bm25"
    assert report["warnings"] == ["the baseline broken could not be measured: models are compared with bm25"]
    assert rows["fake"]["comparison"]["wins"] == 1
    printed = articles("bakeoff", "articles", "--models", "broken", "--models", "fake", *judged(articles)).stdout
    assert "broken was not measured: broken holds no model" in printed


def test_where_no_model_can_be_measured_it_fails(articles: Command) -> None:
    bakeoff(articles, "broken", code=1)


def test_a_sample_says_that_its_figures_are_optimistic(articles: Command) -> None:
    report = bakeoff(articles, "fake", more=("--sample", "0"))
    assert (report["documents"], report["index_documents"], report["is_sample"]) == (2, 3, True)
    assert "2 of 3 documents were scored" in report["warnings"][0]
    assert "optimistic" in report["warnings"][0]
    assert "optimistic" in articles("bakeoff", "articles", "fake", *judged(articles), "--sample", "0").stderr


def test_judged_documents_that_are_absent_are_counted(articles: Command) -> None:
    asked = ["bakeoff", "articles", "fake", *judged_beyond(articles)]
    assert articles.json(*asked)["judged_documents"]["absent"] == 4
    assert "4 of 6 judged documents are not in articles" in articles(*asked).stderr


def test_the_baseline_may_be_another_model_or_bm25(articles: Command) -> None:
    report = bakeoff(articles, "fake", "plain", more=("--baseline", "plain"))
    assert [row["comparison"] is None for row in report["models"]] == [False, True]
    assert report["models"][0]["comparison"]["difference"] == 0.5
    report = bakeoff(articles, "plain", more=("--baseline", "bm25"))
    assert report["models"][0]["comparison"]["ties"] == 2
    refused = articles("bakeoff", "articles", "fake", *judged(articles), "--baseline", "other", code=2)
    assert "'other' is neither bm25 nor one of the models" in refused.stderr


def test_the_price_of_a_core_hour_gives_the_cost_of_a_million_documents(articles: Command) -> None:
    (row,) = bakeoff(articles, "fake", more=("--price-per-core-hour", "1000"))["models"]
    assert row["cost_per_million_documents"] == pytest.approx(1000 * row["core_hours_per_million_documents"], abs=5.01)
    printed = articles("bakeoff", "articles", "fake", *judged(articles), "--price-per-core-hour", "0.05").stdout
    assert "cost/million" in printed


def test_documents_without_text_are_left_out_and_counted(articles: Command) -> None:
    report = bakeoff(articles, "fake", more=("--fields", "title"))
    assert report["documents"] == 3
    refused = articles("bakeoff", "articles", "fake", *judged(articles), "--fields", "body", code=1)
    assert "name the fields with --fields" in refused.stderr


def test_the_index_is_left_as_it_was(articles: Command) -> None:
    before = articles("dump", "articles").stdout
    bakeoff(articles, "fake", "plain", "cross")
    assert articles("dump", "articles").stdout == before


@pytest.mark.parametrize(("models", "reason"), [([], "no model is named"), (["fake", "fake"], "'fake' is named twice")])
def test_models_are_named_once(articles: Command, models: list[str], reason: str) -> None:
    assert reason in articles("bakeoff", "articles", *models, *judged(articles), code=2).stderr


def test_folders_of_one_name_are_told_apart_by_their_paths(articles: Command, tmp_path: Path) -> None:
    folders = [tmp_path / place / "model" for place in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    report = bakeoff(articles, *map(str, folders))
    assert [row["model"] for row in report["models"]] == [str(folder) for folder in folders]
