"""Chunk by chunk gives the gradient of the whole, in the memory of a chunk."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch

from cherche_models.losses import JointLoss, Parts, Targets
from cherche_models.models import Output
from cherche_models.train import Example, Settings, fit, gradient
from cherche_models.train.batch import assemble
from cherche_models.train.processes import Processes
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load

ARCHITECTURES = ("colbert", "splade", "sparse_embed", "joint")
LOSS = JointLoss(query_flops=1e-2, document_flops=1e-2, document_l1=1e-3, margin=0.1, teacher=0.5, maxsim_scale=2.0)
SETTINGS = Settings(steps=1, negatives=2, query_length=16, document_length=16)
SCORED = [replace(e, scores=tuple(range(8, 0, -1))) for e in EXAMPLES]


def gradients(load: Load, architecture: str, settings: Settings, *, dropout: bool = False) -> dict[str, torch.Tensor]:
    model = load(architecture, dropout=dropout)
    model.train()
    batch = assemble(SCORED, LOSS, settings, None, 0)
    how = gradient.cached if settings.chunk else gradient.whole
    how(model, batch, lambda q, d: LOSS(q, d, batch.targets, 0), settings, Processes(), 0, 1.0)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_chunks_give_the_gradient_of_the_whole(architecture: str, load: Load) -> None:
    whole = gradients(load, architecture, SETTINGS)
    for chunk in (1, 3, 100):
        found = gradients(load, architecture, replace(SETTINGS, chunk=chunk))
        assert found.keys() == whole.keys()
        for name, expected in whole.items():
            rounding = 1e-5 + 1e-6 * float(expected.abs().max())  # an element is a sum of such as the largest
            torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=rounding, msg=name)


def test_both_passes_of_a_chunk_have_the_same_dropout(load: Load) -> None:
    model = load("joint", dropout=True)
    model.train()
    settings = replace(SETTINGS, chunk=3)
    chunk = next(gradient._chunks(model, [e.query for e in EXAMPLES], "query", settings, Processes(), 0))
    with torch.no_grad():
        first = gradient._encode(model, chunk, settings)
    second = gradient._encode(model, chunk, settings)
    other = gradient._encode(model, chunk._replace(seed=1), settings)
    torch.testing.assert_close(first.weights, second.weights)
    assert not torch.allclose(first.weights, other.weights)


class Held:
    """Bytes that graphs keep, now and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: torch.Tensor) -> Kept:
        return Kept(self, tensor)


class Kept:
    def __init__(self, held: Held, tensor: torch.Tensor) -> None:
        self.held, self.tensor, self.size = held, tensor, tensor.numel() * tensor.element_size()
        held.now += self.size
        held.most = max(held.most, held.now)

    def __del__(self) -> None:
        self.held.now -= self.size


def test_graphs_hold_a_chunk_not_the_batch(load: Load) -> None:
    held = {}
    for chunk in (0, 2):
        held[chunk] = Held()
        with torch.autograd.graph.saved_tensors_hooks(held[chunk].pack, lambda kept: kept.tensor):
            gradients(load, "colbert", replace(SETTINGS, chunk=chunk))
    assert held[2].most < held[0].most / 3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_windows_have_the_mean_gradient_and_the_last_is_not_lost(architecture: str, load: Load) -> None:
    """Five batches in windows of two move the weights three times; the last batch moves them alone."""
    loss, settings = JointLoss(), replace(SETTINGS, steps=5, accumulate=2, warmup=0.0, decay="constant")
    moved = []
    model = load(architecture)
    words = next(model.backbone.parameters())

    def report(_: int, __: dict[str, float]) -> None:
        moved.append(float(words.detach().abs().sum()))

    fit(model, lambda step: [EXAMPLES[step]], loss, settings, report=report)
    assert [moved[i] != moved[i - 1] for i in range(1, 5)] == [True, False, True, True]


def test_a_window_has_the_gradient_of_one_batch_where_each_query_has_its_own_candidates(load: Load) -> None:
    settings = replace(SETTINGS, in_batch=False, negatives=7)

    def of(batches: list[list[Example]]) -> dict[str, torch.Tensor]:
        model = load("colbert")
        for examples in batches:
            batch = assemble(examples, JointLoss(), settings, None, 0)
            scored = functools.partial(_scored, batch.targets)
            gradient.whole(model, batch, scored, settings, Processes(), 0, 1 / len(batches))
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    whole, halves = of([EXAMPLES[:4]]), of([EXAMPLES[:2], EXAMPLES[2:4]])
    for name, expected in whole.items():
        torch.testing.assert_close(halves[name], expected, rtol=1e-4, atol=1e-5, msg=name)


def _scored(targets: Targets, queries: Output, documents: Output) -> Parts:
    return JointLoss()(queries, documents, targets, 0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_buckets_of_like_length_give_the_same_gradient(
    architecture: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = gradients(load, architecture, SETTINGS)
    monkeypatch.setattr(gradient, "_BUCKET", 1)
    found = gradients(load, architecture, SETTINGS)
    for name, value in expected.items():
        rounding = 1e-5 + 1e-6 * float(value.abs().max())
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=rounding, msg=name)
