"""A recipe runs from files to a folder that loads; what it says is checked before anything is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import DataError
from cherche_models.losses import JointLoss
from cherche_models.models import ColBERT
from cherche_models.train import Settings, Teacher, data, log, stream
from cherche_models.train import recipe_file as recipe
from cherche_models.train.__main__ import main
from cherche_models.train.plan import cost
from cherche_models.train.processes import Processes
from cherche_models.train.recipe_file import RecipeError
from cherche_models.train.run import run
from cherche_models.train.sources import WithoutQueries
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import EXAMPLES, WORDS, Load

MINIMAL = """
base = "base"
architecture = "{architecture}"
dim = 8
batch = 4

[training]
steps = 6
learning_rate = 1e-3
query_length = 16
document_length = 16
save_every = 2
{training}

[[data]]
{data}
license = "cc0-1.0"

{more}
"""


def written(
    folder: Path,
    base: Path,
    architecture: str = "colbert",
    training: str = "",
    data: str = 'jsonl = "pairs.jsonl"',
    more: str = "",
) -> Path:
    if not (folder / "base").exists():
        (folder / "base").symlink_to(base)
    path = folder / "recipe.toml"
    path.write_text(MINIMAL.format(architecture=architecture, training=training, data=data, more=more))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    data.write(path, EXAMPLES * 3)
    with path.open("a") as lines:
        lines.write('{"query": "no positive"}\n')
    return tmp_path


class Told:
    """What a run tells."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
        json.dumps(values)
        self.all.append((kind, values))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [values for found, values in self.all if found == kind]


@pytest.mark.parametrize("architecture", ["colbert", "splade", "sparse_embed", "joint"])
def test_a_recipe_becomes_a_model_that_loads(architecture: str, base: Path, pairs: Path) -> None:
    told = Told()
    more = "[evaluation]\nheld_out = 3\nevery = 3\n"
    result = run(written(pairs, base, architecture, more=more), pairs / "out", told)
    model = hub.load(pairs / "out", device="cpu", dtype="fp32")
    assert model.architecture == architecture
    (plan,) = told.of("plan")
    assert (plan["sources"][0]["examples"], plan["sources"][0]["refused"]) == (24, 1)
    assert 'pairs.jsonl:25: "positive" has no text' in plan["sources"][0]["first"][0]
    assert plan["seconds"] > 0
    assert plan["memory"] > 1 << 20
    assert plan["passes"] == 1.0
    assert [step["step"] for step in told.of("step")] == [1, 2, 3, 4, 5, 6]
    assert [found["step"] for found in told.of("measured")] == [0, 3, 6]
    assert result["best"]["mrr"] == max(found["mrr"] for found in told.of("measured")[1:])
    text = (pairs / "out" / "README.md").read_text()
    assert "license: unknown" in text
    assert "24 examples, 1 lines refused | cc0-1.0" in text
    assert f"| mrr | {plan['before']['mrr']:.4f} | {result['best']['mrr']:.4f} |" in text
    assert str(pairs) not in text
    assert (pairs / "out" / "curves.svg").read_text().startswith("<?xml")
    assert (pairs / "out" / "recipe.toml").exists()


def test_the_plan_costs_nothing_but_time(load: Load) -> None:
    model = load("joint", dropout=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = stream.shuffled(EXAMPLES, 3, 0)
    times = iter(range(100))
    found = cost(
        model, batches, JointLoss(), Settings(steps=99, accumulate=2, ema=0.9), None, Processes(), lambda: next(times)
    )
    assert found.seconds_per_step == 1.0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_run_that_was_stopped_goes_on_and_its_log_has_each_step_once(base: Path, pairs: Path) -> None:
    path = written(pairs, base)
    whole = Told()
    run(path, pairs / "whole", whole)

    class Stopped(Told):
        def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
            super().__call__(kind, values)
            if kind == "step" and values["step"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, pairs / "again", Stopped())
    told = Told()
    run(path, pairs / "again", told)
    assert told.of("plan")[0]["done"] == 2
    entries = list(log.read(pairs / "again" / "training" / "log.jsonl"))
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["loss"] for entry in entries] == [step["loss"] for step in whole.of("step")]


def test_only_the_plan(base: Path, pairs: Path) -> None:
    told = Told()
    assert list(run(written(pairs, base), pairs / "out", told, plan_only=True)) == ["plan"]
    assert not (pairs / "out").exists()
    assert not told.of("step")


