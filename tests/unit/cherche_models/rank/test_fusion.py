"""Rankers of the same candidates, fused by reciprocal ranks."""

from __future__ import annotations

import pytest

from cherche_models.rank import CrossEncoder


class Length:
    """Scores the length of a text, times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [self.factor * len(text) for _, text in pairs]


DOCUMENTS = [{"id": "b", "text": "bb"}, {"id": "a", "text": "a"}, {"id": "c", "text": "ccc"}]


def test_orders_are_fused_and_documents_reach_every_member() -> None:
    long, short = (CrossEncoder("id", "text", Length(factor)) for factor in (1.0, -1.0))
    fused = (long * long * short).add_documents(DOCUMENTS)
    assert fused.members == [long, long, short]
    (hits,) = fused.rank(["q"], [[{"id": key, "kept": 1} for key in "abc"]], k=2)
    assert [(hit["id"], hit["kept"]) for hit in hits] == [("c", 1), ("b", 1)]
    assert hits[0]["similarity"] == pytest.approx(2 / 61 + 1 / 63)


def test_keys_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="use the same key"):
        CrossEncoder("id", "text", Length(1.0)) | CrossEncoder("number", "text", Length(1.0))
