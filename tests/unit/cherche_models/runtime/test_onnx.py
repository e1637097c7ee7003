"""ONNX Runtime gives what torch gives, within 1e-4, for whatever has an encoder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import InferenceFree, Joint, Model, Splade
from cherche_models.runtime.onnx import OnnxRuntime
from tests import checkpoints, published

pytest.importorskip("onnxruntime")
TEXTS = ["neural sparse search.", "the brain, of a cell", "protein " * 90, "", "heart (cell) index; document?"]


def colbert(joint: Joint, folder: Path) -> Model:
    return hub.load(checkpoints.pylate(folder / "pylate"), device="cpu", dtype="fp32")


def inference_free(joint: Joint, folder: Path) -> Model:
    import torch

    return InferenceFree(joint.backbone, joint.tokenizer, torch.rand(len(joint.vocabulary)))


def splade(joint: Joint, folder: Path) -> Model:
    return Splade(joint.backbone, joint.tokenizer)


def m3(joint: Joint, folder: Path) -> Model:
    return hub.load(published.bge_m3(folder / "m3"), device="cpu", dtype="fp32")


@pytest.mark.parametrize("make", [colbert, inference_free, splade, lambda joint, folder: joint])
def test_encodings_are_those_of_torch(make: Callable[[Joint, Path], Model], joint: Joint, tmp_path: Path) -> None:
    model = make(joint, tmp_path)
    hub.export(model, tmp_path / "export", "onnx")
    loaded = hub.load(tmp_path / "export", device="cpu", runtime="onnx")
    assert isinstance(loaded.runtime, OnnxRuntime)
    assert type(loaded) is type(model)
    for kind in ("document", "query"):
        for found, wanted in zip(loaded.encode(TEXTS, kind), model.encode(TEXTS, kind), strict=True):
            if wanted.weights is not None:
                assert dict(found.weights.items()) == pytest.approx(dict(wanted.weights.items()), abs=1e-4)
            if wanted.embeddings is not None:
                np.testing.assert_allclose(found.embeddings.vectors, wanted.embeddings.vectors, atol=1e-4)


@pytest.mark.parametrize("make", [colbert, splade, m3, lambda joint, folder: joint])
def test_a_plain_runtime_gets_weights_and_vectors(
    make: Callable[[Joint, Path], Model], joint: Joint, tmp_path: Path
) -> None:
    import onnxruntime

    model = make(joint, tmp_path)
    hub.export(model, tmp_path / "export", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "export" / "onnx" / "model.onnx"))
    texts = ["neural sparse search.", "the brain, of a cell", "protein"]
    tokens = model.tokenize(texts, "document")
    ids, mask = model.collate(tokens, "document")
    outputs = [node.name for node in session.get_outputs()]
    found = dict(
        zip(outputs, session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}), strict=True)
    )
    for row, wanted in enumerate(model.encode(texts, "document")):
        if wanted.weights is not None:
            weights = dict(wanted.weights.items())
            assert set(np.flatnonzero(found["term_weights"][row] > 1e-5)) <= set(weights)
            assert {i: found["term_weights"][row][i] for i in weights} == pytest.approx(weights, abs=1e-5)
        if wanted.embeddings is not None:
            rows = found["token_embeddings"][row][found["token_mask"][row]]
            np.testing.assert_allclose(rows, wanted.embeddings.vectors, atol=1e-5)
    if "logits" in outputs:
        assert found["logits"].shape == (3, ids.shape[1], len(model.vocabulary))


def test_the_graph_changes_nothing_of_the_digest(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path / "saved")
    hub.export(joint, tmp_path / "export", "onnx")
    digests = {
        hub.load(tmp_path / name, device="cpu", runtime=runtime).digest
        for name, runtime in (("saved", "torch"), ("export", "onnx"))
    }
    assert len(digests) == 1


def test_what_cannot_be_run_says_why(joint: Joint, sparse_embed: Model, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        hub.load(tmp_path, device="cpu", runtime="onnx")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be run"):
        hub.load(tmp_path, device="cpu", runtime="onnx")
    with pytest.raises(ValueError, match="sparse_embed model cannot run on ONNX"):
        hub.export(sparse_embed, tmp_path / "other", "onnx")
    with pytest.raises(ValueError, match="dtype='fp32'"):
        hub.export(hub.load(tmp_path, device="cpu", dtype="bf16"), tmp_path / "half", "onnx")


def test_a_trained_model_within_the_tolerance(tmp_path: Path) -> None:
    model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu", dtype="fp32")
    hub.export(model, tmp_path, "onnx")
    loaded = hub.load(tmp_path, device="cpu", runtime="onnx")
    texts = ["Aspirin prevents stroke.", "the quick brown fox " * 60, "1,000 µg of Ca²⁺ — 深層学習"]
    for found, wanted in zip(loaded.encode(texts, "document"), model.encode(texts, "document"), strict=True):
        assert dict(found.weights.items()) == pytest.approx(dict(wanted.weights.items()), abs=1e-4)
        np.testing.assert_allclose(found.embeddings.vectors, wanted.embeddings.vectors, atol=1e-4)
