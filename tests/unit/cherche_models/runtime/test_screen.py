"""The screen leaves out no term that has a weight, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cherche_models import hub
from cherche_models.errors import ItemError
from cherche_models.models import Splade
from cherche_models.runtime import screen
from cherche_models.runtime.protocol import TorchRuntime
from cherche_models.runtime.screen import CHUNK, Screen, gain, positive_logits

VOCABULARY, HIDDEN = 2 * CHUNK + 75, 48
needs_int8 = pytest.mark.skipif(gain(torch.randn(VOCABULARY, HIDDEN)) == 0, reason="no exact int8 products here")


def exact(hidden: Tensor, lengths: list[int], weight: Tensor, bias: Tensor) -> Tensor:
    logits = hidden.double() @ weight.double().T + bias.double()
    return torch.stack([text.amax(dim=0) for text in logits.split(lengths)])


@needs_int8
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    shift=st.floats(-4, 1),
    spread=st.floats(0, 3),
)
def test_every_term_with_a_positive_logit_is_a_candidate(
    seed: int, lengths: list[int], shift: float, spread: float
) -> None:
    torch.manual_seed(seed)
    # Tokens and terms of very different size, the worst case of a scale that they share.
    hidden = torch.randn(sum(lengths), HIDDEN) * torch.exp(spread * torch.randn(sum(lengths), 1))
    weight = torch.randn(VOCABULARY, HIDDEN) * torch.exp(spread * torch.randn(VOCABULARY, 1))
    hidden[0], weight[:3] = 0, 0
    bias = torch.randn(VOCABULARY) + shift * spread
    found = Screen(weight, bias).candidates(hidden, lengths)
    best = exact(hidden, lengths, weight, bias)
    assert not bool(((best > 1e-5 * best.abs().amax(dim=1, keepdim=True)) & ~found).any())


@needs_int8
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_logits_are_the_same_with_and_without_a_screen(dtype: torch.dtype, has_bias: bool) -> None:
    torch.manual_seed(0)
    lengths = [30, 30, 7, 1]
    hidden, weight = torch.randn(68, HIDDEN).to(dtype), (torch.randn(VOCABULARY, HIDDEN) / 7).to(dtype)
    bias = torch.full((VOCABULARY,), -2.5) if has_bias else None
    terms, logits, counts = positive_logits(hidden, lengths, weight, bias, Screen(weight, bias))
    best = exact(hidden, lengths, weight, torch.zeros(VOCABULARY) if bias is None else bias).float()
    ends = np.cumsum([0, *counts])
    for text, row in enumerate(best):
        own = slice(ends[text], ends[text + 1])
        assert terms[own].tolist() == (row > 0).nonzero().squeeze(1).tolist()
        torch.testing.assert_close(logits[own], row[terms[own]], atol=1e-5, rtol=1e-5)
    if dtype is torch.float32:
        other = positive_logits(hidden, lengths, weight, bias, None)
        assert torch.equal(other[0], terms)
        assert other[2] == counts
        torch.testing.assert_close(other[1], logits, atol=1e-5, rtol=1e-5)


@needs_int8
def test_a_screen_leaves_out_nearly_all_terms_without_a_weight() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, HIDDEN), torch.randn(VOCABULARY, HIDDEN) / 7
    bias = torch.full((VOCABULARY,), -3.5)
    found = int(Screen(weight, bias).candidates(hidden, [40]).sum())
    assert int((exact(hidden, [40], weight, bias) > 0).sum()) <= found < 0.4 * VOCABULARY


@needs_int8
@pytest.mark.parametrize("write", ["in place", "through data", "another tensor", "bias"])
def test_weights_that_training_changes_get_another_screen(
    splade: Splade, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    monkeypatch.setattr(screen, "kept_gain", lambda weight: 9.0)
    model = hub.load(splade.backbone.model.name_or_path, device="cpu", dtype="fp32")
    assert isinstance(model, Splade)
    model.encode(["brain cell"], "document")
    decoder = model.backbone.decoder
    new = torch.randn_like(decoder.weight)
    with torch.no_grad():
        if write == "in place":
            decoder.weight.copy_(new)
        elif write == "through data":
            decoder.weight.data.copy_(new)
        elif write == "another tensor":
            decoder.weight = torch.nn.Parameter(new)
        else:
            decoder.bias.fill_(3.0)
    (found,) = model.encode(["brain cell"], "document")
    monkeypatch.setattr(screen, "kept_gain", lambda weight: 0.0)
    model.runtime = TorchRuntime(model.backbone)
    (expected,) = model.encode(["brain cell"], "document")
    assert found.weights.ids.tolist() == expected.weights.ids.tolist()
    np.testing.assert_allclose(found.weights.weights, expected.weights.weights, atol=1e-5)


def test_products_that_are_not_exact_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: torch.full((a.shape[0], b.shape[1]), -32768))
    assert gain(torch.randn(64, 32)) == 0


def test_the_faster_product_is_measured_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: torch.full((a.shape[0], b.shape[1]), -127 * 127 * a.shape[1]))
    # Disturbed in every round but the third: 6 against 2.
    rounds = [(9.0, 8.0)] * 2 + [(6.0, 2.0)] + [(9.0, 8.0)] * 4
    ticks = iter([tick for first, second in rounds for tick in (0.0, first, first + second)])
    assert gain(torch.randn(64, 32), clock=lambda: next(ticks)) == 3.0


def test_decoders_of_one_shape_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_KEPT", {})
    measured = iter([2.0, 0.0, 3.0])
    monkeypatch.setattr(screen, "gain", lambda weight: next(measured))
    wide, narrow = torch.zeros(64, 32), torch.zeros(64, 16)
    assert [screen.kept_gain(one) for one in (wide, wide + 1, narrow, wide, narrow)] == [2.0, 2.0, 0.0, 2.0, 0.0]
    assert screen.kept_gain(wide.bfloat16()) == 3.0


@pytest.mark.parametrize("gained", [0.0, 9.0])
@pytest.mark.parametrize("where", ["decoder", "bias", "text"])
def test_a_value_that_is_not_finite_is_an_error_of_its_text(
    splade: Splade, monkeypatch: pytest.MonkeyPatch, where: str, gained: float
) -> None:
    monkeypatch.setattr(screen, "kept_gain", lambda weight: gained)
    model = hub.load(splade.backbone.model.name_or_path, device="cpu", dtype="fp32")
    texts = ["brain", "heart", "cell"]
    model.encode(texts, "document")  # it was finite at first
    with torch.no_grad():
        if where == "bias":
            model.backbone.decoder.bias[5] = torch.nan
        else:  # the decoder and the embeddings are one matrix
            (heart,) = model.tokenize(["heart"], "document")
            model.backbone.decoder.weight[5 if where == "decoder" else heart.ids[1]] = torch.nan
    with pytest.raises(ItemError) as raised:
        model.encode(texts, "document")
    assert where != "text" or raised.value.position == 1
