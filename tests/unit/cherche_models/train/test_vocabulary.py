"""An encoder gets a masked-LM head, and so becomes the start of a SPLADE model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Splade
from cherche_models.train.vocabulary import add_vocabulary
from tests import checkpoints

TEXTS = [f"{word} of the {other}" for word in checkpoints.WORDS for other in checkpoints.WORDS]


def test_a_token_has_a_weight_in_its_own_text(tmp_path: Path) -> None:
    base = checkpoints.encoder(tmp_path / "base")
    with pytest.raises(CheckpointError, match="masked-LM"):
        hub.load(base, device="cpu", architecture="splade")
    losses = add_vocabulary(base, TEXTS, tmp_path / "out", steps=400, terms=12)
    assert losses[-1] < losses[0] / 2
    model = hub.load(tmp_path / "out", device="cpu", dtype="fp32", architecture="splade")
    assert isinstance(model, Splade)
    before, after = hub.load(base, device="cpu", dtype="fp32", architecture="colbert", new_head=True), model
    for name, tensor in before.backbone.model.base_model.state_dict().items():
        assert torch.equal(after.backbone.model.base_model.state_dict()[name], tensor), name
    assert model.backbone.decoder.weight is model.backbone.model.get_input_embeddings().weight
    own = all_terms = 0
    for text, encoding in zip(TEXTS, model.encode(TEXTS, "document"), strict=True):
        assert encoding.weights is not None
        names = {model.vocabulary[i] for i in encoding.weights.ids}
        own += len(names & set(text.split()))
        all_terms += len(names)
    words = sum(len(set(text.split())) for text in TEXTS)
    assert own / words > 4 * all_terms / len(TEXTS) / len(model.vocabulary)  # four times as often as by chance


def test_the_start_is_sparse(tmp_path: Path) -> None:
    base = checkpoints.encoder(tmp_path / "base")
    sizes = []
    for terms in (2, 12):
        add_vocabulary(base, TEXTS, tmp_path / str(terms), steps=20, terms=terms)
        model = hub.load(tmp_path / str(terms), device="cpu", dtype="fp32", architecture="splade")
        weights = [e.weights for e in model.encode(TEXTS[:100], "document")]
        sizes.append(sum(len(each) for each in weights if each is not None) / 100)
    assert sizes[0] < 5
    assert 8 < sizes[1] < 16


def test_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no text"):
        add_vocabulary(checkpoints.encoder(tmp_path / "base"), [], tmp_path / "out")
