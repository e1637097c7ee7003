"""Scores of the stages of a search over a collection in memory."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models.evaluate import Collection
from cherche_models.evaluate.stages import Postings, Stages, matrix
from cherche_models.models import Joint
from cherche_models.train.bm25 import BM25
from cherche_models.train.tune import stages

SUBJECTS = ("brain", "protein", "heart", "cell", "index", "token")
COLLECTION = Collection(
    {
        f"d{i}": {"_id": f"d{i}", "text": f"The {subject} is in a cell of the brain."}
        for i, subject in enumerate(SUBJECTS)
    },
    {f"q{i}": f"{subject} in search" for i, subject in enumerate(SUBJECTS)},
    {f"q{i}": {f"d{i}": 1} for i in range(len(SUBJECTS))},
)


def test_a_hybrid_is_the_sum_and_a_rerank_stays_in_its_window(joint: Joint) -> None:
    index = BM25({key: (text,) for key, text in COLLECTION.texts().items()})
    scored: Stages = stages(joint, COLLECTION, list(COLLECTION.queries), index)
    encoded = joint.encode(list(COLLECTION.texts().values()), "document")
    query = joint.encode([COLLECTION.queries["q1"]], "query")[0]
    expected = [query.weights.dot(encoding.weights) for encoding in encoded]
    assert Postings([e.weights for e in encoded]).scores(query.weights) == pytest.approx(expected)
    hybrid = scored.hybrid(2.0)
    assert hybrid[1] == pytest.approx(
        matrix([dict(index.search(COLLECTION.queries["q1"], 10))], scored.ids)[0] + [2 * e for e in expected]
    )
    window = scored.rerank(hybrid, [0.0, 1.0], window=3)
    assert window[0.0] == scored.rank(hybrid, 3)
    assert all(set(window[1.0][q]) == set(window[0.0][q]) for q in scored.queries)


def test_ties_at_the_cutoff_are_broken_by_id() -> None:
    scores = np.array([[1.0, 2.0, 1.0, 0.0]])
    scored = Stages(["c", "b", "a", "d"], ["q"], scores, np.zeros_like(scores), [], [])
    assert scored.rank(scored.hybrid(1.0), 2) == {"q": ["b", "a"]}
    assert scored.rank(scored.hybrid(1.0)) == {"q": ["b", "a", "c"]}


def test_fusion_by_ranks_takes_the_best_of_each_part() -> None:
    bm25, sparse = np.array([[3.0, 2.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 2.0, 9.0]])
    scored = Stages(["a", "b", "c", "d"], ["q"], bm25, sparse, [], [])
    assert scored.by_ranks(2, 1).tolist() == [[1 / 2, 1 / 3, 1 / 3, 1 / 2]]
    assert scored.rank(scored.by_ranks(4, 60)) == {"q": ["b", "c", "a", "d"]}
