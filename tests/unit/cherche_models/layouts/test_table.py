"""The table of layouts: each folder is recognised, and what a layout has no place for is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.layouts import table
from cherche_models.layouts.checkpoint import Head
from cherche_models.models import ColBERT, InferenceFree, Model, SparseEmbed, Splade
from cherche_models.tokenizer import TextFormat
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, colbert, load

LAYOUTS: dict[str, tuple[Callable[[Path], Path], type[Model]]] = {
    "masked-LM": (checkpoints.masked_lm, Splade),
    "old LayerNorm": (lambda folder: checkpoints.old_layer_norms(checkpoints.masked_lm(folder)), Splade),
    "neural-cherche ColBERT": (lambda folder: checkpoints.neural_cherche(folder, projection=8), ColBERT),
    "neural-cherche SPLADE": (lambda folder: checkpoints.neural_cherche(folder, masks=3), Splade),
    "neural-cherche SparseEmbed": (
        lambda folder: checkpoints.neural_cherche(folder, masks=3, projection=8),
        SparseEmbed,
    ),
    "PyLate": (checkpoints.pylate, ColBERT),
    "PyLate with a residual": (lambda folder: checkpoints.pylate(folder, residual=True), ColBERT),
    "Stanford": (checkpoints.stanford, ColBERT),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_and_comes_back_after_saving(layout: str, tmp_path: Path) -> None:
    make, kind = LAYOUTS[layout]
    model = load(make(tmp_path / "made"))
    assert type(model) is kind
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_formats_that_other_libraries_cannot_express_are_refused(splade: Splade, tmp_path: Path) -> None:
    masked = Splade(splade.backbone, splade.tokenizer, TextFormat(40, masks=3, terms=9))
    with pytest.raises(ValueError, match="no place for the document format's masks"):
        hub.export(masked, tmp_path)
    prompted = load(checkpoints.neural_cherche(tmp_path / "made", projection=8))
    with pytest.raises(ValueError, match="no place for the document format's prompt"):
        hub.export(prompted, tmp_path, format="pylate")


def test_heads_that_a_model_lacks_are_not_exported(splade: Splade, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be exported as 'pylate'"):
        hub.export(splade, tmp_path, format="pylate")
    with pytest.raises(ValueError, match="cannot be exported as 'sentence-transformers'"):
        hub.export(colbert(tmp_path / "made"), tmp_path)


def test_a_head_that_no_layout_reads_back_is_refused_before_anything_is_written(
    splade: Splade, masked_lm: Path, tmp_path: Path
) -> None:
    late = load(masked_lm, architecture="colbert", new_head=True, dim=8)
    free = InferenceFree(splade.backbone, splade.tokenizer, torch.rand(len(splade.vocabulary)), pooling="sum")
    for model in (late, free):
        whole = model.checkpoint()
        more = replace(whole, heads={**whole.heads, "other": Head({"a": torch.rand(2)})})
        with pytest.raises(TypeError, match="and other has no layout on disk"):
            table.write(more, tmp_path / "refused", None)
        assert not (tmp_path / "refused").exists()
