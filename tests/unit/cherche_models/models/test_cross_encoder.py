"""A cross-encoder scores as sentence-transformers' does, and orders candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub, rank, retrieve
from cherche_models.errors import CheckpointError, ItemError, UnsafeCheckpointError
from tests import checkpoints

PAIRS = [
    ("brain cell", "neural search of the brain"),
    ("brain cell", "protein " * 90),
    ("heart " * 60, "cell index " * 40),
    ("brain", ""),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.classifier(tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("types", [True, False])
def test_scores_are_those_of_sentence_transformers(types: bool, tmp_path: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = checkpoints.classifier(tmp_path, types=types)

    peer = CrossEncoder(str(folder), device="cpu")
    theirs = peer.predict(PAIRS, activation_fn=torch.nn.Identity())
    ours = hub.load_cross_encoder(folder, device="cpu", dtype="fp32").predict(PAIRS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert len(set(ours.tolist())) == len(PAIRS)


def test_candidates_are_ordered_by_it_and_a_text_without_words_comes_last(folder: Path) -> None:
    model = hub.load_cross_encoder(folder, device="cpu", dtype="fp32")
    documents = [{"id": str(i), "text": text} for i, (_, text) in enumerate(PAIRS)]
    ranker = rank.CrossEncoder("id", "text", model).add_documents(documents)
    ((*known, last),) = ranker.rank(["brain cell"], [[{"id": str(i)} for i in range(len(documents))]])
    expected = model.predict([("brain cell", document["text"]) for document in documents[:3]])
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


def test_what_is_no_cross_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="3 labels"):
        hub.load_cross_encoder(checkpoints.classifier(tmp_path / "three", labels=3))
    with pytest.raises(CheckpointError, match="which would be random"):
        hub.load_cross_encoder(checkpoints.masked_lm(tmp_path / "masked"))
    (tmp_path / "three" / "model.safetensors").rename(tmp_path / "three" / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match="only as a pickle"):
        hub.load_cross_encoder(tmp_path / "three")
    with pytest.raises(ValueError, match="not 9999"):
        hub.load_cross_encoder(folder, max_length=9999)
    with pytest.raises(ItemError, match="lone surrogate"):
        hub.load_cross_encoder(folder).predict([("a", "\ud800")])
