"""The recipe runs from start to end on a small corpus, and a second call continues where the first one stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.models import Joint
from cherche_models.train import data
from cherche_models.train.recipes import small
from cherche_models.train.rows import Example
from tests import checkpoints
from tests.unit.cherche_models.train import mixture

SETTINGS = replace(small.SETTINGS, steps=3, document_length=24, query_length=16, save_every=1)
PHASES = (
    small.Phase("state", SETTINGS, small.LOSS),
    small.Phase("state-prose", replace(SETTINGS, steps=2, seed=1), small.LOSS, prose=0.5),
)
RECIPE = small.SmallRecipe(
    dim=8, document_length=32, query_length=16, batch=4, head_texts=40, head_steps=5, teachers=(small.BASE,)
)


def test_prose_is_a_long_text_asked_for_in_a_sentence() -> None:
    long, short = "word " * small.PROSE_WORDS, "word " * (small.PROSE_WORDS - 1)
    sentence, words = "how are the words of it read", "words of it"
    assert small.is_prose(Example(sentence, long, ()))
    assert not small.is_prose(Example(words, long, ()))
    assert not small.is_prose(Example(sentence, short, ()))


def test_a_share_of_a_batch_is_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Example("a query of a few more words", "word " * 60, ()),
        *(Example(f"q{i}", "word", ()) for i in range(99)),
    ]
    data.write(tmp_path / "train.jsonl", rows)
    monkeypatch.setattr(small, "RECIPE", RECIPE)
    batch = small.batches_of(tmp_path, replace(PHASES[1], prose=0.75))(0)
    assert len(batch) == 4
    assert sum(small.is_prose(example) for example in batch) >= 3


def test_the_model_that_ships_weighs_queries_as_the_recipe_says() -> None:
    stored = json.loads((hub.PRETRAINED / "cherche-small" / "cherche.json").read_text(encoding="utf-8"))
    assert stored["query_weighting"] == small.WEIGHTING.stored()


def test_a_second_call_trains_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = mixture.write(tmp_path / "corpus")
    monkeypatch.setattr(small, "RECIPE", RECIPE)
    monkeypatch.setattr(small, "PHASES", PHASES)
    monkeypatch.setattr(small, "PROSE_WORDS", 8)
    monkeypatch.setattr(small, "SENTENCE_WORDS", 1)
    checkpoints.encoder(tmp_path / "encoders" / small.BASE)
    arguments = ["--encoders", str(tmp_path / "encoders"), "--corpus", str(corpus), "--out", str(tmp_path / "out")]
    small.main(arguments)
    first = capsys.readouterr()
    assert [line.split()[0] for line in first.err.splitlines() if " loss " in line] == ["0", "1", "2", "0", "1"]
    model = hub.load(tmp_path / "out" / "cherche-small", device="cpu", dtype="fp32")
    assert isinstance(model, Joint)
    assert model.dim == 8
    assert model.codebook is not None
    assert model.query_table is not None
    assert model.query_weighting == small.WEIGHTING
    figures = json.loads(first.out)
    assert model.sparse_boost == figures["chosen"]["sparse_boost"]
    assert model.rerank_weight == figures["chosen"]["rerank_weight"]
    assert figures["sets"]["words"]["queries"] == 10
    assert {path.name for path in (tmp_path / "out").glob("*.svg")} == {"state.svg", "state-prose.svg"}
    written = json.loads((tmp_path / "out" / "small.json").read_text())
    assert written["sets"] == figures["sets"]
    assert [phase["settings"]["steps"] for phase in written["phases"]] == [3, 2]
    small.main(arguments)
    again = capsys.readouterr()
    assert " loss " not in again.err
    assert json.loads(again.out) == figures
