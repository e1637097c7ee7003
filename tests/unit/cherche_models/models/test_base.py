"""What all models share: lengths, parts that fit, texts without tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models.models import Joint, Model, Splade
from cherche_models.tokenizer import Kind, TextFormat
from tests import checkpoints


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
