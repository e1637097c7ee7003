"""Both heads of a joint model come from one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cherche_models.models import Joint, Splade

TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90, "[MASK] heart"]


def dense(model: Splade, encoding: object) -> np.ndarray:
    row = np.zeros(len(model.vocabulary), np.float32)
    row[encoding.weights.ids] = encoding.weights.weights
    return row


def test_training_and_inference_agree(joint: Joint) -> None:
    tokens = joint.tokenize(TEXTS, "document")
    output = joint(*joint.collate(tokens, "document"))
    for row, encoding in enumerate(joint.encode_tokens(tokens, "document")):
        np.testing.assert_allclose(output.weights[row].detach().numpy(), dense(joint, encoding), atol=1e-5)
        rows = output.embeddings[row][output.mask[row]].detach().numpy()
        np.testing.assert_allclose(rows, encoding.embeddings.vectors, atol=1e-5)


def test_both_heads_learn(joint: Joint) -> None:
    output = joint(*joint.collate(joint.tokenize(TEXTS, "query"), "query"), "query")
    joint.zero_grad()
    (output.weights.sum() + output.embeddings[output.mask].sum()).backward()
    for parameter in (joint.projection.linear.weight, joint.backbone.decoder.weight):
        assert parameter.grad is not None
        assert bool(parameter.grad.abs().sum() > 0)


@pytest.mark.parametrize("packs", [True, False])
def test_a_joint_model_runs_its_encoder_once(joint: Joint, monkeypatch: pytest.MonkeyPatch, packs: bool) -> None:
    monkeypatch.setattr(joint.runtime, "packs", lambda: packs)
    passes: list[int] = []
    encoder: Any = joint.backbone.model.base_model
    hook = encoder.encoder.layer[0].intermediate.register_forward_hook(lambda *_: passes.append(1))
    joint.encode(["neural"], "document")
    hook.remove()
    assert len(passes) == 1
