"""Stages measured in memory, for models with any heads."""

from __future__ import annotations

import pytest

from cherche_models.train.staged import JudgedSet, Mixing, means, ndcg, rankings
from tests.unit.cherche_models.train.conftest import WORDS, Load

SET = JudgedSet(
    {word: ["", f"the {word} of a document"] for word in WORDS} | {"none": ["", ""]},
    {word: f"neural {word}" for word in WORDS} | {"unknown": "zzz", "empty": ""},
    {word: {word: 1} for word in WORDS} | {"unknown": {"brain": 1}, "empty": {"cell": 1}},
)


@pytest.mark.parametrize(
    ("architecture", "stages"),
    [
        ("splade", ["bm25", "sparse", "hybrid"]),
        ("colbert", ["bm25", "bm25+rerank"]),
        ("joint", ["bm25", "sparse", "hybrid", "hybrid+rerank"]),
    ],
)
def test_each_stage_that_the_heads_allow(architecture: str, stages: list[str], load: Load) -> None:
    values = ndcg(rankings(load(architecture), SET, Mixing()), SET)
    assert list(values) == stages
    assert all(column.keys() == SET.queries.keys() for column in values.values())
    assert values["bm25"]["brain"] == 1.0
    assert values["bm25"]["unknown"] == values["bm25"]["empty"] == 0.0
    assert 0 < means(values)["bm25"] < 1


def test_how_they_are_mixed(load: Load) -> None:
    model = load("joint")
    found = rankings(model, SET, Mixing(sparse_boost=1e-9, rerank_weight=0.0))
    best = {query: ranking[:1] for query, ranking in found["bm25"].items() if ranking}
    assert {query: found["hybrid"][query][:1] for query in best} == best
    assert {query: found["hybrid+rerank"][query][:1] for query in best} == best
    model.sparse_boost, model.rerank_weight = 1e-9, 0.0
    assert rankings(model, SET, Mixing()) == found
    assert all(len(ranking) <= 1 for ranking in rankings(model, SET, Mixing(window=1))["hybrid+rerank"].values())
