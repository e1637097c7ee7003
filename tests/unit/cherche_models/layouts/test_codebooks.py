"""A codebook lies beside the head that it was trained on, and goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.codes import codebook
from cherche_models.errors import CheckpointError
from cherche_models.losses import JointLoss
from cherche_models.models import Joint, Model
from cherche_models.train import Example, Settings, fit, head
from cherche_models.train.codebook import train_codebook
from tests import checkpoints

TEXTS = [f"neural search of the brain, protein {i} of a cell" for i in range(40)]


def test_a_model_keeps_its_codebook_and_its_digest(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    before = hub.load(tmp_path, device="cpu")
    assert before.codebook is None
    book = train_codebook(before, TEXTS, 8)
    path = hub.save_codebook(book, tmp_path)
    assert path == tmp_path / "colbert" / "codebook.safetensors"
    after = hub.load(tmp_path, device="cpu")
    assert after.codebook is not None
    assert after.codebook.digest == book.digest
    assert after.digest == before.digest
    hub.save(after, tmp_path / "again")
    again = hub.load(tmp_path / "again", device="cpu")
    assert again.codebook is not None
    assert again.codebook.digest == book.digest


def test_another_model_in_the_same_place_has_not_its_codebook(tmp_path: Path) -> None:
    """Training, a new head and a narrower one each make another model of it."""
    base = checkpoints.masked_lm(tmp_path / "base")

    def made() -> Model:
        model = hub.load(base, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=8)
        train_codebook(model, TEXTS, 8)
        return model

    pairs = [Example("neural search", TEXTS[0]), Example("a cell", TEXTS[1])]
    hub.save(made(), tmp_path / "saved")
    for change in (
        lambda model: fit(model, lambda _: pairs, JointLoss(), Settings(steps=1)),
        head.identity,
        lambda model: head.narrow(model, TEXTS, 4),
    ):
        model = made()
        change(model)
        hub.save(model, tmp_path / "saved")
        assert hub.load(tmp_path / "saved", device="cpu").codebook is None


def test_a_colbert_in_pylates_layout_keeps_it_at_its_root(tmp_path: Path) -> None:
    folder = checkpoints.pylate(tmp_path)
    model = hub.load(folder, device="cpu", dtype="fp32")
    assert hub.save_codebook(train_codebook(model, TEXTS, 8), folder) == folder / codebook.FILE
    loaded = hub.load(folder, device="cpu", dtype="fp32")
    assert loaded.codebook is not None
    assert loaded.digest == model.digest


def test_a_damaged_codebook_is_an_error_not_a_surprise(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    (tmp_path / "colbert" / codebook.FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is no codebook"):
        hub.load(tmp_path, device="cpu")
