"""What a run is judged by: every head by its own score."""

from __future__ import annotations

import pytest

from cherche_models.evaluate import Collection
from cherche_models.losses import JointLoss
from cherche_models.train import Settings, fit
from cherche_models.train.measures import CollectionMeasure, ExampleMeasure
from tests.unit.cherche_models.train.conftest import EXAMPLES, WORDS, Load

HEADS = {"colbert": ["late"], "splade": ["sparse"], "sparse_embed": ["sparse", "late"], "joint": ["sparse", "late"]}


@pytest.mark.parametrize("architecture", HEADS)
def test_training_raises_it_on_what_is_trained(architecture: str, load: Load) -> None:
    model = load(architecture)
    measure = ExampleMeasure(EXAMPLES, 16, 16)
    before = measure(model)
    assert list(before) == ["mrr", *HEADS[architecture]]
    settings = Settings(steps=60, learning_rate=3e-3, query_length=16, document_length=16)
    fit(model, lambda _: EXAMPLES, JointLoss(maxsim_scale=4.0), settings)
    after = measure(model)
    assert after["mrr"] > max(0.8, before["mrr"])
    assert after["mrr"] == pytest.approx(sum(after[head] for head in HEADS[architecture]) / len(HEADS[architecture]))


def test_heads_are_measured_on_the_queries_of_a_collection(load: Load) -> None:
    documents = {str(i): {"_id": str(i), "text": f"{word} of the document"} for i, word in enumerate(WORDS)}
    queries = {f"q{i}": f"the {word}" for i, word in enumerate(WORDS)}
    collection = Collection(documents, queries, {f"q{i}": {str(i): 1} for i in range(len(WORDS))})
    found = CollectionMeasure(collection, ["q0", "q3"])(load("joint"))
    assert list(found) == ["ndcg@10", "sparse", "rerank"]
    assert all(0 <= value <= 1 for value in found.values())
    assert list(CollectionMeasure(collection, ["q0"])(load("splade"))) == ["ndcg@10", "sparse"]


def test_texts_are_measured_at_the_length_that_is_given(load: Load) -> None:
    documents = {"1": {"_id": "1", "text": "brain of the document protein heart cell"}}
    collection = Collection(documents, {"q": "the cell"}, {"q": {"1": 1}})
    model = load("splade")
    lengths: list[int] = []
    tokenize = model.tokenize
    model.tokenize = lambda texts, kind, length: lengths.append(length) or tokenize(texts, kind, length)
    CollectionMeasure(collection, ["q"], query_length=4, document_length=5)(model)
    CollectionMeasure(collection, ["q"])(model)
    own = model.formats
    assert lengths == [5, 4, own["document"].max_length, own["query"].max_length]
