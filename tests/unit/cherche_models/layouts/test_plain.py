"""Any masked-LM checkpoint becomes any model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.models import Splade
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


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
