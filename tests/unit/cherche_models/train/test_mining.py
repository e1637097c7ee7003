"""Negatives from any search, scores from any teacher, answers that nobody marked left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub, retrieve
from cherche_models.train import Example, Teacher, mining
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import Load

TEXTS = {"a": "the brain cell", "b": "brain search", "c": "a brain of the heart", "d": "protein"}
EXAMPLE = Example("brain", "the brain cell", ("given",), answers=("brain search",))
PAIRS = [("brain", "the brain cell"), ("search index", "brain search"), ("brain", "protein")]


def test_negatives_are_no_answers_and_those_that_were_given_come_first() -> None:
    (found,) = mining.mine([EXAMPLE], mining.by_bm25(TEXTS))
    assert found.negatives == ("given", "a brain of the heart")
    (found,) = mining.mine([EXAMPLE], mining.by_bm25(TEXTS), skip=3)
    assert found.negatives == ("given",)
    (found,) = mining.mine([EXAMPLE], mining.by_bm25(TEXTS), keep=1)
    assert found.negatives == ("given",)


def test_the_model_itself_can_search(load: Load) -> None:
    documents = [{"id": key, "text": text} for key, text in TEXTS.items()]
    model = load("colbert")
    search = mining.by_retriever(retrieve.ColBERT("id", "text", model).add_documents(documents), TEXTS)
    (found,) = mining.mine([EXAMPLE], search, depth=4)
    assert set(found.negatives) == {"given", "a brain of the heart", "protein"}


def test_every_teacher_scores_the_same_pairs(load: Load, tmp_path: Path) -> None:
    cross = hub.load_cross_encoder(checkpoints.classifier(tmp_path / "cross"), device="cpu", dtype="fp32")
    np.testing.assert_allclose(mining.by_pairs(cross)(PAIRS), cross.predict(PAIRS), rtol=1e-6)
    teacher = Teacher(checkpoints.encoder(tmp_path / "teacher"), temperature=0.5, max_length=16)
    queries, texts = ([pair[i] for pair in PAIRS] for i in (0, 1))
    expected = teacher.scores(queries, texts).diagonal().tolist()
    assert mining.by_teacher(teacher)(PAIRS) == pytest.approx(expected, abs=1e-5)
    splade = load("splade")
    weights = [
        [found.weights for found in splade.encode(side, kind)]
        for side, kind in ((queries, "query"), (texts, "document"))
    ]
    dots = [
        sum(float(w) * d.get(int(i), 0.0) for i, w in zip(q.ids, q.weights, strict=True))
        for q, d in (
            (q, dict(zip(map(int, d.ids), map(float, d.weights), strict=True))) for q, d in zip(*weights, strict=True)
        )
    ]
    assert mining.by_model(splade)(PAIRS) == pytest.approx(dots, rel=1e-4)


def test_scores_of_a_sentence_transformers_cross_encoder_are_taken(tmp_path: Path) -> None:
    peers = pytest.importorskip("sentence_transformers")
    peer = peers.CrossEncoder(str(checkpoints.classifier(tmp_path)), device="cpu")
    scores = mining.by_pairs(peer)(PAIRS)
    assert scores == pytest.approx([float(value) for value in peer.predict(PAIRS)])


def test_examples_are_scored_some_at_a_time() -> None:
    asked: list[int] = []

    def scorer(pairs):
        asked.append(len(pairs))
        return [float(len(text)) for _, text in pairs]

    examples = [Example("q", "p" * i, ("n",) * (i % 3)) for i in range(1, 6)]
    scored = list(mining.score(iter(examples), scorer, batch=2))
    assert [e.scores for e in scored] == [(i, *(1.0,) * (i % 3)) for i in range(1, 6)]
    assert asked == [5, 3, 3]


def test_a_negative_near_the_positive_is_left_out() -> None:
    examples = [
        Example("q", "p", ("above", "near", "far"), scores=(3.0, 4.0, 2.5, 1.0)),
        Example("unscored", "p", ("n",)),
    ]
    first, second = mining.drop_false_negatives(examples, margin=1.0)
    assert (first.negatives, first.scores) == (("far",), (3.0, 1.0))
    assert second == examples[1]
    assert next(mining.drop_false_negatives(examples)).negatives == ("near", "far")