def test_a_sentence_encoder_becomes_a_colbert_taught_by_a_cross_encoder(tmp_path: Path, pairs: Path) -> None:
    encoder = checkpoints.encoder(tmp_path / "sentences")
    pooling = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling", "name": "1", "idx": 1}
    body = {"type": "sentence_transformers.models.Transformer", "path": "", "name": "0", "idx": 0}
    (encoder / "modules.json").write_text(json.dumps([body, pooling]))
    checkpoints.classifier(pairs / "cross")
    teacher = '[teacher]\ncross_encoder = "cross"\nmax_length = 24\nmargin = 0.05\n'
    more = f"{teacher}[loss]\nteacher = 1.0\nmargin = 0.1\nrank = 0.0\n"
    told = Told()
    run(written(pairs, encoder, more=more), pairs / "out", told)
    assert hub.load(pairs / "out", device="cpu").architecture == "colbert"
    scored = list(data.read(pairs / "out" / "training" / "examples-0.jsonl"))
    assert len(scored) == 24
    assert any(len(e.negatives) < 7 for e in scored)
    assert all(value < e.scores[0] - 0.05 for e in scored for value in e.scores[1:])
    parts = [entry["parts"] for entry in log.read(pairs / "out" / "training" / "log.jsonl")]
    assert any(part.get("maxsim_teacher") and part.get("maxsim_margin") for part in parts)


def test_a_sentence_encoder_keeps_its_hidden_states_until_they_are_narrowed(tmp_path: Path, pairs: Path) -> None:
    """What a strong small ColBERT is made of: identity head, teacher and labels, frozen words, sources with shares."""
    encoder = checkpoints.encoder(tmp_path / "sentences")
    checkpoints.encoder(pairs / "teacher", seed=3)
    data.write(pairs / "more.jsonl", EXAMPLES[:3])
    more = """
[[data]]
jsonl = "more.jsonl"
share = 0.34
[teacher]
sentence_transformer = "teacher"
temperature = 0.1
[loss]
teacher = 1.0
rank = 0.5
[head]
identity = true
skip_punctuation = true
narrow = 6
[evaluation]
held_out = 2
"""
    path = written(pairs, encoder, training="word_rate = 0.0", more=more)
    path.write_text("query_length = 20\ndocument_length = 28\n" + path.read_text().replace("dim = 8\n", ""))
    told = Told()
    result = run(path, pairs / "out", told)
    model = hub.load(pairs / "out", device="cpu", dtype="fp32")
    assert isinstance(model, ColBERT)
    assert model.dim == 6
    assert (model.formats["query"].max_length, model.formats["document"].max_length) == (20, 28)
    assert model.tokenizer.id_of(".") in model.projection.skip.tolist()
    start = hub.load(encoder, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    torch.testing.assert_close(*(m.backbone.model.get_input_embeddings().weight for m in (model, start)))
    assert list(result["narrow"]) == list(result["best"])
    assert "Narrowed to 6 dimensions, as it is stored: mrr" in (pairs / "out" / "README.md").read_text()
    parts = [entry["parts"] for entry in log.read(pairs / "out" / "training" / "log.jsonl") if "parts" in entry]
    assert all(part["maxsim"] and part["maxsim_teacher"] for part in parts)


def test_a_sentence_encoder_teaches_and_adapters_learn(tmp_path: Path, base: Path, pairs: Path) -> None:
    checkpoints.encoder(pairs / "teacher", seed=3)
    more = '[teacher]\nsentence_transformer = "teacher"\n[loss]\nteacher = 1.0\n[lora]\nrank = 2\n'
    told = Told()
    run(written(pairs, base, "splade", more=more), pairs / "out", told)
    (plan,) = told.of("plan")
    assert plan["trained"] < plan["parameters"] / 4
    assert hub.load(pairs / "out", device="cpu", dtype="fp32").architecture == "splade"


def test_a_sentence_encoder_leaves_out_negatives_that_it_likes(base: Path, pairs: Path) -> None:
    checkpoints.encoder(pairs / "teacher", seed=3)
    more = '[teacher]\nsentence_transformer = "teacher"\nmargin = 0.01\n'
    run(written(pairs, base, more=more), pairs / "out", Told())
    kept = list(data.read(pairs / "out" / "training" / "examples-0.jsonl"))
    teacher = Teacher(pairs / "teacher")
    assert 0 < sum(len(e.negatives) for e in kept) < 7 * len(kept)
    for example, given in zip(kept, EXAMPLES * 3, strict=True):
        (positive,), (asked,) = teacher.embed([given.positive]), teacher.embed([given.query], "query")
        cosines = teacher.embed(list(given.negatives)) @ asked
        liked = [t for t, c in zip(given.negatives, cosines.tolist(), strict=True) if c < positive @ asked - 0.01]
        assert list(example.negatives) == liked


def test_a_recipe_trains_the_last_layers_alone(base: Path, pairs: Path) -> None:
    told = Told()
    path = written(pairs, base, "splade")
    path.write_text("train_layers = 1\n" + path.read_text())
    run(path, pairs / "out", told)
    (plan,) = told.of("plan")
    assert plan["trained"] < plan["parameters"]
    before, after = (
        hub.load(f, device="cpu", dtype="fp32", architecture="splade").backbone.model for f in (base, pairs / "out")
    )
    same = [
        torch.equal(*(model.base_model.encoder.layer[layer].output.dense.weight for model in (before, after)))
        for layer in (0, 1)
    ]
    assert same == [True, False]


def test_the_library_alone_runs_a_recipe_and_tells_in_json(
    base: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(written(pairs, base)), str(pairs / "out")])
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [next(iter(one)) for one in told] == ["plan", *["step"] * 6, "done"]
    assert told[-1]["done"]["steps"] == 6
    assert hub.load(pairs / "out", device="cpu").architecture == "colbert"


