"""PyLate's layout: sentence-transformers' reader of it gives the same vectors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Joint
from cherche_models.tokenizer import TextFormat
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_equal_embeddings, colbert, load


def test_dense_modules_in_a_row_are_one_projection(tmp_path: Path) -> None:
    folder = checkpoints.pylate(tmp_path, dim=16)
    first = load(folder)
    shutil.copytree(folder / "1_Dense", folder / "2_Dense")
    listed = json.loads((folder / "modules.json").read_text())
    listed.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "pylate.models.Dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(listed))
    second = torch.randn(4, 16)
    config = json.loads((folder / "1_Dense" / "config.json").read_text())
    (folder / "2_Dense" / "config.json").write_text(json.dumps({**config, "in_features": 16, "out_features": 4}))
    from safetensors.torch import save_file

    save_file({"linear.weight": second}, folder / "2_Dense" / "model.safetensors")
    rows = first.projection.linear.weight.detach()
    torch.testing.assert_close(load(folder).projection.linear.weight.detach(), second @ rows)


@pytest.mark.parametrize("activation", ["torch.nn.modules.rnn.LSTM", "someone.code.Tanh"])
def test_an_activation_that_is_unknown_is_refused(activation: str, tmp_path: Path) -> None:
    folder = checkpoints.pylate(tmp_path)
    config = json.loads((folder / "1_Dense" / "config.json").read_text())
    (folder / "1_Dense" / "config.json").write_text(json.dumps({**config, "activation_function": activation}))
    with pytest.raises(CheckpointError, match="known are Tanh, ReLU, GELU"):
        load(folder)


def test_a_marker_that_the_tokenizer_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"marks texts with '\[X\] '"):
        load(checkpoints.pylate(tmp_path, query_prefix="[X] "))


def test_pylate_files_equal_sentence_transformers(tmp_path: Path) -> None:
    assert_equal_embeddings(colbert(tmp_path), tmp_path)


def test_our_pylate_export_equals_sentence_transformers(tmp_path: Path) -> None:
    model = colbert(tmp_path / "made")
    hub.export(model, tmp_path / "export", format="pylate")
    assert_equal_embeddings(model, tmp_path / "export")


def test_a_joint_model_exports_its_token_embeddings(joint: Joint, tmp_path: Path) -> None:
    dot = joint.tokenizer.id_of(".")
    assert dot is not None
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(40), TextFormat(12, expand=True), dim=8, skip=[dot])
    hub.export(model, tmp_path, format="pylate")
    assert_equal_embeddings(model, tmp_path)
    assert not [name for name in _tensors(tmp_path) if name.startswith("cls.")]


def test_the_pylate_export_has_the_files_that_pylate_reads(tmp_path: Path) -> None:
    """pylate/models/colbert.py and Dense.py: the keys of the configuration, the modules, the tensor's name."""
    hub.export(colbert(tmp_path / "made"), tmp_path / "export", format="pylate")
    stored = json.loads((tmp_path / "export" / "config_sentence_transformers.json").read_text())
    assert {
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 30,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
    }.items() <= stored.items()
    assert "." in stored["skiplist_words"]
    types = [module["type"] for module in json.loads((tmp_path / "export" / "modules.json").read_text())]
    assert types == ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    dense = json.loads((tmp_path / "export" / "1_Dense" / "config.json").read_text())
    accepted_by_every_release = {"in_features", "out_features", "bias", "activation_function"}
    assert set(dense) == accepted_by_every_release
    assert _tensors(tmp_path / "export" / "1_Dense") == ["linear.weight"]


def _tensors(folder: Path) -> list[str]:

    return sorted(load_file(folder / "model.safetensors"))
