"""Tables of query weights: counted in a corpus, learned from examples, on the scale of full queries."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.losses import ranking
from cherche_models.models import Model
from cherche_models.train import data
from cherche_models.train.query_table import idf, learned, main, scaled
from cherche_models.types import TermWeights
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load


def test_idf_is_that_of_the_corpus(load: Load) -> None:
    model = load("joint")
    table = idf(model, ["the brain", "the brain brain", "the cell"])
    weight = {word: float(table[model.tokenizer.id_of(word)]) for word in ("the", "brain", "cell", "heart")}
    assert weight["brain"] == pytest.approx(math.log(1 + (3 - 2 + 0.5) / (2 + 0.5)))
    assert 0 < weight["the"] < weight["brain"] < weight["cell"] < weight["heart"]
    assert table[list(model.tokenize([""], "document")[0].ids)].tolist() == [0.0, 0.0]


def loss(model: Model, table: torch.Tensor) -> float:
    """Cross entropy of each positive among all positives."""
    documents = [encoding.weights for encoding in model.encode([e.positive for e in EXAMPLES], "document")]
    rows = [[looked_up(model, table, e.query).dot(document) for document in documents] for e in EXAMPLES]
    return float(ranking(torch.tensor(rows), torch.arange(len(rows))))


def test_learned_weights_rank_the_examples_better(load: Load) -> None:
    model = load("splade")
    before = [encoding.weights for encoding in model.encode(["brain cell"], "document")]
    flat = idf(model, ["the brain"])
    found = learned(model, EXAMPLES, flat, steps=60, batch=4, learning_rate=0.1, decay=0.0)
    assert loss(model, found) < loss(model, flat)
    assert bool((found >= 0).all())
    assert found[flat == 0].sum() == 0
    assert [encoding.weights for encoding in model.encode(["brain cell"], "document")] == before
    unseen = [model.tokenizer.id_of(word) for word in ("##q", "##z")]
    assert (found[unseen] / flat[unseen]).std() == pytest.approx(0, abs=1e-6)


def test_the_same_seed_learns_the_same(load: Load) -> None:
    model = load("splade")
    flat = idf(model, ["the brain"])
    torch.testing.assert_close(*(learned(model, EXAMPLES, flat, steps=5, batch=4) for _ in range(2)), rtol=0, atol=0)


def test_scores_by_the_table_are_as_large_as_those_of_full_queries(load: Load) -> None:
    model = load("joint")
    pairs = [(example.query, example.positive) for example in EXAMPLES]
    table = scaled(model, idf(model, ["the brain"]), pairs)
    own = [encoding.weights for encoding in model.encode([query for query, _ in pairs], "query")]
    by_table = [looked_up(model, table, query) for query, _ in pairs]
    documents = [encoding.weights for encoding in model.encode([document for _, document in pairs], "document")]
    full, found = ([q.dot(d) for q, d in zip(queries, documents, strict=True)] for queries in (own, by_table))
    assert np.mean(found) == pytest.approx(np.mean(full))


def looked_up(model: Model, table: torch.Tensor, query: str) -> TermWeights:
    ids = sorted(set(model.tokenize([query], "query")[0].ids))
    return TermWeights.from_pairs((i, float(table[i])) for i in ids if table[i] > 0)


def test_what_has_no_terms_no_texts_or_no_examples(load: Load) -> None:
    with pytest.raises(TypeError, match="a colbert model has no term weights"):
        idf(load("colbert"), ["text"])
    model = load("splade")
    with pytest.raises(ValueError, match="no texts"):
        idf(model, [])
    with pytest.raises(ValueError, match="no examples"):
        learned(model, [], torch.ones(len(model.vocabulary)))
    with pytest.raises(ValueError, match="no document has a term of its query"):
        scaled(model, torch.zeros(len(model.vocabulary)), [("brain", "brain")])


def test_the_command_writes_a_table_that_the_model_loads(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.save(load("joint"), tmp_path / "model")
    digest = hub.digest(tmp_path / "model")
    lines = [{"_id": str(i), "title": e.query, "text": e.positive} for i, e in enumerate(EXAMPLES)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data.write(tmp_path / "examples.jsonl", EXAMPLES)
    places = [str(tmp_path / "model"), str(tmp_path / "corpus.jsonl")]
    tables = []
    for options in ([], ["--unscaled"], ["--learn", str(tmp_path / "examples.jsonl"), "--steps", "3"]):
        main([*places, *options])
        assert json.loads(capsys.readouterr().out)["documents"] == len(EXAMPLES)
        model = hub.load(tmp_path / "model", device="cpu", dtype="fp32")
        found = model.idf(model.tokenize(["the brain"], "query")[0])
        assert found is not None
        assert set(found) == {model.tokenizer.id_of("the"), model.tokenizer.id_of("brain")}
        assert model.digest == hub.digest(tmp_path / "model", "joint")
        tables.append(found)
    assert tables[0] != tables[1] != tables[2]
    assert hub.digest(tmp_path / "model") == digest
