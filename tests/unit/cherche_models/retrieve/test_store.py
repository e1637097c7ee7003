"""Index files: what cannot be saved or loaded is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer

from cherche_models import retrieve
from cherche_models.models import Joint
from cherche_models.retrieve import BM25, TfIdf
from tests.unit.cherche_models.retrieve.documents import NEURAL, words


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    words().save(tmp_path / "index")
    with pytest.raises(ValueError, match="kind 'bm25', not 'tfidf'"):
        TfIdf.load(tmp_path / "index")
    (tmp_path / "other").write_text("no index")
    with pytest.raises(ValueError, match="is not an index"):
        BM25.load(tmp_path / "other")
    with pytest.raises(ValueError, match="cannot be saved without pickle"):
        BM25("id", "text", CountVectorizer()).save(tmp_path / "own")


def test_an_index_belongs_to_its_model(joint: Joint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retrieve.ColBERT("id", "text", joint).add_documents(NEURAL).save(tmp_path / "index")
    monkeypatch.setattr(joint, "digest", "another")
    with pytest.raises(ValueError, match="encode the documents again"):
        retrieve.ColBERT.load(tmp_path / "index", model=joint)