def test_judged_queries_are_mined_and_some_set_aside(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": str(i), "text": f"{word} of the document {word}"} for i, word in enumerate(WORDS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    queries = [{"_id": f"q{i}", "text": f"the {word}"} for i, word in enumerate(WORDS)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    (folder / "qrels" / "train.tsv").write_text("".join(f"q{i}\t{i}\t1\n" for i in range(len(WORDS))))
    told = Told()
    more = "[evaluation]\nheld_out = 2\n"
    run(written(tmp_path, base, "joint", data='beir = "beir"', more=more), tmp_path / "out", told)
    (plan,) = told.of("plan")
    assert plan["sources"][0]["examples"] == 6
    assert plan["measured_on"] == "2 queries of beir (train) set aside"
    assert list(plan["before"]) == ["ndcg@10", "sparse", "rerank"]
    examples = list(data.read(tmp_path / "out" / "training" / "examples-0.jsonl"))
    assert all(e.positive not in e.negatives and len(e.negatives) == 7 for e in examples)


def test_a_dataset_is_read_from_disk_and_as_a_stream(base: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"anchor": e.query, "positive": e.positive, "negative": e.negatives[0]} for e in EXAMPLES]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
    for streaming in ("false", "true"):
        told = Told()
        source = f'dataset = "{tmp_path / "rows"}"\nstreaming = {streaming}'
        run(written(tmp_path, base, data=source), tmp_path / streaming, told)
        (plan,) = told.of("plan")
        assert plan["sources"][0]["examples"] == (-1 if streaming == "true" else 8)


WRONG = {
    "stesp = 3": "training.stesp: unknown key — known here: steps,",
    'steps = "many"': "training.steps: input should be a valid integer",
    "ema = 1.5": "training.ema is 1.5: give at least 0, less than 1",
    "accumulate = 0": "training.accumulate is 0: give at least 1",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_recipe_names_the_key_and_the_next_step(line: str, base: Path, tmp_path: Path) -> None:
    path = written(tmp_path, base, training=line)
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
        recipe.read(written(tmp_path, base, more=more))
    assert MORE[more.removeprefix("[card]\n")] in str(caught.value)
    assert "more)" not in str(caught.value)


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("base = ")
    with pytest.raises(RecipeError, match="is not TOML"):
        recipe.read(tmp_path / "bad.toml")


def test_too_much_set_aside_is_an_error(base: Path, pairs: Path) -> None:
    with pytest.raises(DataError, match="24 of 24 examples cannot be held out"):
        run(written(pairs, base, more="[evaluation]\nheld_out = 24\n"), pairs / "out", Told())


def test_no_query_that_is_set_aside_is_trained_on() -> None:
    rest = WithoutQueries(EXAMPLES, [EXAMPLES[2].query, EXAMPLES[3].query])
    assert len(rest) == 8
    assert [rest[i] for i in (1, 2, 3)] == [EXAMPLES[1], EXAMPLES[4], EXAMPLES[4]]
    with pytest.raises(DataError, match="every example is held out"):
        WithoutQueries(EXAMPLES[:1], [EXAMPLES[0].query])[0]
