"""Checkpoints in the shape of published ones give what sentence-transformers, or torch by hand, makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import UnsafeCheckpointError
from cherche_models.models import ColBERT, InferenceFree, Splade
from tests import published
from tests.unit.cherche_models.layouts.peers import (
    TEXTS,
    assert_equal_embeddings,
    assert_equal_weights,
    assert_same,
    load,
    sparse_encoder,
)


@pytest.mark.parametrize("make", [published.gte_modern_colbert, published.answerai_colbert_small])
def test_colbert_of_one_projection(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "made")
    model = load(folder)
    assert isinstance(model, ColBERT)
    assert model.note == ""
    assert_equal_embeddings(model, folder)
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_mxbai_edge_colbert(tmp_path: Path) -> None:
    folder = published.mxbai_edge_colbert(tmp_path / "made")
    model = load(folder)
    assert isinstance(model, ColBERT)
    assert (model.dim, model.formats["query"].expand, len(model.projection.layers)) == (12, False, 0)
    assert_equal_embeddings(model, folder)
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_opensearch_v2_distill(tmp_path: Path) -> None:
    model = load(published.opensearch_v2_distill(tmp_path / "made"))
    assert type(model) is Splade
    assert (model.activation, model.formats["document"].max_length, model.note) == ("relu", 40, "")
    assert_equal_weights(model, sparse_encoder(tmp_path / "made"))
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_opensearch_doc_models(activation: str, tmp_path: Path) -> None:
    model = load(published.opensearch_doc(tmp_path / "made", activation))
    assert type(model) is InferenceFree
    assert model.activation == activation
    assert_equal_weights(model, sparse_encoder(tmp_path / "made"))
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_the_query_table_of_a_doc_model_that_has_it_as_idf_json_alone(tmp_path: Path) -> None:
    folder = published.opensearch_doc(tmp_path, "relu")
    whole = load(folder)
    query = folder / "query_0_SparseStaticEmbedding"
    (query / "model.safetensors").unlink()
    (folder / "idf.json").rename(query / "idf.json")
    (query / "config.json").write_text(json.dumps({"path": "idf.json"}))
    for a, b in zip(whole.encode(TEXTS, "query"), load(folder).encode(TEXTS, "query"), strict=True):
        np.testing.assert_array_equal(a.weights.ids, b.weights.ids)
        np.testing.assert_allclose(a.weights.weights, b.weights.weights, rtol=1e-6)


def test_splade_v3_has_its_weights_as_a_pickle(tmp_path: Path) -> None:
    folder = published.splade_v3(tmp_path)
    with pytest.raises(UnsafeCheckpointError, match="only as a pickle"):
        load(folder)
    model = load(folder, allow_pickle=True)
    assert type(model) is Splade
    assert_equal_weights(model, sparse_encoder(folder))
