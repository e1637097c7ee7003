"""Single texts as callers get them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.prune import Prune
from cherche_models.types import Encoding, TermWeights, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError, Code
from sidecar.pipeline.encoded_texts import leaving_weights, scorable_codes, slowest
from sidecar.values.model import Encoded
from sidecar.values.search import Timings

WEIGHTS = TermWeights.from_pairs([(1, 0.1), (2, -1.0), (3, 2.0), (4, 0.0)])
TOKENS = Tokens((1,), ("a",), 1)


def encoded(embeddings: TokenEmbeddings | None) -> Encoded:
    return Encoded(TOKENS, Encoding(None, embeddings), tokenize=0.25, queue=0.5, encode=1.0)


def test_weights_of_a_document_are_on_the_grid_and_those_of_a_query_are_not() -> None:
    assert dict(leaving_weights(WEIGHTS, "document", Prune()).items()) == {1: 0.10009765625, 3: 2.0}
    assert dict(leaving_weights(WEIGHTS, "query", Prune()).items()) == {1: pytest.approx(0.1, rel=1e-7), 3: 2.0}


@pytest.mark.parametrize("kind", ["document", "query"])
def test_both_are_pruned(kind: str) -> None:
    kept = leaving_weights(WEIGHTS, kind, Prune("top_k", 1))  # type: ignore[arg-type]  # a parametrized literal
    assert kept.ids.tolist() == [3]


def test_a_texts_codes_are_those_an_index_would_hold() -> None:
    embeddings = TokenEmbeddings(np.eye(4, dtype=np.float32))
    assert scorable_codes(encoded(embeddings), "text 0") == codec.pack_codes(embeddings)


@pytest.mark.parametrize("embeddings", [None, TokenEmbeddings(np.zeros((0, 4), np.float32))])
def test_a_text_without_tokens_cannot_be_scored(embeddings: TokenEmbeddings | None) -> None:
    error = scorable_codes(encoded(embeddings), "text 'a'")
    assert isinstance(error, ChercheError)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "text 'a' has no token to compare with")


def test_a_broken_embedding_names_the_text() -> None:
    error = scorable_codes(encoded(TokenEmbeddings(np.full((1, 4), np.nan, np.float32))), "text 'a'")
    assert isinstance(error, ChercheError)
    assert error.code is Code.INTERNAL
    assert error.reason.startswith("text 'a': ")


def test_a_call_waited_for_the_slowest_of_its_texts_in_each_stage() -> None:
    one = encoded(None)
    assert slowest([one, replace(one, tokenize=0.125, queue=2.0)], 9.0) == Timings(0.25, 2.0, 1.0, total=9.0)
    assert slowest([], 1.0) == Timings(total=1.0)
