"""Weights of the sparse score and of MaxSim are tuned on given queries."""

from __future__ import annotations

from cherche_models.evaluate import Collection
from cherche_models.models import Joint
from cherche_models.train.bm25 import BM25
from cherche_models.train.tune import stages, tune

SUBJECTS = ("brain", "protein", "heart", "cell", "index", "token")
COLLECTION = Collection(
    {
        f"d{i}": {"_id": f"d{i}", "text": f"The {subject} is in a cell of the brain."}
        for i, subject in enumerate(SUBJECTS)
    },
    {f"q{i}": f"{subject} in search" for i, subject in enumerate(SUBJECTS)},
    {f"q{i}": {f"d{i}": 1} for i in range(len(SUBJECTS))},
)


def test_tuning_takes_the_best_of_what_it_measures(joint: Joint) -> None:
    index = BM25({key: (text,) for key, text in COLLECTION.texts().items()})
    scored = stages(joint, COLLECTION, list(COLLECTION.queries), index)
    tuned = tune([(scored, COLLECTION)], boosts=(0.0, 1000.0), weights=(0.0, 1.0))
    assert tuned.sparse_boost == 0.0
    assert tuned.hybrid == 1.0
    assert (tuned.rerank_weight, tuned.reranked) == (0.0, 1.0)
