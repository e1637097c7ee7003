"""A run that was interrupted goes on as if it had not been."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.train import Example, Settings, data, fit
from tests import checkpoints

PAIRS = [("brain", "brain cell"), ("index", "search index"), ("token", "token weight"), ("heart", "a heart of protein")]
EXAMPLES = [Example(q, d, tuple(o for _, o in PAIRS if o != d), source="s") for q, d in PAIRS]
SETTINGS = Settings(steps=12, negatives=1, learning_rate=3e-3, save_every=4, query_length=16, document_length=16)
LOSS = JointLoss(query_flops=1e-3, document_flops=1e-3, flops_steps=4, maxsim_scale=5.0)
BATCHES = data.mixed(EXAMPLES, {"s": 1}, batch=3, seed=5)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoints.masked_lm(tmp_path_factory.mktemp("base"))


def _model(base, architecture="joint"):
    torch.manual_seed(0)
    head = {"new_head": True, "dim": 8} if architecture != "splade" else {}
    return hub.load(base, device="cpu", dtype="fp32", architecture=architecture, **head)


def test_an_interrupted_run_goes_on_to_the_same_losses_and_weights(base, tmp_path):
    whole = _model(base)
    expected = fit(whole, BATCHES, LOSS, SETTINGS)

    def interrupt(step, _):
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path, report=interrupt)
    resumed = _model(base)
    assert fit(resumed, BATCHES, LOSS, SETTINGS, folder=tmp_path) == expected[8:]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_state_of_another_run_is_refused(base, tmp_path):
    fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path)
    with pytest.raises(ValueError, match=r"state of another run: training\.seed was 0 and is 1 — give the same"):
        fit(_model(base), BATCHES, LOSS, replace(SETTINGS, seed=1), folder=tmp_path)
    with pytest.raises(ValueError, match="another run: base was"):
        fit(_model(base, "splade"), BATCHES, LOSS, SETTINGS, folder=tmp_path)
    with pytest.raises(ValueError, match=r"another run: loss\.sparse was 1\.0 and is 0\.5"):
        fit(_model(base), BATCHES, replace(LOSS, sparse=0.5), SETTINGS, folder=tmp_path)
    other = data.mixed(EXAMPLES[1:], {"s": 1}, batch=3, seed=5)
    with pytest.raises(ValueError, match="another run: first batch was"):
        fit(_model(base), other, LOSS, SETTINGS, folder=tmp_path)
    fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path / "noted", made_of={"note": "a"})
    with pytest.raises(ValueError, match="another run: note was 'a' and is 'b'"):
        fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path / "noted", made_of={"note": "b"})


def test_a_state_without_a_record_or_damaged_is_refused(base, tmp_path):
    fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path)
    path = tmp_path / "state.safetensors"
    save_file(load_file(path), path, {"step": "12"})
    with pytest.raises(ValueError, match="did not record what it was made of — remove that folder"):
        fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"state\.safetensors cannot be read .* — restore it, or remove"):
        fit(_model(base), BATCHES, LOSS, SETTINGS, folder=tmp_path)
