"""Models written for other libraries, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from cherche_models import hub
from sidecar.cli import cherche
from tests import checkpoints

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


def test_a_model_without_the_head_is_refused(tmp_path: Path) -> None:
    made = checkpoints.masked_lm(tmp_path / "made")
    arguments = ["models", "export", str(tmp_path / "export"), "--model", str(made), "--format", "pylate"]
    result = CliRunner().invoke(cherche, arguments)
    assert result.exit_code == 1
    assert "token embeddings" in result.stderr
