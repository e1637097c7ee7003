"""An invalid recipe is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models.train import recipe_file as recipe
from cherche_models.train.recipe_file import RecipeError
from tests.unit.cherche_models.train.recipe_files import write_recipe

WRONG = {
    "stesp = 3": "training.stesp: unknown key — known here: steps,",
    'steps = "many"': "training.steps: input should be a valid integer",
    "ema = 1.5": "training.ema is 1.5: give at least 0, less than 1",
    "accumulate = 0": "training.accumulate is 0: give at least 1",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_recipe_names_the_key_and_the_next_step(line: str, base: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, base, training=line)
    if line.startswith("steps"):
        path.write_text(path.read_text().replace("steps = 6\n", ""))
    with pytest.raises(RecipeError) as caught:
        recipe.read(path)
    assert WRONG[line] in str(caught.value)
    assert str(path) in caught.value.where
    assert caught.value.next_step


MORE = {
    '[teacher]\nsentence_transformer = "t"': "loss.teacher and loss.margin are 0",
    "[teacher]\nmargin = 1.0": "give exactly one of sentence_transformer and cross_encoder",
    '[teacher]\ncross_encoder = "c"': "loss.teacher and loss.margin are 0",
    "[evaluation]\nevery = 3": "give exactly one of held_out and beir",
    '[[data]]\njsonl = "pairs.jsonl"': "the same data is listed twice",
    "[extra]\nx = 1": "extra: unknown key",
    "[head]\nidentity = true": "leave out dim",
    "train_layers = 1": "card.train_layers: unknown key",
}


@pytest.mark.parametrize("more", MORE)
def test_what_does_not_fit_together_is_refused(more: str, base: Path, tmp_path: Path) -> None:
    if more.startswith("train"):
        more = f"[card]\n{more}"
    with pytest.raises(RecipeError) as caught:
        recipe.read(write_recipe(tmp_path, base, more=more))
    assert MORE[more.removeprefix("[card]\n")] in str(caught.value)
    assert "more)" not in str(caught.value)


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("base = ")
    with pytest.raises(RecipeError, match="is not TOML"):
        recipe.read(tmp_path / "bad.toml")
