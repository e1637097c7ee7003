import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.train.average import average
from cherche_models.train.head import narrow
from tests import checkpoints

TEXTS = ["the cell of a brain", "a neural query"]


def loaded(folder, seed=0, width=None, **options):
    torch.manual_seed(seed)
    path = checkpoints.masked_lm(folder / str(seed), seed=seed)
    options = {"architecture": "joint", "new_head": True, "dim": width or 8, **options}
    return hub.load(path, device="cpu", dtype="fp32", **options)


def similarities(model):
    query, document = (e.embeddings.vectors.astype(float) for e in model.encode(TEXTS, "query"))
    return query @ document.T


def test_a_model_alone_is_its_own_mean(tmp_path):
    model = loaded(tmp_path)
    mean = average([model], [1.0])
    assert similarities(mean) == pytest.approx(similarities(model), abs=1e-5)
    for one, other in zip(model.encode(TEXTS, "document"), mean.encode(TEXTS, "document"), strict=True):
        assert one.weights == other.weights


def test_the_parameters_are_the_weighted_mean(tmp_path):
    one, other = loaded(tmp_path, 0), loaded(tmp_path, 1)
    mean = average([one, other], [0.25, 0.75]).state_dict()
    for name, value in one.state_dict().items():
        if not name.startswith("projection") and value.is_floating_point():
            wanted = 0.25 * value + 0.75 * other.state_dict()[name]
            torch.testing.assert_close(mean[name], wanted)


def test_a_rotation_of_the_projection_does_not_matter(tmp_path):
    one, other = loaded(tmp_path), loaded(tmp_path)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    with torch.no_grad():
        other.projection.linear.weight.copy_(torch.tensor(turn, dtype=torch.float32) @ one.projection.linear.weight)
    mean = average([one, other], [0.5, 0.5])
    assert similarities(mean) == pytest.approx(similarities(one), abs=1e-5)
    narrow(mean, TEXTS, 4)
    assert mean.dim == 4


def test_the_models_stay_as_they_were(tmp_path):
    one, other = loaded(tmp_path, 0), loaded(tmp_path, 1)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    average([one, other], [0.5, 0.5])
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.6], [1.5, -0.5], []])
def test_shares_that_are_none_are_refused(tmp_path, shares):
    one, other = loaded(tmp_path, 0), loaded(tmp_path, 1)
    with pytest.raises(ValueError, match="share"):
        average([one, other], shares)


def test_models_of_another_shape_are_refused(tmp_path):
    splade = loaded(tmp_path, 1, architecture="colbert")
    with pytest.raises(ValueError, match="models differ in"):
        average([loaded(tmp_path, 0), splade], [0.5, 0.5])


def test_aligned_projections_are_averaged_as_they_are(tmp_path):
    one, other = loaded(tmp_path, 0), loaded(tmp_path, 1)
    mean = average([one, other], [0.25, 0.75], aligned=True)
    assert mean.dim == one.dim
    wanted = 0.25 * one.projection.linear.weight + 0.75 * other.projection.linear.weight
    torch.testing.assert_close(mean.projection.linear.weight, wanted)
