from __future__ import annotations

import numpy as np
import pytest

from cherche_models import scores
from cherche_models.types import TokenEmbeddings


def embeddings(*rows, dim=2):
    return TokenEmbeddings(np.array(rows, np.float32).reshape(len(rows), dim))


def naive(query, document):
    """Khattab & Zaharia 2020, equation 3, written out."""
    return sum(max(float(np.dot(q, d)) for d in document.vectors) for q in query.vectors)


def test_equation_3():
    rng = np.random.default_rng(0)
    query = TokenEmbeddings(rng.standard_normal((5, 16)).astype(np.float32))
    documents = [TokenEmbeddings(rng.standard_normal((n, 16)).astype(np.float32)) for n in (1, 7, 2, 40)]
    found = scores.maxsim(query, scores.pack(documents))
    assert found.tolist() == pytest.approx([naive(query, document) for document in documents], rel=1e-5)


def test_negative_similarities_are_not_lifted_to_zero():
    document = embeddings([-1.0, 0.0])
    assert scores.maxsim(embeddings([1.0, 0.0]), scores.pack([document])).tolist() == [-1.0]


def test_documents_without_tokens_are_unknown_not_dissimilar():
    empty, full = embeddings(), embeddings([1.0, 0.0])
    query = embeddings([1.0, 0.0])
    found = scores.maxsim(query, scores.pack([empty, full, empty, empty, full, empty]))
    assert found.tolist() == [-np.inf, 1.0, -np.inf, -np.inf, 1.0, -np.inf]


def test_nothing_to_score():
    query = embeddings([1.0, 0.0])
    assert scores.maxsim(query, scores.pack([])).tolist() == []
    assert scores.maxsim(query, scores.pack([embeddings()])).tolist() == [-np.inf]
    assert scores.maxsim(embeddings(), scores.pack([query])).tolist() == [-np.inf]


def test_widths_must_agree():
    with pytest.raises(ValueError, match="encode both with the same model"):
        scores.maxsim(embeddings([1.0, 0.0]), scores.pack([embeddings([1.0], dim=1)]))
    with pytest.raises(ValueError, match=r"documents have \[1, 2\] dimensions"):
        scores.pack([embeddings([1.0], dim=1), embeddings([1.0, 0.0])])
    with pytest.raises(ValueError, match="encode both with the same model"):
        scores.align(embeddings([1.0, 0.0]), embeddings([1.0], dim=1))


def test_an_alignment_adds_up_to_the_score():
    rng = np.random.default_rng(1)
    query = TokenEmbeddings(rng.standard_normal((6, 8)).astype(np.float32))
    document = TokenEmbeddings(rng.standard_normal((9, 8)).astype(np.float32))
    alignment = scores.align(query, document)
    (score,) = scores.maxsim(query, scores.pack([document]))
    assert alignment.similarities.sum() == pytest.approx(float(score), rel=1e-5)
    for q, d, similarity in zip(query.vectors, alignment.tokens, alignment.similarities, strict=True):
        assert similarity == pytest.approx(float(q @ document.vectors[d]), rel=1e-5)


def test_ties_of_an_alignment_fall_to_the_first():
    assert scores.align(embeddings([1.0, 0.0]), embeddings([0.0, 1.0], [1.0, 0.0], [1.0, 0.0])).tokens.tolist() == [1]


def test_a_document_without_tokens_has_no_alignment():
    with pytest.raises(ValueError, match="no alignment"):
        scores.align(embeddings([1.0, 0.0]), embeddings())
