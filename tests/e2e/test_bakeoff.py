"""A bake-off of every kind of checkpoint, from the command line, on an embedded index; one of them is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cherche_models import hub
from sidecar.cli import cherche
from tests import checkpoints, published

WORDS = ("brain", "heart", "cell", "protein", "search", "index")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cherche, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_every_kind_of_model_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "index.sqlite"))
    monkeypatch.chdir(tmp_path)
    documents = [{"_id": f"{w}{i}", "text": f"the {w} of a document {i}"} for w in WORDS for i in range(4)]
    corpus = write(tmp_path / "corpus.jsonl", documents)
    queries = write(tmp_path / "queries.jsonl", [{"_id": w, "text": f"neural {w}"} for w in WORDS])
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("".join(f"{w} 0 {w}0 1\n" for w in WORDS))
    joint = hub.load(
        checkpoints.masked_lm(tmp_path / "splade"),
        device="cpu",
        dtype="fp32",
        architecture="joint",
        new_head=True,
        dim=8,
    )
    hub.save(joint, tmp_path / "joint")
    checkpoints.neural_cherche(tmp_path / "sparse-embed", masks=2, projection=8)
    checkpoints.pylate(tmp_path / "colbert")
    checkpoints.sentence_encoder(tmp_path / "sentences")
    checkpoints.classifier(tmp_path / "cross")
    published.bge_m3(tmp_path / "m3")
    (tmp_path / "empty").mkdir()
    kinds = {
        "splade": ("splade", {"bm25", "hybrid"}),
        "joint": ("joint", {"bm25", "hybrid", "rerank"}),
        "sparse-embed": ("sparse_embed", {"bm25", "hybrid"}),
        "colbert": ("colbert", {"bm25", "rerank"}),
        "sentences": ("colbert", {"bm25", "rerank"}),
        "m3": ("m3", {"bm25", "hybrid", "rerank"}),
        "cross": ("cross_encoder", {"bm25", "rerank"}),
        "empty": (None, {"bm25"}),
    }
    run("setup", "articles", "--fields", "text")
    run("feed", "articles", str(corpus))
    models = [f"./{name}" for name in kinds]
    judged = ["--queries", str(queries), "--qrels", str(qrels), "--sample", "5"]
    done = run("bakeoff", "articles", "--models", *models, *judged, "--json")
    report = json.loads(done.stdout)
    rows = {row["model"]: row for row in report["models"]}
    assert {name: (row["architecture"], set(row["ndcg@10"])) for name, row in rows.items()} == kinds
    assert "holds no model files" in rows["empty"]["error"] or "no config.json" in rows["empty"]["error"]
    assert "a sentence encoder: its token embeddings of 32 dimensions" in rows["sentences"]["note"]
    assert {row["first_stage"] for row in rows.values()} >= {"bm25 + splade", "bm25 + joint"}
    assert report["is_sample"]
    assert "optimistic" in done.stderr
    for name in set(rows) - {"empty", "cross"}:
        assert rows[name]["bytes_per_document"] > 0
        assert rows[name]["core_hours_per_million_documents"] > 0
