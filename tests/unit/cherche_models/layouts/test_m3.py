"""BGE-M3's files give what its authors' code computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import M3
from tests import published
from tests.unit.cherche_models.layouts.peers import TEXTS, assert_same, load

SENTENCE = "neural search in the neural brain"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return published.bge_m3(tmp_path / "made")


def test_weights_and_vectors_are_those_of_the_authors_code(folder: Path) -> None:
    """FlagEmbedding's `_sparse_embedding` and `_colbert_embedding`, over transformers' own hidden states."""
    from transformers import AutoModel, AutoTokenizer

    model = load(folder)
    assert isinstance(model, M3)
    assert (model.dim, model.note, model.formats["document"].max_length) == (12, "", 40)
    words, body = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    inputs = words([SENTENCE, "brain"], return_tensors="pt", padding=True)
    colbert, sparse = (torch.load(folder / name) for name in ("colbert_linear.pt", "sparse_linear.pt"))
    with torch.inference_mode():
        hidden = body(**inputs).last_hidden_state
        weights = torch.relu(hidden @ sparse["weight"].T + sparse["bias"]).squeeze(-1)
        dense = torch.zeros(2, len(words)).scatter_reduce(1, inputs["input_ids"], weights, "amax")
        dense[:, [words.cls_token_id, words.eos_token_id, words.pad_token_id, words.unk_token_id]] = 0
        vectors = torch.nn.functional.normalize(hidden[:, 1:] @ colbert["weight"].T + colbert["bias"], dim=-1)
    for kind in ("query", "document"):
        for row, encoding in enumerate(model.encode([SENTENCE, "brain"], kind)):
            found = np.zeros(len(words), np.float32)
            found[encoding.weights.ids] = encoding.weights.weights
            np.testing.assert_allclose(found, dense[row], atol=1e-5)
            real = int(inputs["attention_mask"][row].sum()) - 1
            np.testing.assert_allclose(encoding.embeddings.vectors, vectors[row, :real], atol=1e-5)
    (tokens,) = model.tokenize([SENTENCE], "document")
    assert model.kept(tokens, "document") == list(range(1, len(tokens)))


def test_it_comes_back_as_safetensors(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    model.rerank_weight = 0.75
    hub.save(model, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert_same(model, again)
    assert again.rerank_weight == 0.75
    assert not list((tmp_path / "saved").glob("*.pt"))


def test_the_differentiable_pass_gives_the_same(folder: Path) -> None:
    model = load(folder)
    tokens = model.tokenize(TEXTS[:3], "document")
    with torch.no_grad():
        output = model(*model.collate(tokens, "document"), "document")
    for row, encoding in enumerate(model.encode(TEXTS[:3], "document")):
        dense = output.weights[row].numpy()
        np.testing.assert_allclose(dense[encoding.weights.ids], encoding.weights.weights, atol=1e-5)
        assert (dense > 0).sum() == len(encoding.weights)
        np.testing.assert_allclose(output.embeddings[row][output.mask[row]], encoding.embeddings.vectors, atol=1e-5)


def test_both_maps_count_for_the_digest(folder: Path) -> None:
    digests = {hub.digest(folder)}
    for name in ("colbert_linear.pt", "sparse_linear.pt"):
        stored = torch.load(folder / name)
        torch.save({**stored, "bias": stored["bias"] + 1}, folder / name)
        digests.add(hub.digest(folder))
    assert len(digests) == 3


@pytest.mark.parametrize("form", ["pylate", "sentence-transformers", "neural-cherche"])
def test_other_libraries_have_no_place_for_it(form: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no place|cannot be exported|has no m3 model"):
        hub.export(load(folder), tmp_path / "export", format=form)


def test_a_map_of_another_width(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1, 5), "bias": torch.zeros(1)}, folder / "sparse_linear.pt")
    with pytest.raises(CheckpointError, match=r"sparse_linear\.pt has no weight from 32 dimensions"):
        load(folder)
