"""Vocabularies of 250,000 pieces, bytes and other scripts; texts that a model cannot read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cherche_models import hub, language, models, naming
from cherche_models.prune import Prune
from cherche_models.runtime import screen
from cherche_models.runtime.protocol import TorchRuntime
from tests import languages

BIG = 250_000
needs_int8 = pytest.mark.skipif(screen.gain(torch.randn(64, 32)) == 0, reason="no exact int8 products here")
MAKERS: dict[str, Callable[[Path], Path]] = {
    "unigram": languages.unigram,
    "byte_level": languages.byte_level,
    "word_pieces": languages.word_pieces,
}


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> models.Splade:
    folder = languages.unigram(tmp_path_factory.mktemp("big"), BIG)
    model = hub.load(folder, device="cpu", dtype="fp32")
    assert isinstance(model, models.Splade)
    return model


@pytest.fixture(scope="module", params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, models.Splade]:
    folder = MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    model = hub.load(folder, device="cpu", dtype="fp32")
    assert isinstance(model, models.Splade)
    return request.param, model


def test_a_large_vocabulary_has_names_and_ids(big: models.Splade) -> None:
    assert len(big.vocabulary) == BIG
    names = naming.feature_names(big.vocabulary)
    assert len(set(names)) == BIG
    assert not any("." in name or " " in name for name in names)
    assert [naming.unescape(name) for name in names] == list(big.vocabulary)
    assert naming.feature_names(big.vocabulary, naming="id")[-1] == str(BIG - 1)


def test_a_large_vocabulary_is_weighed_by_the_formula(big: models.Splade) -> None:
    texts = list(languages.TEXTS.values())
    together = big.encode(texts, "document")
    for text, encoding in zip(texts, together, strict=True):
        (tokens,) = big.tokenize([text], "document")
        with torch.inference_mode():
            logits = big.backbone.model(input_ids=torch.tensor([tokens.ids])).logits[0]
        expected = torch.log1p(torch.relu(logits)).amax(dim=0).numpy()
        found = np.zeros(BIG, np.float32)
        found[encoding.weights.ids] = encoding.weights.weights
        np.testing.assert_allclose(found, expected, atol=1e-5)
        pruned = Prune("top_k", 128)(encoding.weights)
        assert len(pruned) == 128
        assert pruned.dot(pruned) <= encoding.weights.dot(encoding.weights)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else (found,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.weights:
                self.numbers = max(self.numbers, tensor.numel())
        return found

    weights: frozenset[int] = frozenset()


def largest(model: models.Splade, texts: list[str]) -> int:
    mode = Largest()
    mode.weights = frozenset(p.untyped_storage().data_ptr() for p in model.parameters())
    with mode:
        model.encode(texts, "document")
    return mode.numbers


@pytest.mark.parametrize("gain", [0.0, pytest.param(9.0, marks=needs_int8)], ids=["all", "screened"])
def test_memory_of_the_head_does_not_grow_with_length(
    big: models.Splade, monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    """Texts x vocabulary, as the result has; never length x vocabulary, whatever this CPU was measured at."""
    monkeypatch.setattr(screen, "kept_gain", lambda weight: gain)
    monkeypatch.setattr(big, "runtime", TorchRuntime(big.backbone))
    texts = ["neural search of the brain " * 20] * 8
    assert [len(tokens) for tokens in big.tokenize(texts, "document")] == [64] * 8
    big.encode(["brain"], "document")  # makes the decoder's screen, once
    assert largest(big, texts) == 8 * BIG
    assert largest(big, ["brain"] * 8) == 8 * BIG


def test_sparse_embed_and_colbert_on_a_large_vocabulary(big: models.Splade) -> None:
    texts = list(languages.TEXTS.values())
    terms = models.SparseEmbed(big.backbone, big.tokenizer, dim=8)
    for encoding in terms.encode(texts, "document"):
        assert encoding.embeddings.vectors.shape == (len(encoding.weights), 8)
        assert len(encoding.weights) <= 256
    late = models.ColBERT(big.backbone, big.tokenizer, dim=8)
    for tokens, encoding in zip(late.tokenize(texts, "document"), late.encode(texts, "document"), strict=True):
        assert encoding.embeddings.vectors.shape == (len(tokens), 8)


@pytest.mark.parametrize("text", ["café au lait", "Ångström", "한국어", "ﬁne"])
def test_composed_and_decomposed_text_weigh_the_same(big: models.Splade, text: str) -> None:
    """Where the tokenizer normalises; where it does not, other libraries see two texts, and so do we."""
    one, two = big.encode([unicodedata.normalize(form, text) for form in ("NFC", "NFD")], "query")
    weights = [dict(found.weights.items()) for found in (one, two)]
    assert [weights[1].get(term, 0.0) for term in weights[0]] == pytest.approx(list(weights[0].values()), abs=1e-5)
    assert [weights[0].get(term, 0.0) for term in weights[1]] == pytest.approx(list(weights[1].values()), abs=1e-5)


def test_any_text_is_encoded(made: tuple[str, models.Splade]) -> None:
    _, model = made
    texts = [*languages.TEXTS.values(), "e\u0301", "\u202eabc", "\x00", "👩🏽‍🔬" * 50, "𝔘𝔫𝔦"]
    for text, encoding in zip(texts, model.encode(texts, "document"), strict=True):
        assert np.isfinite(encoding.weights.weights).all(), text
    assert set(naming.feature_names(model.vocabulary, "id")) == {str(i) for i in range(len(model.vocabulary))}


READABLE = {
    "unigram": {"english", "chinese", "russian", "arabic", "emoji", "mixed"},
    "byte_level": {"english"},
    "word_pieces": {"english"},
}


def of_unknown_language(model: models.Splade) -> Iterator[str]:
    for name, text in languages.TEXTS.items():
        for kind in ("document", "query"):
            [tokens] = model.tokenize([text], kind)
            if model.tokenizer.is_unknown_language(tokens, model.formats[kind]):
                yield name


def test_what_a_vocabulary_cannot_write_is_of_an_unknown_language(made: tuple[str, models.Splade]) -> None:
    name, model = made
    found = set(of_unknown_language(model)) - {"mixed"}
    assert found == set(languages.TEXTS) - READABLE[name] - {"mixed"}


def test_bytes_in_place_of_characters_are_of_an_unknown_language(tmp_path: Path) -> None:
    model = hub.load(languages.unigram(tmp_path), device="cpu", dtype="fp32")
    [tokens] = model.tokenize(["ꦧꦱꦗꦮ"], "document")
    assert "<0xEA>" in tokens.texts
    assert model.tokenizer.is_unknown_language(tokens, model.formats["document"])


def test_a_prompt_does_not_make_an_unknown_language_known(tmp_path: Path) -> None:
    model = hub.load(languages.word_pieces(tmp_path), device="cpu", dtype="fp32")
    style = models.base.TextFormat(64, prompt="search the document of the brain ")
    [tokens, empty] = model.tokenizer.tokenize(["検索", ""], style)
    assert model.tokenizer.is_unknown_language(tokens, style)
    assert not model.tokenizer.is_unknown_language(empty, style)


def test_every_byte_has_a_letter() -> None:
    assert sorted(language._TABLE.values()) == list(range(256))
