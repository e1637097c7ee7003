"""The recipe runs from start to end on a small corpus, and a second call continues where the first one stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.models import Joint
from cherche_models.train.recipes import small
from tests import checkpoints
from tests.unit.cherche_models.train import mixture

SETTINGS = replace(small.SETTINGS, steps=3, document_length=24, query_length=16, save_every=1)
RECIPE = small.SmallRecipe(
    dim=8, document_length=32, query_length=16, batch=4, head_texts=40, head_steps=5, teachers=(small.BASE,)
)


def test_a_second_call_trains_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = mixture.write(tmp_path / "corpus")
    monkeypatch.setattr(small, "RECIPE", RECIPE)
    monkeypatch.setattr(small, "SETTINGS", SETTINGS)
    checkpoints.encoder(tmp_path / "encoders" / small.BASE)
    arguments = ["--encoders", str(tmp_path / "encoders"), "--corpus", str(corpus), "--out", str(tmp_path / "out")]
    small.main([*arguments, "--steps", "3"])
    first = capsys.readouterr()
    assert [line.split()[0] for line in first.err.splitlines() if " total " in line] == ["0", "1", "2"]
    model = hub.load(tmp_path / "out" / "cherche-small", device="cpu", dtype="fp32")
    assert isinstance(model, Joint)
    assert model.dim == 8
    assert model.codebook is not None
    assert model.query_table is not None
    figures = json.loads(first.out)
    assert model.sparse_boost == figures["chosen"]["sparse_boost"]
    assert model.rerank_weight == figures["chosen"]["rerank_weight"]
    assert figures["sets"]["words"]["queries"] == 10
    written = json.loads((tmp_path / "out" / "small.json").read_text())
    assert written["sets"] == figures["sets"]
    small.main([*arguments, "--steps", "3"])
    again = capsys.readouterr()
    assert " total " not in again.err
    assert json.loads(again.out) == figures
