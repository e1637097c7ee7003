from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.train import Example, Settings, Teacher, data, fit
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


@pytest.mark.parametrize("architecture", ["joint", "splade", "colbert"])
def test_the_loss_falls(base, architecture):
    model = _model(base, architecture)
    settings = replace(SETTINGS, steps=80)
    losses = fit(model, BATCHES, LOSS, settings)
    assert len(losses) == 80
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert not model.training


def test_the_same_seed_gives_the_same_losses(base):
    first = fit(_model(base), BATCHES, LOSS, SETTINGS)
    assert fit(_model(base), BATCHES, LOSS, SETTINGS) == first
    assert fit(_model(base), BATCHES, LOSS, replace(SETTINGS, seed=1)) != first


def test_a_teacher_is_learnt_from_and_its_vectors_are_kept(base, tmp_path):
    teacher = Teacher(checkpoints.encoder(tmp_path / "teacher", seed=7), temperature=0.1, max_length=16)
    parts = []
    loss = JointLoss(sparse=0.0, maxsim=1.0, teacher=50.0, maxsim_scale=2.0)
    settings = replace(SETTINGS, steps=40)
    fit(
        _model(base),
        BATCHES,
        loss,
        settings,
        teacher=teacher,
        report=lambda _, p: parts.append(p["maxsim_teacher"]),
    )
    assert sum(parts[-5:]) < sum(parts[:5])
    teacher.save(tmp_path / "vectors.safetensors")
    again = Teacher(tmp_path / "teacher", temperature=0.1, max_length=16)
    again.load(tmp_path / "vectors.safetensors")
    again._backbone = None  # nothing is encoded again
    torch.testing.assert_close(again.scores(["brain"], ["brain cell"]), teacher.scores(["brain"], ["brain cell"]))
    other = Teacher(checkpoints.encoder(tmp_path / "other", seed=8), temperature=0.1, max_length=16)
    with pytest.raises(ValueError, match="holds the vectors of another teacher"):
        other.load(tmp_path / "vectors.safetensors")


@pytest.mark.parametrize("dropout", [False, True])
def test_the_encoder_drops_units_only_if_the_settings_say_so(base, dropout):
    model = _model(base)
    modes = set()
    model.backbone.model.base_model.encoder.layer[0].register_forward_hook(lambda own, _, __: modes.add(own.training))
    fit(model, BATCHES, LOSS, replace(SETTINGS, steps=2, dropout=dropout))
    assert modes == {dropout}
    assert not model.training


@pytest.mark.parametrize("chunk", [0, 2])
def test_bfloat16_multiplies_but_weights_moments_and_losses_stay_float32(base, tmp_path, chunk):
    plain, mixed = [], []
    types = set()
    settings = replace(SETTINGS, chunk=chunk, learning_rate=2e-5)  # rounding adds up over steps
    model = _model(base)
    model.backbone.model.base_model.encoder.layer[0].attention.self.query.register_forward_hook(
        lambda _, __, made: types.add(made.dtype)
    )
    fit(_model(base), BATCHES, LOSS, settings, report=lambda _, p: plain.append(p["total"]))
    fit(
        model,
        BATCHES,
        LOSS,
        replace(settings, bf16=True),
        folder=tmp_path,
        report=lambda _, p: mixed.append(p["total"]),
    )
    assert types == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    with safe_open(tmp_path / "state.safetensors", framework="pt") as state:
        assert {state.get_tensor(key).dtype for key in state.keys()} == {torch.float32}  # noqa: SIM118  # no dict
    assert mixed == pytest.approx(plain, rel=0.03)
    assert mixed != plain


def test_the_teachers_token_similarities_are_learnt(base, tmp_path):
    teacher = Teacher(checkpoints.encoder(tmp_path, seed=7), max_length=16)
    found = []
    settings = replace(SETTINGS, steps=40)
    loss = JointLoss(sparse=0.0, maxsim=0.0, tokens=10.0)
    fit(_model(base), BATCHES, loss, settings, teacher=teacher, report=lambda _, p: found.append(p["tokens"]))
    assert sum(found[-5:]) < 0.7 * sum(found[:5])


def test_frozen_words_stay_as_they_are_and_a_run_resumes_without_them(base, tmp_path):
    settings = replace(SETTINGS, steps=4, word_rate=0.0)
    model, again = _model(base), _model(base)
    words = model.backbone.model.get_input_embeddings().weight
    before = words.clone()
    assert len(fit(model, BATCHES, LOSS, settings, folder=tmp_path)) == 4
    torch.testing.assert_close(words, before, rtol=0, atol=0)
    assert fit(again, BATCHES, LOSS, settings, folder=tmp_path) == []
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_teacher_with_other_tokens_has_no_token_similarities_to_give(base, tmp_path, monkeypatch):
    teacher = Teacher(checkpoints.encoder(tmp_path), max_length=16)
    monkeypatch.setattr(teacher, "shares_vocabulary", lambda _: False)
    with pytest.raises(ValueError, match="is not the model's"):
        fit(_model(base), BATCHES, JointLoss(tokens=1.0), SETTINGS, teacher=teacher)


def test_a_loss_that_asks_for_a_missing_teacher_is_refused(base):
    with pytest.raises(ValueError, match="there is no teacher"):
        fit(_model(base), BATCHES, JointLoss(teacher=1.0), SETTINGS)


def test_a_broken_loss_names_its_step(base):
    model = _model(base)
    with torch.no_grad():
        model.projection.linear.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="loss of step 0 is nan"):
        fit(model, BATCHES, LOSS, SETTINGS)
    assert not model.training
