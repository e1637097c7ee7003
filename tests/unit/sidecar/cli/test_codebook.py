"""From a model and a corpus to an index of residual codes, by the command line alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cherche_models import hub
from cherche_models.codec import codes_header
from sidecar.cli import cherche
from sidecar.engines.embedded import EmbeddedEngine
from tests import checkpoints


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cherche, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("joint")
    made = checkpoints.masked_lm(path / "made")
    model = hub.load(made, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=16)
    hub.save(model, path / "model")
    words = ["neural search", "brain cell", "heart protein", "sparse index"]
    lines = [{"_id": str(i), "title": words[i % 4], "text": f"{words[i % 3]} {i} of the document"} for i in range(60)]
    (path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def codecs(path: Path) -> set[str]:
    engine = EmbeddedEngine(path)
    try:
        stored = await engine.read("articles", [str(i) for i in range(60)])
        return {codes_header(one.codes or b"").codec for one in stored.values()}
    finally:
        await engine.aclose()


def test_an_index_of_residual_codes(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "index.sqlite"))
    monkeypatch.setenv("CHERCHE_METRICS__PORT", "-1")
    model, corpus = str(folder / "model"), str(folder / "corpus.jsonl")
    arguments = ["setup", "articles", "--model", model, "--codec", "residual2", "--pool", "2"]
    assert "has no codebook" in run(*arguments, code=1)
    trained = json.loads(run("codebook", model, corpus, "--centroids", "16", "--json"))
    assert Path(trained["file"]).stat().st_size == trained["bytes"]
    run(*arguments)
    run("feed", "articles", corpus)
    page = json.loads(run("search", "articles", "brain cell", "--rerank", "--json"))
    assert page["rerank"]["status"] == "APPLIED"
    assert asyncio.run(codecs(tmp_path / "index.sqlite")) == {"residual2"}


def test_what_cannot_be_trained_says_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert "no tokens" in run("codebook", str(folder / "model"), str(tmp_path / "empty.jsonl"), code=1)
    (tmp_path / "broken.jsonl").write_text("{")
    assert "broken.jsonl:1" in run("codebook", str(folder / "model"), str(tmp_path / "broken.jsonl"), code=1)
