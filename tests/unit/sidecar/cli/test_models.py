"""Models listed, loaded, and written for other libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from cherche_models import hub
from sidecar.cli import cherche
from tests import checkpoints, published
from tests.unit.sidecar.cli.conftest import Command

Runtime = Literal["torch", "onnx"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's exporter's own
@pytest.mark.parametrize(("form", "runtime"), [("sentence-transformers", "torch"), ("onnx", "onnx")])
def test_an_export_loads_with_the_weights_of_the_model(tmp_path: Path, form: str, runtime: Runtime) -> None:
    made = checkpoints.masked_lm(tmp_path / "made")
    arguments = ["models", "export", str(tmp_path / "export"), "--model", str(made), "--format", form, "--json"]
    result = CliRunner().invoke(cherche, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["format"] == form
    model, exported = (
        hub.load(made, device="cpu", dtype="fp32"),
        hub.load(tmp_path / "export", device="cpu", dtype="fp32", runtime=runtime),
    )
    for one, other in zip(
        *(m.encode(["brain cell", "a sparse index"], "document") for m in (model, exported)), strict=True
    ):
        assert one.weights is not None
        assert other.weights is not None
        assert dict(other.weights.items()) == pytest.approx(dict(one.weights.items()), abs=1e-3)


def test_int8_is_read_by_this_library_again(tmp_path: Path) -> None:
    made = checkpoints.masked_lm(tmp_path / "made")
    arguments = ["models", "export", str(tmp_path / "export"), "--model", str(made), "--format", "int8"]
    assert CliRunner().invoke(cherche, arguments).exit_code == 0
    one, other = (hub.load(folder, device="cpu", dtype="fp32") for folder in (made, tmp_path / "export"))
    (ours,), (theirs,) = (model.encode(["brain cell"], "document") for model in (one, other))
    assert dict(theirs.weights.items()) == pytest.approx(dict(ours.weights.items()), abs=0.05)


def test_a_pickle_of_a_trusted_author_becomes_a_model_that_is_served(tmp_path: Path) -> None:
    made = published.splade_v3(tmp_path / "made")
    arguments = ["models", "export", str(tmp_path / "export"), "--model", str(made), "--format", "cherche"]
    refused = CliRunner().invoke(cherche, arguments)
    assert refused.exit_code == 1
    assert "cherche models export --allow-pickle" in refused.stderr
    assert CliRunner().invoke(cherche, [*arguments, "--allow-pickle"]).exit_code == 0
    one = hub.load(made, device="cpu", dtype="fp32", allow_pickle=True)
    other = hub.load(tmp_path / "export", device="cpu", dtype="fp32")
    (ours,), (theirs,) = (model.encode(["brain cell"], "document") for model in (one, other))
    assert dict(theirs.weights.items()) == dict(ours.weights.items())


def test_a_model_without_the_head_is_refused(tmp_path: Path) -> None:
    made = checkpoints.masked_lm(tmp_path / "made")
    arguments = ["models", "export", str(tmp_path / "export"), "--model", str(made), "--format", "pylate"]
    result = CliRunner().invoke(cherche, arguments)
    assert result.exit_code == 1
    assert "token embeddings" in result.stderr


def test_models_are_listed_and_described(command: Command) -> None:
    (model,) = command.json("models", "list")["models"]
    assert (model["name"], model["state"], model["is_default"]) == ("fake", "READY", True)
    assert command.json("models", "get", "fake")["dim"] == 16
    assert "served: fake" in command("models", "get", "absent", code=1).stderr


def test_models_come_and_go(command: Command) -> None:
    assert command.json("models", "load", "again", "fake")["state"] == "READY"
    assert [model["name"] for model in command.json("models", "list")["models"]] == ["again", "fake"]
    command("models", "unload", "again")
    assert [model["name"] for model in command.json("models", "list")["models"]] == ["fake"]


def test_loading_into_a_sidecar_that_ends_at_once_makes_no_sense() -> None:
    result = CliRunner().invoke(cherche, ["models", "load", "name", "source"])
    assert result.exit_code == 2
    assert "--server" in result.stderr
