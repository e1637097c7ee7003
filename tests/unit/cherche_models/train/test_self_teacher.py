"""A model that teaches itself: its own scores, on one scale, however the model changes afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cherche_models.losses import JointLoss
from cherche_models.models import Model
from cherche_models.train.self_teacher import SelfTeacher, calibrated
from cherche_models.train.settings import Settings
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load

QUERIES = [example.query for example in EXAMPLES]
DOCUMENTS = [example.positive for example in EXAMPLES] * 5
SETTINGS = Settings(steps=1, query_length=16, document_length=16)


def pair_scores(model: Model, query: str, document: str) -> dict[str, float]:
    one, other = model.encode([query], "query", 16)[0], model.encode([document], "document", 16)[0]
    found = {}
    if one.weights is not None and other.weights is not None:
        found["sparse"] = one.weights.dot(other.weights)
    if one.embeddings is not None and other.embeddings is not None:
        found["maxsim"] = float((one.embeddings.vectors @ other.embeddings.vectors.T).max(axis=1).sum())
    return found


@pytest.mark.parametrize("architecture", ["splade", "colbert", "joint"])
def test_its_scores_are_the_mean_of_the_heads(architecture: str, load: Load) -> None:
    model = load(architecture)
    loss = JointLoss(sparse_scale=0.25, maxsim_scale=2.0)
    scores = SelfTeacher(model, loss, SETTINGS).scores(QUERIES, DOCUMENTS)
    assert scores.shape == (len(QUERIES), len(DOCUMENTS))
    found = pair_scores(model, QUERIES[1], DOCUMENTS[2])
    scales = {"sparse": 0.25, "maxsim": 2.0}
    wanted = sum(scales[name] * value for name, value in found.items()) / len(found)
    assert float(scores[1, 2]) == pytest.approx(wanted, rel=1e-3)


def test_it_stays_as_it_was_and_needs_no_gradient(load: Load) -> None:
    model = load("joint")
    teacher = SelfTeacher(model, JointLoss(), SETTINGS)
    before = teacher.scores(QUERIES, DOCUMENTS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    torch.testing.assert_close(teacher.scores(QUERIES, DOCUMENTS), before)
    assert not before.requires_grad
    assert not before.is_inference()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_scores_of_both_heads_are_brought_to_one_spread(load: Load) -> None:
    model = load("joint")
    scales = calibrated(model, QUERIES, DOCUMENTS, JointLoss(), SETTINGS, 2.0)
    assert set(scales) == {"sparse", "maxsim"}
    for head, other in (("sparse", "maxsim"), ("maxsim", "sparse")):
        alone = replace(JointLoss(), **{f"{head}_scale": 2 * scales[head], f"{other}_scale": 0.0})
        scores = SelfTeacher(model, alone, SETTINGS).scores(QUERIES, DOCUMENTS)
        assert float(scores.std(dim=1).mean()) == pytest.approx(2.0, rel=1e-3)
