"""BM25 scores as in bm25s, with the constants that are given."""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
import pytest

from cherche_models.retrieve import BM25
from tests.unit.cherche_models.retrieve.documents import DUCKS, TEXTS, scores, words


@pytest.mark.parametrize("query", ["duck", "the pond", "cow geese the", "pond pond"])
def test_bm25_is_the_one_of_bm25s(query: str) -> None:
    reference = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    cut = words()._grams._terms
    reference.index([list(cut(text)) for text in TEXTS], show_progress=False)
    expected = reference.get_scores(query.split())
    found = scores(words().search(query))
    assert found == pytest.approx({d["id"]: s for d, s in zip(DUCKS, expected, strict=True) if s > 0}, rel=1e-5)


def test_bm25_keeps_its_constants(tmp_path: Path) -> None:
    retriever = words(b=0.1, k1=0.9, epsilon=0.5)
    retriever.save(tmp_path / "index")
    assert BM25.load(tmp_path / "index").search("duck") == retriever.search("duck") != words().search("duck")


@pytest.mark.parametrize("settings", [{"b": 1.5}, {"k1": -1}, {"epsilon": -1}])
def test_bm25_refuses_constants_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        words(**settings)


def test_weights_are_positive_for_a_term_that_every_document_has() -> None:
    assert all(hit["similarity"] > 0 for hit in words().search("the"))
    assert np.isfinite([hit["similarity"] for hit in words().search("the")]).all()
