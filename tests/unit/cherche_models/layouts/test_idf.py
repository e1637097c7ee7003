"""``idf.json``: query weights beside a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Joint, Model
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


def weights_of(model: Model, text: str) -> dict[str, float]:
    found = model.idf(model.tokenize([text], "query")[0])
    assert found is not None
    return {model.vocabulary[i]: weight for i, weight in found.items()}


@pytest.fixture
def saved(joint: Joint, tmp_path: Path) -> Path:
    table = torch.zeros(len(joint.vocabulary))
    for word, weight in (("neural", 2.5), ("brain", 1 / 3)):
        table[joint.tokenizer.id_of(word)] = weight
    hub.save(joint, tmp_path)
    try:
        hub.save_query_table(table, joint, tmp_path)
    finally:
        joint.query_table = None
    return tmp_path


def test_a_model_comes_back_with_its_table(saved: Path, tmp_path: Path) -> None:
    assert json.loads((saved / "idf.json").read_text()) == {"neural": 2.5, "brain": 0.333333}
    model = load(saved)
    assert weights_of(model, "neural neural cell brain") == {"neural": 2.5, "brain": pytest.approx(1 / 3, abs=1e-6)}
    hub.save(model, tmp_path / "again")
    assert weights_of(load(tmp_path / "again"), "neural") == {"neural": 2.5}
    assert weights_of(load(tmp_path / "again", architecture="splade"), "neural") == {"neural": 2.5}


def test_documents_are_the_same_so_the_digest_is_too(saved: Path) -> None:
    with_table = hub.digest(saved)
    (saved / "idf.json").unlink()
    assert hub.digest(saved) == with_table


def test_what_has_no_table_and_who_has_no_terms(joint: Joint, saved: Path) -> None:
    late = load(saved, architecture="colbert")
    assert late.idf(late.tokenize(["neural"], "query")[0]) is None
    hub.save(joint, saved)
    assert not (saved / "idf.json").exists()
    model = load(saved)
    assert model.idf(model.tokenize(["neural"], "query")[0]) is None


def test_a_plain_checkpoint_with_a_table(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "idf.json").write_text('{"cell": 3, "unheard-of": 1.0}')
    assert weights_of(load(folder), "a cell") == {"cell": 3.0}


@pytest.mark.parametrize("weight", ["-1.0", '"much"', "NaN", "true"])
def test_weights_that_are_none(weight: str, saved: Path) -> None:
    (saved / "idf.json").write_text(f'{{"neural": {weight}}}')
    with pytest.raises(CheckpointError, match=r"idf\.json: 'neural' weighs .* give a number of at least 0"):
        load(saved)


def test_weights_that_fit_no_vocabulary(joint: Joint, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="query weights for"):
        hub.save_query_table(torch.zeros(3), joint, tmp_path)
    with pytest.raises(ValueError, match="negative or no number"):
        hub.save_query_table(torch.full((len(joint.vocabulary),), -1.0), joint, tmp_path)
