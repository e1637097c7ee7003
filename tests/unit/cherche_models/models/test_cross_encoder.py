"""A cross-encoder scores as that of sentence-transformers does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError, ItemError, UnsafeCheckpointError
from tests import checkpoints

PAIRS = [
    ("brain cell", "neural search of the brain"),
    ("brain cell", "protein " * 90),
    ("heart " * 60, "cell index " * 40),
    ("brain", ""),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.classifier(tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("types", [True, False])
def test_scores_are_those_of_sentence_transformers(types: bool, tmp_path: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = checkpoints.classifier(tmp_path, types=types)

    peer = CrossEncoder(str(folder), device="cpu")
    theirs = peer.predict(PAIRS, activation_fn=torch.nn.Identity())
    ours = hub.load_cross_encoder(folder, device="cpu", dtype="fp32").predict(PAIRS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert len(set(ours.tolist())) == len(PAIRS)


def test_what_is_no_cross_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="3 labels"):
        hub.load_cross_encoder(checkpoints.classifier(tmp_path / "three", labels=3))
    with pytest.raises(CheckpointError, match="which would be random"):
        hub.load_cross_encoder(checkpoints.masked_lm(tmp_path / "masked"))
    (tmp_path / "three" / "model.safetensors").rename(tmp_path / "three" / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match="only as a pickle"):
        hub.load_cross_encoder(tmp_path / "three")
    with pytest.raises(ValueError, match="not 9999"):
        hub.load_cross_encoder(folder, max_length=9999)
    with pytest.raises(ItemError, match="lone surrogate"):
        hub.load_cross_encoder(folder).predict([("a", "\ud800")])


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    scorer = hub.load_cross_encoder(checkpoints.classifier(tmp_path / "model"))
    with pytest.raises(ItemError, match=r"text 3 has the type float \(nan\): give a string"):
        scorer.predict([("brain", "cell"), ("heart", float("nan"))])
