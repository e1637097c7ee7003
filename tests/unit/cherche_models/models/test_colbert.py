"""ColBERT: which tokens have a vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.errors import ItemError
from cherche_models.models import ColBERT, Joint
from cherche_models.tokenizer import TextFormat
from tests import checkpoints


def test_colbert_never_runs_a_vocabulary_head(masked_lm: Path) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=16)
    assert isinstance(model, ColBERT)
    assert not model.backbone.has_vocabulary
    (encoding,) = model.encode(["neural search"], "document")
    np.testing.assert_allclose(np.linalg.norm(encoding.embeddings.vectors, axis=1), 1, rtol=1e-5)
    assert encoding.weights is None


def test_punctuation_is_skipped_in_documents_only(joint: Joint) -> None:
    marks = [joint.tokenizer.id_of(mark) for mark in ".,"]
    model = Joint(joint.backbone, joint.tokenizer, dim=16, skip=[i for i in marks if i is not None])
    for kind, expected in (("document", [0, 1, 3, 5]), ("query", [0, 1, 2, 3, 4, 5])):
        (tokens,) = model.tokenize(["neural, search."], kind)
        (encoding,) = model.encode_tokens([tokens], kind)
        assert model.kept(tokens, kind) == expected
        assert len(encoding.embeddings) == len(expected)


@pytest.mark.parametrize("attend", [False, True])
def test_query_expansion(joint: Joint, attend: bool) -> None:
    style = TextFormat(10, expand=True, attend_expansion=attend)
    model = Joint(joint.backbone, joint.tokenizer, query=style, dim=16)
    model.load_state_dict(joint.state_dict())
    short, long = model.encode(["neural search", "neural " * 20], "query")
    assert len(short.embeddings) == len(long.embeddings) == 10
    (plain,) = joint.encode(["neural search"], "query")
    assert np.allclose(short.embeddings.vectors[:4], plain.embeddings.vectors, atol=1e-5) is not attend
    equal = short.weights.ids.tolist() == plain.weights.ids.tolist()
    assert (equal and np.allclose(short.weights.weights, plain.weights.weights, atol=1e-5)) is not attend


def test_nan_embeddings_name_the_text(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    with torch.no_grad():
        model.backbone.model.embeddings.word_embeddings.weight[model.tokenizer.id_of("heart")] = torch.nan
    with pytest.raises(ItemError, match="text 1 got NaN"):
        model.encode(["neural brain cell", "heart"], "document")
