"""Any masked-LM or sentence-transformers checkpoint becomes any model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Splade
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


def sentence_transformer(folder: Path, inside: str = "") -> Path:
    """A checkpoint with mean pooling, its transformer in a folder of its own as old ones have it."""
    checkpoints.encoder(folder / inside)
    kinds = [("Transformer", inside), ("Pooling", "1_Pooling")]
    (folder / "modules.json").write_text(
        json.dumps(
            [{"idx": i, "path": path, "type": f"sentence_transformers.models.{k}"} for i, (k, path) in enumerate(kinds)]
        )
    )
    return folder


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_any_sentence_transformer_becomes_a_colbert(inside: str, tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "sentences", inside)
    with pytest.raises(CheckpointError, match="load it with new_head=True"):
        hub.load(folder, device="cpu", architecture="colbert")
    with pytest.raises(CheckpointError, match="use a masked-LM checkpoint for term weights"):
        hub.load(folder, device="cpu", architecture="splade")
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=8)
    hub.save(model, tmp_path / "saved")
    again = hub.load(tmp_path / "saved", device="cpu", dtype="fp32")
    for one, other in zip(model.encode(["brain cell"], "query"), again.encode(["brain cell"], "query"), strict=True):
        np.testing.assert_allclose(one.embeddings.vectors, other.embeddings.vectors, atol=1e-6)


@pytest.mark.parametrize("architecture", ["splade", "sparse_embed", "joint", "colbert"])
def test_masked_lm_and_splade_checkpoints_become_everything(
    architecture: str, masked_lm: Path, splade: Splade, tmp_path: Path
) -> None:
    hub.save(splade, tmp_path / "splade")
    for source in (masked_lm, tmp_path / "splade"):
        model = hub.load(source, device="cpu", dtype="fp32", architecture=architecture, new_head=True, dim=8)
        assert model.architecture == architecture
        out = tmp_path / f"{source.name}-{architecture}"
        hub.save(model, out)
        assert hub.load(out, device="cpu", dtype="fp32").architecture == architecture


def test_prompts_of_sentence_transformers_are_used(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query ", "passage": "document "}})
    )
    model = load(folder)
    assert (model.formats["query"].prompt, model.formats["document"].prompt) == ("query ", "document ")


def test_a_new_sparse_embed_keeps_the_prompts_and_bounds_its_terms(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "ask: "}}))
    model = hub.load(folder, device="cpu", architecture="sparse_embed", new_head=True)
    assert (model.formats["query"].prompt, model.formats["query"].terms) == ("ask: ", 64)
    assert model.formats["document"].terms == 256
