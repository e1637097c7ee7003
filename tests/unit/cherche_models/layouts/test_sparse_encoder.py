"""SparseEncoder is the oracle: what it saves and what we save gives equal weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT, Joint, Splade
from cherche_models.tokenizer import TextFormat
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import (
    TEXTS,
    assert_equal_weights,
    assert_same,
    load,
    sparse_encoder,
)


def test_a_joint_model_comes_back_with_its_settings(joint: Joint, tmp_path: Path) -> None:
    dot = joint.tokenizer.id_of(".")
    assert dot is not None
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(40), TextFormat(12, expand=True), dim=8, skip=[dot])
    model.sparse_boost, model.rerank_weight = 2.5, 0.75
    hub.save(model, tmp_path)
    loaded = load(tmp_path)
    assert_same(model, loaded)
    assert (loaded.sparse_boost, loaded.rerank_weight) == (2.5, 0.75)
    assert type(load(tmp_path, architecture="splade")) is Splade
    only_late = load(tmp_path, architecture="colbert")
    assert type(only_late) is ColBERT
    for a, b in zip(only_late.encode(TEXTS, "document"), model.encode(TEXTS, "document"), strict=True):
        np.testing.assert_allclose(a.embeddings.vectors, b.embeddings.vectors, atol=1e-6)


def test_half_precision_halves_the_file_and_is_told_in_the_configuration(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path / "whole")
    hub.save(joint, tmp_path / "half", dtype="fp16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.float16}
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float32"
    a, b = (load(tmp_path / name).encode(TEXTS, "document")[0].embeddings.vectors for name in ("whole", "half"))
    np.testing.assert_allclose(a, b, atol=0.01)


def test_an_unknown_module(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    kinds = ["Transformer", "SpladePooling", "CSRSparsity"]
    listed = [{"idx": i, "name": str(i), "path": "", "type": f"x.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="CSRSparsity"):
        load(folder)


def test_plain_checkpoint_equals_sparse_encoder(masked_lm: Path) -> None:
    assert_equal_weights(load(masked_lm), sparse_encoder(masked_lm))


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_what_sparse_encoder_saves_we_load(activation: str, pooling: str, masked_lm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    body = Transformer(str(masked_lm), transformer_task="fill-mask")
    pools = SpladePooling(pooling, activation_function=activation)
    peer = SparseEncoder(modules=[body, pools], device="cpu", prompts={"query": "query ", "document": ""})
    peer.save(str(tmp_path))
    model = load(tmp_path)
    assert isinstance(model, Splade)
    assert (model.activation, model.pooling) == (activation, pooling)
    assert_equal_weights(model, peer)


def test_lengths_of_queries_and_documents_are_those_of_sparse_encoder(masked_lm: Path, tmp_path: Path) -> None:
    peer = sparse_encoder(masked_lm)
    peer[0].query_length, peer[0].document_length = 4, 9
    peer.save(str(tmp_path))
    model = load(tmp_path)
    assert (model.formats["query"].max_length, model.formats["document"].max_length) == (4, 9)
    assert_equal_weights(model, sparse_encoder(tmp_path))


def test_sparse_encoder_loads_our_export(joint: Joint, tmp_path: Path) -> None:
    formats = TextFormat(40, prompt="document "), TextFormat(40, prompt="query ", expand=True)
    model = Joint(joint.backbone, joint.tokenizer, *formats, dim=8, activation="log1p_relu")
    hub.export(model, tmp_path / "export")
    assert_equal_weights(model, sparse_encoder(tmp_path / "export"))
    assert not (tmp_path / "export" / "cherche.json").exists()
    hub.save(model, tmp_path / "saved")
    assert_equal_weights(model, sparse_encoder(tmp_path / "saved"))


def test_half_precision_on_disk_is_computed_in_float32_there_too(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path, dtype="fp16")
    peer = sparse_encoder(tmp_path)
    assert {parameter.dtype for parameter in peer.parameters()} == {torch.float32}
    assert_equal_weights(load(tmp_path), peer)


def test_a_trained_checkpoint_equals_sparse_encoder(models_dir: Path) -> None:
    """splade-tiny in float32: term weights within 1e-4, long and empty texts included."""
    folder = models_dir / "splade-tiny"
    texts = [
        "Aspirin prevents stroke.",
        "what is the effect of prestressing?",
        "",
        "the quick brown fox " * 200,
        "1,000 µg of Ca²⁺ — 深層学習",
    ]
    assert_equal_weights(load(folder), sparse_encoder(folder), texts)
