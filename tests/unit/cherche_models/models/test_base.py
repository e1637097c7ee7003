"""What all models share: lengths, parts that fit, texts without tokens, and how a new kind is added."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.layouts.checkpoint import Checkpoint, Head
from cherche_models.models import ARCHITECTURES, Joint, Model, Splade
from cherche_models.tokenizer import Kind, TextFormat
from tests import checkpoints


class Mean(Splade):
    """SPLADE with one more head, of one tensor."""

    architecture = "mean"
    heads = ("mean",)

    def _build(self, checkpoint: Checkpoint) -> None:
        super()._build(checkpoint)
        head = checkpoint.heads.get("mean")
        self.row = nn.Parameter(torch.rand(self.backbone.hidden_size) if head is None else head.tensor("row"))

    def _heads(self) -> dict[str, Head]:
        return {"mean": Head({"row": self.row}, {"pooling": "mean"})}


def test_a_new_head_is_a_class_and_an_entry_in_the_table(
    masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, Mean.architecture, Mean)
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="mean", new_head=True)
    hub.save(model, tmp_path)
    again = hub.load(tmp_path, device="cpu", dtype="fp32")
    assert isinstance(again, Mean)
    torch.testing.assert_close(again.row, model.row)
    assert type(hub.load(tmp_path, device="cpu", architecture="splade")) is Splade
    with pytest.raises(CheckpointError, match="cannot be loaded as joint"):
        hub.load(tmp_path, device="cpu", architecture="joint")
    with pytest.raises(ValueError, match="a mean model cannot be exported as 'pylate'"):
        hub.export(model, tmp_path / "export", format="pylate")


def test_a_text_without_any_token(joint: Joint) -> None:
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(20, special_tokens=False), dim=16)
    empty, full = model.encode(["", "neural"], "document")
    assert (len(empty.weights), len(empty.embeddings), empty.embeddings.dim) == (0, 0, 16)
    assert len(full.embeddings) == 1


def test_maximum_lengths(splade: Splade) -> None:
    assert len(splade.tokenize(["cell " * 200], "document")[0]) == checkpoints.POSITIONS
    with pytest.raises(ValueError, match="more than the 64 tokens"):
        splade.tokenize(["cell"], "document", max_length=65)


def test_parts_that_do_not_belong_together(splade: Splade, models_dir: Path) -> None:
    from cherche_models import tokenizer

    with pytest.raises(ValueError, match="do not belong together"):
        Splade(splade.backbone, tokenizer.load(models_dir / "splade-tiny"))


@pytest.mark.parametrize("kind", ["document", "query"])
def test_nothing_in_nothing_out(joint: Model, kind: Kind) -> None:
    assert joint.encode([], kind) == []
