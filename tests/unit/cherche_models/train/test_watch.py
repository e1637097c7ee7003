"""Measuring while training: the best weights remain, and patience ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cherche_models.losses import JointLoss
from cherche_models.models import Model
from cherche_models.train import Settings, Watch, fit
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load

SETTINGS = Settings(steps=10, learning_rate=3e-3, negatives=1, query_length=16, document_length=16, save_every=3)


def batches(step: int) -> list:
    return [EXAMPLES[step % len(EXAMPLES)], EXAMPLES[(step + 3) % len(EXAMPLES)]]


def first(model: Model) -> torch.Tensor:
    return next(model.parameters()).detach().clone()


def scripted(values: list[float], seen: list[torch.Tensor]):
    def measure(model: Model) -> dict[str, float]:
        assert not model.training
        seen.append(first(model))
        return {"score": values[len(seen) - 1], "other": 0.0}

    return measure


def test_the_best_weights_remain_and_patience_ends(load: Load, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    reported: list[tuple[int, float]] = []
    watch = Watch(scripted([0.1, 0.5, 0.4, 0.3, 0.9], seen), every=2, patience=2)
    watch.report = lambda step, found: reported.append((step, found["score"]))
    model = load("colbert")
    losses = fit(model, batches, JointLoss(), SETTINGS, watch=watch, folder=tmp_path)
    assert reported == [(2, 0.1), (4, 0.5), (6, 0.4), (8, 0.3)]
    assert len(losses) == 8
    torch.testing.assert_close(first(model), seen[1], rtol=0, atol=0)
    again = load("colbert")
    assert fit(again, batches, JointLoss(), SETTINGS, watch=watch, folder=tmp_path) == []
    torch.testing.assert_close(first(again), seen[1], rtol=0, atol=0)


def test_an_interrupted_run_remembers_its_best(load: Load, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    watch = Watch(scripted([0.9, 0.5, 0.4, 0.3, 0.2, 0.1], seen), every=2)

    def interrupt(step: int, _: dict[str, float]) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(load("colbert"), batches, JointLoss(), SETTINGS, watch=watch, folder=tmp_path, report=interrupt)
    model = load("colbert")
    fit(model, batches, JointLoss(), SETTINGS, watch=watch, folder=tmp_path)
    torch.testing.assert_close(first(model), seen[0], rtol=0, atol=0)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"best\.safetensors, the best weights of the run, cannot be read .* restore it"
    ):
        fit(load("colbert"), batches, JointLoss(), SETTINGS, watch=watch, folder=tmp_path)


def test_every_step_that_a_window_passes_is_measured_once(load: Load) -> None:
    seen: list[torch.Tensor] = []
    reported: list[int] = []
    watch = Watch(scripted([1.0] * 9, seen), every=2, report=lambda step, _: reported.append(step))
    fit(load("colbert"), batches, JointLoss(), replace(SETTINGS, accumulate=3), watch=watch)
    assert reported == [3, 6, 9, 10]


def test_what_was_not_measured_cannot_decide(load: Load) -> None:
    watch = Watch(lambda _: {"a": 1.0}, every=1, metric="b")
    with pytest.raises(ValueError, match="the metric 'b' was not measured: choose one of a"):
        fit(load("colbert"), batches, JointLoss(), SETTINGS, watch=watch)


def test_the_average_is_measured_and_remains(load: Load, tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema=0.99)
    seen: list[torch.Tensor] = []
    plain, averaged = load("colbert"), load("colbert")
    fit(plain, batches, JointLoss(), SETTINGS)
    fit(averaged, batches, JointLoss(), settings, folder=tmp_path)
    start = first(load("colbert"))
    assert float((first(averaged) - start).norm()) < float((first(plain) - start).norm())
    measured = load("colbert")
    fit(measured, batches, JointLoss(), settings, watch=Watch(scripted([1.0], seen), every=100))
    torch.testing.assert_close(seen[0], first(averaged), rtol=0, atol=0)
    again = load("colbert")
    assert fit(again, batches, JointLoss(), settings, folder=tmp_path) == []
    torch.testing.assert_close(first(again), first(averaged), rtol=0, atol=0)
