"""sentence-transformers' MultiVectorEncoder gives the same vectors as we do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import TEXTS, assert_equal_embeddings, load


@pytest.mark.parametrize("made", ["PyLate", "Stanford", "an encoder"])
def test_what_multi_vector_encoder_saves_we_load(made: str, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    make = {"PyLate": checkpoints.pylate, "Stanford": checkpoints.stanford, "an encoder": checkpoints.encoder}[made]
    peer = MultiVectorEncoder(str(make(tmp_path / "made")), device="cpu")
    if made == "an encoder":
        peer.prompts = {"query": "search: ", "document": "the "}
        peer[0].document_length = 20
    peer.save(str(tmp_path / "saved"))
    model = load(tmp_path / "saved")
    assert isinstance(model, ColBERT)
    assert_equal_embeddings(model, tmp_path / "saved")
    hub.save(model, tmp_path / "again")
    for kind in ("document", "query"):
        for a, b in zip(model.encode(TEXTS, kind), load(tmp_path / "again").encode(TEXTS, kind), strict=True):
            np.testing.assert_allclose(a.embeddings.vectors, b.embeddings.vectors, atol=1e-6)


def test_a_multi_vector_encoder_without_projection(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    body = Transformer(str(checkpoints.encoder(tmp_path / "made")))
    vectors = Normalize(module_input_name="token_embeddings", module_output_name="token_embeddings")
    MultiVectorEncoder(modules=[body, MultiVectorMask(["."]), vectors], device="cpu").save(str(tmp_path / "saved"))
    model = load(tmp_path / "saved")
    assert isinstance(model, ColBERT)
    assert model.dim == checkpoints.HIDDEN
    assert_equal_embeddings(model, tmp_path / "saved")


MULTI_VECTOR = {
    "2_MultiVectorMask/config.json": ({"skiplist_tasks": ["query", "document"]}, "leaves out tokens of queries"),
    "sentence_bert_config.json": ({"query_expansion": {"strategy": "min", "length": 10}}, "strategy 'min'"),
    "1_Dense/config.json": ({"bias": True}, "has no tensor 'linear.bias'"),
}


@pytest.mark.parametrize("file", MULTI_VECTOR)
def test_a_multi_vector_encoder_that_would_score_otherwise_is_refused(file: str, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    MultiVectorEncoder(str(checkpoints.pylate(tmp_path / "made")), device="cpu").save(str(tmp_path / "saved"))
    change, reason = MULTI_VECTOR[file]
    path = tmp_path / "saved" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / "saved")
