"""Texts one after another: the hidden states are those of the encoder's own forward pass."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import transformers

from cherche_models import backbone, hub
from cherche_models.backbone import Backbone
from cherche_models.models import Joint
from cherche_models.runtime import packed
from cherche_models.runtime.packed import hidden_states, is_known, runs, segment_max
from cherche_models.tokenizer import TextFormat

SHAPE = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = {
    "Bert": SHAPE,
    "Roberta": {**SHAPE, "max_position_embeddings": 40, "type_vocab_size": 1},
    "DistilBert": {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
}
OTHERS = {"MPNet": {**SHAPE, "max_position_embeddings": 40}, "Albert": {**SHAPE, "embedding_size": 8}}
LENGTHS = (9, 4, 4, 1, 4)


def made(family: str, settings: dict[str, int], folder: Path) -> Backbone:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings, initializer_range=0.3)
    getattr(transformers, f"{family}ForMaskedLM")(config).save_pretrained(folder)
    return backbone.load(folder, vocabulary=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_texts_have_the_hidden_states_of_each_alone(family: str, tmp_path: Path) -> None:
    body = made(family, FAMILIES[family], tmp_path)
    ids = torch.randint(5, 50, (sum(LENGTHS),))
    with torch.inference_mode():
        found = hidden_states(body, ids, LENGTHS).split(list(LENGTHS))
        alone = [body(text[None], torch.ones_like(text[None]))[0] for text in ids.split(list(LENGTHS))]
    for ours, own in zip(found, alone, strict=True):
        torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-5)
    assert is_known(body)


@pytest.mark.parametrize("family", OTHERS)
def test_a_family_of_another_layout_is_not_packed(family: str, tmp_path: Path) -> None:
    assert not is_known(made(family, OTHERS[family], tmp_path))


@pytest.mark.parametrize("change", ["arithmetic", "name", "values"])
def test_an_encoder_that_computes_otherwise_is_not_packed(joint: Joint, change: str) -> None:
    body = copy.deepcopy(joint.backbone)
    encoder = body.model.base_model
    assert is_known(body)
    if change == "arithmetic":
        encoder.encoder.register_forward_hook(lambda _, __, output: setattr(output, "last_hidden_state", output[0] * 2))
    elif change == "name":
        layer = encoder.encoder.layer[1].attention.self
        layer.queries = layer.query
        del layer.query
        layer.forward = lambda hidden, *_, **__: (hidden, None)
    else:
        with torch.no_grad():
            encoder.embeddings.word_embeddings.weight[:] = torch.nan
    assert not is_known(body)


def test_only_texts_whose_tokens_are_all_attended_to_are_packed(
    masked_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)
    calls: list[tuple[int, ...]] = []

    def counted(body: Backbone, ids: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
        calls.append(lengths)
        return hidden_states(body, ids, lengths)

    monkeypatch.setattr(packed, "hidden_states", counted)
    texts = ["brain cell", "heart", "the index of the brain and the heart"]
    whole = model.encode(texts, "document")
    assert (10, 4, 3) in calls
    tried = len(calls)
    model.formats["document"] = TextFormat(12, expand=True)
    model.encode(texts, "document")
    model.formats["document"] = TextFormat(12)
    model.train()
    model.encode(texts, "document")
    assert len(calls) == tried
    model.eval()
    monkeypatch.setattr(model.runtime, "packs", lambda: False)
    padded = model.encode(texts, "document")
    assert len(calls) == tried
    for ours, own in zip(whole, padded, strict=True):
        assert ours.weights.ids.tolist() == own.weights.ids.tolist()
        torch.testing.assert_close(ours.weights.weights, own.weights.weights, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.embeddings.vectors, own.embeddings.vectors, atol=1e-5, rtol=1e-5)


def test_the_maximum_is_of_each_texts_own_tokens() -> None:
    values = torch.randn(sum(LENGTHS), 7)
    expected = torch.stack([text.amax(dim=0) for text in values.split(list(LENGTHS))])
    assert torch.equal(segment_max(values, runs(LENGTHS)), expected)
