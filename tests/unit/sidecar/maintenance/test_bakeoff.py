"""Models measured on the same documents: which stages they have, and what is scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cherche_models.codes.terms import pack_terms
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.bakeoff import (
    BM25,
    HYBRID,
    RERANK,
    Corpus,
    Measured,
    Options,
    lexical_stage,
    measure_model,
    measure_scorer,
)
from sidecar.maintenance.projection import stored_bytes
from sidecar.models.library import lexical_index
from sidecar.pipeline.encode import NeuralPart
from sidecar.testing import NAN, FakeModel

DOCUMENTS = {
    "1": ["Aspirin", "aspirin prevents stroke"],
    "2": ["", "ducks swim on the pond"],
    "3": ["Cardiac care", "cardiac patients need care"],
}
CORPUS = Corpus(DOCUMENTS, {"q1": "aspirin", "q2": "heart", "q3": "unheard"})
LEXICAL = lexical_index(DOCUMENTS)
FIRST = lexical_stage(CORPUS, LEXICAL, 10)


def measured(model: FakeModel) -> Measured:
    return measure_model(model, CORPUS, LEXICAL, FIRST, Options(window=10), lambda done, wanted: None)


def test_bm25_alone_is_what_the_index_in_memory_says() -> None:
    assert FIRST.rankings == {"q1": ["1"], "q2": [], "q3": []}
    assert FIRST.windows["q1"].scores.tolist() == [dict(LEXICAL("aspirin", 10))["1"]]


def test_a_joint_model_has_all_stages_and_finds_by_its_expansions() -> None:
    model = FakeModel(synonyms={"heart": "cardiac"})
    found = measured(model)
    assert list(found.stages) == [HYBRID, RERANK]
    assert found.first.name == "bm25 + fake"
    assert found.stages[HYBRID]["q2"] == ["3"]
    assert found.final is found.stages[RERANK]
    assert found.final["q3"] == []


@pytest.mark.parametrize(
    ("heads", "stages", "first"),
    [((True, False), [HYBRID], "bm25 + fake"), ((False, True), [RERANK], BM25)],
)
def test_a_model_with_one_head_has_the_stages_of_that_head(
    heads: tuple[bool, bool], stages: list[str], first: str
) -> None:
    found = measured(FakeModel(sparse=heads[0], late_interaction=heads[1]))
    assert list(found.stages) == stages
    assert found.first.name == first


def test_the_bytes_are_those_that_an_index_would_store() -> None:
    model = FakeModel()
    both = measured(model).cost
    weights = measured(FakeModel(late_interaction=False)).cost
    codes = measured(FakeModel(sparse=False)).cost
    assert both.stored_bytes == weights.stored_bytes + codes.stored_bytes
    expected = 0.0
    for (encoding,) in (model.encode(model.tokenize([CORPUS.text(key)], "document"), "document") for key in DOCUMENTS):
        assert encoding.weights is not None
        expected += stored_bytes(NeuralPart(encoding.weights, None, 0, truncated=False))
        assert pack_terms(encoding.weights)
    assert weights.stored_bytes == expected
    assert both.documents == 3
    assert both.seconds > 0
    assert len(both.query_seconds) == 3


def test_a_weight_of_0_keeps_the_first_stage_and_1_leaves_maxsim_alone() -> None:
    corpus = Corpus({"a": ["cat cat cat"], "b": ["cat dog"], "c": ["bird"]}, {"q": "cat dog"})
    lexical = lexical_index(corpus.documents)
    first = lexical_stage(corpus, lexical, 10)
    for weight in (0.0, 1.0):
        found = measure_model(
            FakeModel(sparse=False), corpus, lexical, first, Options(rerank_weight=weight), lambda done, wanted: None
        )
        assert found.final["q"] == (first.rankings["q"] if weight == 0 else ["b", "a"])


def test_a_cross_encoder_orders_the_same_windows() -> None:
    first = measured(FakeModel(synonyms={"heart": "cardiac", "aspirin": "care"})).first
    assert len(first.windows["q1"].ids) == 2
    read: list[tuple[str, str]] = []

    def scorer(pairs: Sequence[tuple[str, str]]) -> list[float]:
        read.extend(pairs)
        return [float("cardiac" in text) for _, text in pairs]

    found = measure_scorer(scorer, CORPUS, first, lambda done, wanted: None)
    assert found.final["q1"] == ["3", "1"]
    assert ("heart", "Cardiac care cardiac patients need care") in read
    assert found.info is None
    assert (found.cost.documents, len(found.cost.query_seconds)) == (0, 3)


def test_nan_is_an_error_that_names_what_gave_it() -> None:
    corpus = Corpus({"1": [f"aspirin {NAN}"]}, {"q": "aspirin"})
    lexical = lexical_index(corpus.documents)
    first = lexical_stage(corpus, lexical, 10)
    with pytest.raises(ChercheError, match="NaN") as caught:
        measure_model(FakeModel(), corpus, lexical, first, Options(), lambda done, wanted: None)
    assert caught.value.code is Code.INTERNAL
    with pytest.raises(ChercheError, match="the cross-encoder gave NaN for query 'q'"):
        measure_scorer(lambda pairs: [np.nan] * len(pairs), corpus, first, lambda done, wanted: None)


def test_a_long_document_is_found_by_its_end() -> None:
    filler = " ".join(f"w{number}" for number in range(40))
    documents = {"long": [f"{filler} cardiac"], "other": ["duck pond"]}
    corpus, lexical = Corpus(documents, {"q": "heart"}), lexical_index(documents)
    model = FakeModel(max_length=12, synonyms={"heart": "cardiac"})
    first = lexical_stage(corpus, lexical, 10)
    found = measure_model(model, corpus, lexical, first, Options(window=10), lambda done, wanted: None)
    assert found.stages[HYBRID]["q"] == ["long"]
