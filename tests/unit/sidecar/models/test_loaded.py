"""Queries are encoded at once; what encodes documents may be loaded when the first of them comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cherche_models.types import Encoding, TermWeights, Tokens
from sidecar.models.loaded import Encodes, LoadedModel
from sidecar.values.model import Kind, ModelDescription

STORM = Tokens((7,), ("storm",), 1)


class Words:
    def tokenize(self, texts: Sequence[str], style: object, max_length: int = 0) -> list[Tokens]:
        return [STORM for _ in texts]

    def is_unknown_language(self, tokens: Tokens, style: object) -> bool:
        return False


class Weighs:
    """A model that gives every term one weight, that sets it apart from others."""

    formats: Mapping[Kind, Any] = {"query": None, "document": None}
    tokenizer = Words()

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Tokens]:
        return self.tokenizer.tokenize(texts, kind, max_length)

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        return [Encoding(TermWeights.from_pairs([(7, self.weight)]), None) for _ in tokens]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        return [0]

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        return {7: self.weight}


def weight(model: LoadedModel, kind: Kind) -> float:
    [found] = model.encode([STORM], kind)
    assert found.weights is not None
    return float(found.weights.weights[0])


def loaded(later: Callable[[], Encodes] | None) -> LoadedModel:
    return LoadedModel(ModelDescription("mine", sparse=True), Weighs(1.0), later)


def test_one_model_for_both_kinds_needs_nothing() -> None:
    model = loaded(None)
    assert [model.prepare(kind) for kind in ("query", "document")] == [None, None]
    assert [weight(model, kind) for kind in ("query", "document")] == [1.0, 1.0]


def test_documents_have_a_model_of_their_own_once_the_first_comes() -> None:
    loads: list[str] = []

    def later() -> Encodes:
        loads.append("once")
        return Weighs(2.0)

    model = loaded(later)
    model.on_prepared = lambda: loads.append("prepared")
    assert weight(model, "query") == 1.0
    assert (loads, model.prepare("query")) == ([], None)
    prepare = model.prepare("document")
    assert prepare is not None
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: prepare(), range(8)))
    assert loads.count("once") == 1
    assert loads[:2] == ["once", "prepared"]
    assert model.prepare("document") is None
    assert [weight(model, kind) for kind in ("query", "document")] == [1.0, 2.0]


def test_whoever_did_not_prepare_waits() -> None:
    assert weight(loaded(lambda: Weighs(2.0)), "document") == 2.0


def test_queries_are_answered_while_documents_wait() -> None:
    gate = threading.Event()

    def later() -> Encodes:
        gate.wait()
        return Weighs(2.0)

    model = loaded(later)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(weight, model, "document")
        assert weight(model, "query") == 1.0
        assert not waiting.done()
        gate.set()
        assert waiting.result() == 2.0


def test_a_model_that_cannot_be_loaded_leaves_documents_to_the_one_of_queries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def later() -> Encodes:
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    model = loaded(later)
    assert weight(model, "document") == 1.0
    assert model.prepare("document") is None
