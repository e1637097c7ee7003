"""Data is read in place, mined, scored and partly held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models.errors import DataError
from cherche_models.train import Teacher, data, sources
from cherche_models.train.run import run
from cherche_models.train.sources import WithoutQueries
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import EXAMPLES, WORDS
from tests.unit.cherche_models.train.recipe_files import Events, write_recipe


def test_a_sentence_encoder_leaves_out_negatives_that_it_likes(base: Path, pairs: Path) -> None:
    checkpoints.encoder(pairs / "teacher", seed=3)
    more = '[teacher]\nsentence_transformer = "teacher"\nmargin = 0.01\n'
    run(write_recipe(pairs, base, more=more), pairs / "out", Events())
    kept = list(data.read(pairs / "out" / "training" / "examples-0.jsonl"))
    teacher = Teacher(pairs / "teacher")
    assert 0 < sum(len(e.negatives) for e in kept) < 7 * len(kept)
    for example, given in zip(kept, EXAMPLES * 3, strict=True):
        (positive,), (asked,) = teacher.embed([given.positive]), teacher.embed([given.query], "query")
        cosines = teacher.embed(list(given.negatives)) @ asked
        liked = [t for t, c in zip(given.negatives, cosines.tolist(), strict=True) if c < positive @ asked - 0.01]
        assert list(example.negatives) == liked


def test_judged_queries_are_mined_and_some_set_aside(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_PAUSE", 0.0)  # seconds between reports, so that each example is one
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": str(i), "text": f"{word} of the document {word}"} for i, word in enumerate(WORDS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    queries = [{"_id": f"q{i}", "text": f"the {word} document"} for i, word in enumerate(WORDS)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    judgements = [f"q{i}\t{i}\t1\n" for i in range(len(WORDS))]
    (folder / "qrels" / "train.tsv").write_text("".join([*judgements, "q0\tgone\t1\n"]))
    events = Events()
    more = "[evaluation]\nheld_out = 2\n"
    run(write_recipe(tmp_path, base, "joint", data='beir = "beir"', more=more), tmp_path / "out", events)
    (plan,) = events.of("plan")
    assert plan["sources"][0]["examples"] == 6
    assert plan["measured_on"] == "2 queries of beir (train) set aside"
    mined = [event for event in events.of("progress") if event["what"] == "examples"]
    assert [event["done"] for event in mined] == [1, 2, 3, 4, 5, 6]
    notes = [note["text"] for note in events.of("note")]
    assert any(
        note.startswith("1 of 9 judged documents are not in the corpus of beir, such as 'gone'") for note in notes
    )
    assert list(plan["before"]) == ["ndcg@10", "sparse", "rerank"]
    examples = list(data.read(tmp_path / "out" / "training" / "examples-0.jsonl"))
    assert all(e.positive not in e.negatives and len(e.negatives) == 7 for e in examples)


def test_a_dataset_is_read_from_disk_and_as_a_stream(base: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"anchor": e.query, "positive": e.positive, "negative": e.negatives[0]} for e in EXAMPLES]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
    for streaming in ("false", "true"):
        events = Events()
        source = f'dataset = "{tmp_path / "rows"}"\nstreaming = {streaming}'
        run(write_recipe(tmp_path, base, data=source), tmp_path / streaming, events)
        (plan,) = events.of("plan")
        assert plan["sources"][0]["examples"] == (-1 if streaming == "true" else 8)


def test_too_much_set_aside_is_an_error(base: Path, pairs: Path) -> None:
    with pytest.raises(DataError, match="24 of 24 examples cannot be held out"):
        run(write_recipe(pairs, base, more="[evaluation]\nheld_out = 24\n"), pairs / "out", Events())


def test_no_query_that_is_set_aside_is_trained_on() -> None:
    rest = WithoutQueries(EXAMPLES, [EXAMPLES[2].query, EXAMPLES[3].query])
    assert len(rest) == 8
    assert [rest[i] for i in (1, 2, 3)] == [EXAMPLES[1], EXAMPLES[4], EXAMPLES[4]]
    with pytest.raises(DataError, match="every example is held out"):
        WithoutQueries(EXAMPLES[:1], [EXAMPLES[0].query])[0]
