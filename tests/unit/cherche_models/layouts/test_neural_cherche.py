"""neural-cherche's files give what its code computes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models.errors import UnsafeCheckpointError
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


def test_neural_cherche_is_what_its_code_computes(tmp_path: Path) -> None:
    """Mask tokens after the text, and the top k of log(1 + ReLU) with k the maximum length."""
    folder = checkpoints.neural_cherche(tmp_path, masks=3)
    model = load(folder)
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    theirs, words = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = words(["neural search [MASK] [MASK] [MASK]"], return_tensors="pt", truncation=True, max_length=24)
    with torch.inference_mode():
        weights = torch.log1p(torch.relu(theirs(**inputs).logits)).amax(dim=1)[0]
    top = weights.topk(24)
    (encoding,) = model.encode(["neural search"], "document")
    assert encoding.weights.ids.tolist() == sorted(top.indices[top.values > 0].tolist())
    np.testing.assert_allclose(encoding.weights.weights, weights[encoding.weights.ids.astype(int)], atol=1e-5)


def test_a_pickle_that_is_code_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.neural_cherche(tmp_path, projection=8)
    torch.save({"weight": Evil(tmp_path / "ran")}, folder / "linear.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"linear\.pt holds more than tensors"):
        load(folder)
    assert not (tmp_path / "ran").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)
