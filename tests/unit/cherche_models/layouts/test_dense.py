"""Dense modules in a row: with bias, activation and residual they are what sentence-transformers computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT, Joint
from cherche_models.train import average, head
from tests import checkpoints, published
from tests.checkpoints import HIDDEN
from tests.unit.cherche_models.layouts.peers import TEXTS, assert_equal_embeddings, assert_same, load

GELU, TANH = "torch.nn.modules.activation.GELU", "torch.nn.modules.activation.Tanh"
Modules = list[dict[str, Any]]
CHAINS: dict[str, tuple[Modules, int]] = {
    "a bias": ([{"out_features": 8, "bias": True}], 0),
    "two biases are one": ([{"out_features": 20, "bias": True}, {"out_features": 8, "bias": True}], 0),
    "a residual of one width": ([{"out_features": HIDDEN, "use_residual": True}, {"out_features": 8}], 0),
    "an activation first": ([{"out_features": 40, "activation_function": GELU, "bias": True}, {"out_features": 8}], 1),
    "an activation last": ([{"out_features": 8, "activation_function": TANH}], 1),
    "residual activations": (
        [
            {"out_features": HIDDEN, "activation_function": GELU, "use_residual": True},
            {"out_features": 24, "activation_function": TANH, "use_residual": True, "bias": True},
            {"out_features": 8, "bias": True},
        ],
        2,
    ),
}


def made(folder: Path, chain: Modules) -> Path:
    wide, modules = HIDDEN, []
    for module in chain:
        modules.append({"in_features": wide, **module})
        wide = module["out_features"]
    return published.pylate(checkpoints.encoder(folder), modules)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_what_sentence_transformers_computes_and_comes_back(name: str, tmp_path: Path) -> None:
    chain, layers = CHAINS[name]
    folder = made(tmp_path / "made", chain)
    model = load(folder)
    assert isinstance(model, ColBERT)
    assert (model.dim, len(model.projection.layers)) == (8, layers)
    assert_equal_embeddings(model, folder)
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))
    assert_equal_embeddings(model, tmp_path / "saved")


def test_a_joint_model_keeps_the_layers_of_its_head(joint: Joint, tmp_path: Path) -> None:
    late = load(made(tmp_path / "made", CHAINS["residual activations"][0]))
    assert isinstance(late, ColBERT)
    model = Joint(joint.backbone, joint.tokenizer, dim=8)
    model.projection = late.projection
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_a_narrower_head_keeps_layers_and_rotates_the_bias(tmp_path: Path) -> None:
    model = load(made(tmp_path, CHAINS["residual activations"][0]))
    assert isinstance(model, ColBERT)
    before = model.encode(TEXTS[:1], "document")[0].embeddings.vectors
    head.narrow(model, TEXTS * 4, 8)
    after = model.encode(TEXTS[:1], "document")[0].embeddings.vectors
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-4)
    assert len(model.projection.layers) == 2


def test_layers_have_no_mean(tmp_path: Path) -> None:
    model = load(made(tmp_path, CHAINS["a bias"][0]))
    with pytest.raises(ValueError, match="layers or a bias has no mean"):
        average.average([model, model], [0.5, 0.5])


@pytest.mark.parametrize("chain", ["a bias", "residual activations"])
def test_a_head_of_more_than_a_matrix_has_no_place_in_neural_cherches_file(chain: str, tmp_path: Path) -> None:
    model = load(made(tmp_path / "made", CHAINS[chain][0]))
    with pytest.raises(ValueError, match="a place for one matrix"):
        hub.export(model, tmp_path / "export", format="neural-cherche")


def test_a_module_without_the_matrix_of_its_residual(tmp_path: Path) -> None:
    folder = made(tmp_path, [{"out_features": 8, "bias": True}])
    path = folder / "1_Dense" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_residual": True}))
    with pytest.raises(CheckpointError, match=r"has no tensor 'residual\.weight'"):
        load(folder)


@pytest.mark.parametrize(("setting", "value"), [("in_features", 7), ("out_features", 7)])
def test_a_size_that_the_tensors_contradict(setting: str, value: int, tmp_path: Path) -> None:
    folder = made(tmp_path, [{"out_features": 8}])
    path = folder / "1_Dense" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), setting: value}))
    with pytest.raises(CheckpointError, match=f"{setting} is 7, but the tensors say"):
        load(folder)


def test_modules_that_do_not_follow_each_other(tmp_path: Path) -> None:
    wide, narrow = made(tmp_path / "a", [{"out_features": 20}, {"out_features": 8}]), tmp_path / "a"
    other = made(tmp_path / "b", [{"out_features": 12}])
    shutil.rmtree(wide / "1_Dense")
    shutil.copytree(other / "1_Dense", narrow / "1_Dense")
    with pytest.raises(CheckpointError, match="2_Dense maps from 20 dimensions, the module before it gives 12"):
        load(wide)
