"""`make gpu` on the one device that every machine has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cherche_models.types import Floats
from tests.benchmarks import gpu

FEW = ("--documents", "12", "--compared", "4", "--size", "64")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "MODELS", ("cherche-tiny",))
    monkeypatch.setattr(gpu, "ROUNDS", 1)


def test_the_cpu_computes_as_the_cpu(tmp_path: Path) -> None:
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path), *FEW]) == 0
    record = json.loads((tmp_path / "gpu-cpu.json").read_text(encoding="utf-8"))
    assert record["models"]["cherche-tiny, fp32"]["differs"]["term weights"] < 1e-6
    assert record["models"]["cherche-tiny, fp32"]["share_of_gemm_peak"] > 0
    assert record["queries"]["cherche-tiny"]["milliseconds"]["best"] > 0
    assert set(record["training"]) == {"joint", "splade", "colbert", "sparse_embed"}
    for losses in record["training"].values():
        assert losses["losses"][0] != losses["losses"][1]


def test_what_a_device_gets_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = gpu.maxsim, []

    def wrong(*arguments: object) -> Floats:
        calls.append(arguments)
        scores: Floats = right(*arguments) * (1 + len(calls) % 2)  # type: ignore[arg-type]
        return scores

    monkeypatch.setattr(gpu, "maxsim", wrong)
    monkeypatch.setattr(gpu, "TRAINED", {})
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path), *FEW]) == 1
    record = json.loads((tmp_path / "gpu-cpu.json").read_text(encoding="utf-8"))
    assert "cherche-tiny in fp32: MaxSim" in record["beyond"]


def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "pick_device", lambda _: torch.device("cpu"))
    assert gpu.main([]) == 2
    assert "neither CUDA nor MPS" in capsys.readouterr().err
