"""A folder's work is taken up by what made it, and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models.train import data
from cherche_models.train.run import run
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import EXAMPLES, WORDS
from tests.unit.cherche_models.train.recipe_files import Events, write_recipe

RECIPE = """
base = "base"
architecture = "colbert"
dim = 8
batch = 4
document_length = 20
[training]
steps = 2
query_length = 16
document_length = 16
[[data]]
jsonl = "pairs.jsonl"
[teacher]
sentence_transformer = "teacher"
temperature = 0.1
[loss]
teacher = 1.0
[evaluation]
held_out = 2
"""
CHANGES = {
    "steps = 2": ("steps = 3", "training.steps was 2 and is 3"),
    "batch = 4": ("batch = 3", "batch was 4 and is 3"),
    "dim = 8": ("dim = 6", "dim was 8 and is 6"),
    "\ndocument_length = 20": ("", "document_length was 20 and is None"),
    "document_length = 16": ("document_length = 12", "training.document_length was 16 and is 12"),
    "teacher = 1.0": ("teacher = 0.5", "loss.teacher was 1.0 and is 0.5"),
    "temperature = 0.1": ("temperature = 0.2", "teacher.temperature was 0.1 and is 0.2"),
    '"teacher"': ('"other"', "teacher.sentence_transformer was "),
    'base = "base"': ('base = "rebuilt"', "base was "),
    '"pairs.jsonl"': ('"fewer.jsonl"', "data.0.jsonl was "),
    "held_out = 2": ("held_out = 5", "evaluation.held_out was 2 and is 5"),
    "[loss]": ("[head]\nskip_punctuation = true\n[loss]", "head.skip_punctuation was False and is True"),
}


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with what other recipes are made of beside it."""
    folder = tmp_path_factory.mktemp("trained")
    data.write(folder / "pairs.jsonl", EXAMPLES * 2)
    data.write(folder / "fewer.jsonl", EXAMPLES)
    (folder / "base").symlink_to(base)
    checkpoints.masked_lm(folder / "rebuilt", seed=5)
    checkpoints.encoder(folder / "teacher", seed=3)
    checkpoints.encoder(folder / "other", seed=4)
    (folder / "recipe.toml").write_text(RECIPE)
    run(folder / "recipe.toml", folder / "out", Events())
    return folder


@pytest.mark.parametrize("line", CHANGES)
def test_another_recipe_in_the_same_folder_is_refused_by_the_key_that_differs(line: str, trained: Path) -> None:
    now, said = CHANGES[line]
    (trained / "changed.toml").write_text(RECIPE.replace(line, now, 1))
    with pytest.raises(ValueError, match="holds the state of another run") as caught:
        run(trained / "changed.toml", trained / "out", Events())
    assert said in str(caught.value)
    assert ";" not in str(caught.value)  # nothing else differs


def test_the_same_recipe_goes_on_wherever_its_files_are_and_whatever_its_card_says(trained: Path) -> None:
    moved = trained / "elsewhere"
    moved.mkdir()
    (moved / "renamed.jsonl").write_bytes((trained / "pairs.jsonl").read_bytes())
    text = RECIPE.replace('"pairs.jsonl"', '"renamed.jsonl"').replace('"base"', '"../base"')
    (moved / "recipe.toml").write_text(text.replace('"teacher"', '"../teacher"') + '[card]\nname = "another"\n')
    events = Events()
    run(moved / "recipe.toml", trained / "out", events)
    assert events.of("plan")[0]["done"] == 2
    assert not events.of("step")


def test_a_changed_file_of_the_same_name_is_refused(base: Path, pairs: Path) -> None:
    path = write_recipe(pairs, base)
    run(path, pairs / "out", Events())
    data.write(pairs / "pairs.jsonl", EXAMPLES)
    with pytest.raises(ValueError, match=r"another run: data\.0\.jsonl was '\w{16}' and is '\w{16}' — give the same"):
        run(path, pairs / "out", Events())


def test_examples_that_another_recipe_mined_are_mined_again(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": str(i), "text": f"{word} of the document {word}"} for i, word in enumerate(WORDS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    queries = [{"_id": f"q{i}", "text": f"the {word} document"} for i, word in enumerate(WORDS)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    (folder / "qrels" / "train.tsv").write_text("".join(f"q{i}\t{i}\t1\n" for i in range(len(WORDS))))

    def planned(held_out: int) -> list[str]:
        events = Events()
        more = f"[evaluation]\nheld_out = {held_out}\n"
        path = write_recipe(tmp_path, base, data='beir = "beir"', more=more)
        run(path, tmp_path / "out", events, plan_only=True)
        (plan,) = events.of("plan")
        assert plan["sources"][0]["examples"] == len(WORDS) - held_out
        return [note["text"] for note in events.of("note")]

    mined = "mining negatives for {} queries of beir"
    assert mined.format(6) in planned(2)
    assert not any(note.startswith("mining") for note in planned(2))
    notes = planned(4)
    assert "examples-0.jsonl is made again: evaluation.held_out was 2 and is 4" in notes
    assert mined.format(4) in notes
