"""The digest of a model: what changes results changes it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.layouts import digest
from cherche_models.models import Joint
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


def test_the_digest_covers_what_changes_results_and_nothing_else(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    first = hub.digest(tmp_path)
    assert len(first) == 64
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "config.json").write_text("{}")
    _edit(tmp_path / "cherche.json", sparse_boost=9.0)
    _edit(tmp_path / "config.json", transformers_version="99")
    assert hub.digest(tmp_path) == first
    seen = {first, hub.digest(tmp_path, "colbert")}
    for path, change in {
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
        "colbert/config.json": {"skiplist_words": ["of"]},
        "cherche.json": {"query": {"max_length": 9}},
        "config.json": {"layer_norm_eps": 1e-3},
    }.items():
        _edit(tmp_path / path, **change)
        seen.add(hub.digest(tmp_path))
    weights = tmp_path / "colbert" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    seen.add(hub.digest(tmp_path))
    assert len(seen) == 7


def test_the_digest_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    hub.digest(folder)
    monkeypatch.setattr(digest, "_hash", lambda path: pytest.fail(f"{path} was read again"))
    hub.digest(folder)


def test_a_loaded_model_knows_its_digest(masked_lm: Path) -> None:
    assert load(masked_lm).digest == hub.digest(masked_lm, "splade")


def test_no_digest_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model files"):
        hub.digest(tmp_path)


def _edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
