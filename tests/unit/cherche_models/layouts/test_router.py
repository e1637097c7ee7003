"""sentence-transformers' Router gives the same weights as we do, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import InferenceFree, Splade
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_equal_weights, assert_same, load, sparse_encoder


def test_inference_free_comes_back(splade: Splade, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = InferenceFree(
        splade.backbone, splade.tokenizer, torch.rand(len(splade.vocabulary)), activation="log1p_relu"
    )
    hub.save(model, tmp_path)
    assert_same(model, load(tmp_path))
    assert type(load(tmp_path, architecture="splade")) is Splade


def test_what_a_router_saves_we_load_and_the_other_way_round(masked_lm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    body = Transformer(str(masked_lm), transformer_task="fill-mask")
    torch.manual_seed(0)
    table = SparseStaticEmbedding(tokenizer=body.tokenizer, weight=torch.rand(len(body.tokenizer)), frozen=True)
    router = Router.for_query_document(query_modules=[table], document_modules=[body, SpladePooling()])
    peer = SparseEncoder(modules=[router], device="cpu", similarity_fn_name="dot")
    peer.save(str(tmp_path / "theirs"))
    model = load(tmp_path / "theirs")
    assert isinstance(model, InferenceFree)
    assert_equal_weights(model, peer)
    hub.export(model, tmp_path / "ours")
    assert_equal_weights(model, sparse_encoder(tmp_path / "ours"))


def test_a_table_of_query_weights_in_json(masked_lm: Path, tmp_path: Path) -> None:
    model = load(masked_lm)
    assert isinstance(model, Splade)
    hub.save(InferenceFree(model.backbone, model.tokenizer, torch.zeros(len(model.vocabulary))), tmp_path)
    query = tmp_path / "query_0_SparseStaticEmbedding"
    (query / "model.safetensors").unlink()
    (query / "config.json").write_text('{"path": "idf.json"}')
    (query / "idf.json").write_text('{"neural": 2.5, "unheard-of": 1.0}')
    loaded = load(tmp_path)
    assert loaded.idf(loaded.tokenize(["neural cell"], "query")[0]) == {loaded.tokenizer.id_of("neural"): 2.5}


def test_two_sides_of_one_masked_lm_are_splade(masked_lm: Path, tmp_path: Path) -> None:
    peer = _two_sides(masked_lm, masked_lm, tmp_path / "theirs")
    assert_equal_weights(load(tmp_path / "theirs"), peer)
    assert type(load(tmp_path / "theirs")) is Splade


def test_two_sides_of_two_masked_lms_are_refused_with_the_reason(masked_lm: Path, tmp_path: Path) -> None:
    _two_sides(checkpoints.masked_lm(tmp_path / "other", seed=4), masked_lm, tmp_path / "theirs")
    with pytest.raises(CheckpointError, match=r"by two masked-LM transformers, which differ in model\.safetensors"):
        load(tmp_path / "theirs")
    (side,) = (tmp_path / "theirs").glob("query_0_*")
    assert type(load(side)) is Splade


def _two_sides(query: Path, document: Path, folder: Path) -> Any:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    sides = [
        [Transformer(str(body), transformer_task="fill-mask", max_seq_length=length), SpladePooling()]
        for body, length in ((query, 12), (document, 30))
    ]
    router = Router.for_query_document(query_modules=sides[0], document_modules=sides[1])
    peer = SparseEncoder(modules=[router], device="cpu", similarity_fn_name="dot")
    peer.save(str(folder))
    return peer
