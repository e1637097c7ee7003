"""A ranker orders candidates by the scores of a cross-encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub, rank, retrieve
from tests import checkpoints

DOCUMENTS = [
    {"id": "0", "text": "neural search of the brain"},
    {"id": "1", "text": "protein " * 90},
    {"id": "2", "text": "cell index " * 40},
    {"id": "3", "text": ""},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.classifier(tmp_path_factory.mktemp("classifier"))


def test_candidates_are_ordered_by_it_and_a_text_without_words_comes_last(folder: Path) -> None:
    model = hub.load_cross_encoder(folder, device="cpu", dtype="fp32")
    ranker = rank.CrossEncoder("id", "text", model).add_documents(DOCUMENTS)
    ((*known, last),) = ranker.rank(["brain cell"], [[{"id": str(i)} for i in range(len(DOCUMENTS))]])
    expected = model.predict([("brain cell", document["text"]) for document in DOCUMENTS[:3]])
    assert [hit["id"] for hit in known] == [str(i) for i in np.argsort(-expected)]
    assert (last["id"], last["similarity"]) == ("3", None)


def test_it_ends_a_pipeline(folder: Path) -> None:
    model = hub.load_cross_encoder(folder, device="cpu", dtype="fp32")
    documents = [{"id": "a", "text": "the brain"}, {"id": "b", "text": "a brain cell of the heart"}]
    search = retrieve.BM25("id", "text", analyzer="word") + rank.CrossEncoder("id", "text", model) + documents
    hits = search.add_documents(documents).search("brain cell")
    scores = model.predict([("brain cell", hit["text"]) for hit in hits])
    assert [hit["similarity"] for hit in hits] == pytest.approx(scores.tolist(), abs=1e-5)
    assert scores[0] >= scores[1]


def test_any_object_that_scores_pairs_serves() -> None:
    class Length:
        def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
            return [float(len(text)) for _, text in pairs]

    documents = [{"id": "short", "text": "a"}, {"id": "long", "text": "abc"}]
    ranker = rank.CrossEncoder("id", "text", Length()).add_documents(documents)
    ((first, _),) = ranker.rank(["?"], [[{"id": "short"}, {"id": "long"}]])
    assert (first["id"], first["similarity"]) == ("long", 3.0)


def test_scores_that_are_missing_are_an_error() -> None:
    class Silent:
        def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
            return []

    ranker = rank.CrossEncoder("id", "text", Silent()).add_documents([{"id": "a", "text": "words"}])
    with pytest.raises(ValueError, match=r"shape \(0,\) for 1 pairs"):
        ranker.rank(["?"], [[{"id": "a"}]])
