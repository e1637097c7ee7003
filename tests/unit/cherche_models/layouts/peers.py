"""What tests of layouts compare: two models, or a model and what sentence-transformers makes of the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub
from cherche_models.models import ColBERT, Model
from tests import checkpoints

TEXTS = ["neural sparse search.", "the brain, of a cell", "protein " * 90, "heart (cell) index; document?", ""]


def load(folder: Path, **options: object) -> Model:
    return hub.load(folder, device="cpu", dtype="fp32", **options)


def assert_same(one: Model, other: Model) -> None:
    assert type(one) is type(other)
    assert one.formats == other.formats
    for kind in ("document", "query"):
        for a, b in zip(one.encode(TEXTS, kind), other.encode(TEXTS, kind), strict=True):
            assert a.weights == b.weights
            assert (a.embeddings is None) == (b.embeddings is None)
            if a.embeddings is not None:
                np.testing.assert_array_equal(a.embeddings.vectors, b.embeddings.vectors)


def sparse_encoder(folder: Path) -> Any:
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(folder), device="cpu")


def rows(model: Model, texts: list[str], kind: str) -> np.ndarray:
    dense = np.zeros((len(texts), len(model.vocabulary)), np.float32)
    for row, encoding in zip(dense, model.encode(texts, kind), strict=True):
        row[encoding.weights.ids] = encoding.weights.weights
    return dense


def assert_equal_weights(model: Model, peer: Any, texts: list[str] = TEXTS) -> None:
    for kind, encode in (("document", peer.encode_document), ("query", peer.encode_query)):
        theirs = encode(texts, convert_to_sparse_tensor=False).numpy()
        np.testing.assert_allclose(rows(model, texts, kind), theirs, atol=1e-4)


def colbert(folder: Path) -> ColBERT:
    model = load(checkpoints.pylate(folder))
    assert isinstance(model, ColBERT)
    return model


def assert_equal_embeddings(model: Model, folder: Path) -> None:
    """sentence-transformers' reader of PyLate's layout gives the same vectors, row by row."""
    from sentence_transformers import MultiVectorEncoder

    peer = MultiVectorEncoder(str(folder), device="cpu")
    for kind, encode in (("document", peer.encode_document), ("query", peer.encode_query)):
        theirs = encode(TEXTS, convert_to_numpy=True)
        for encoding, other in zip(model.encode(TEXTS, kind), theirs, strict=True):
            np.testing.assert_allclose(encoding.embeddings.vectors, other, atol=1e-4)
