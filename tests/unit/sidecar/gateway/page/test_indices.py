"""What an index takes, from a sample of its documents."""

from __future__ import annotations

from cherche_models.codes.terms import pack_terms
from cherche_models.types import TermWeights
from sidecar.gateway.page.indices import parts_of
from sidecar.values.documents import StoredDocument


def document(terms: int, codes: bytes | None) -> StoredDocument:
    weights = TermWeights.from_pairs((i, 1.0) for i in range(terms))
    return StoredDocument("a", {}, "h", "ok", None, pack_terms(weights), codes)


def test_parts_are_scaled_from_the_encoded_documents_of_the_sample() -> None:
    sampled = [document(10, b"c" * 100), document(20, None), StoredDocument("b", {})]
    packed = sum(len(one.terms or b"") for one in sampled)
    assert parts_of(sampled, 4) == {"weights": 2 * 30 * 4, "packed terms": 2 * packed, "token codes": 2 * 100}


def test_an_empty_index_takes_nothing() -> None:
    assert parts_of([], 0) == {"weights": 0, "packed terms": 0, "token codes": 0}
