import json

import pytest

from cherche_models import hub
from cherche_models.evaluate import read
from cherche_models.models import Joint
from cherche_models.train.recipes import tiny
from tests import checkpoints

SUBJECTS = ("brain", "protein", "heart", "cell", "index", "token")


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scifact")
    (folder / "qrels").mkdir()
    text = (
        "The {0} is in a cell of the brain. A document of the {0} in neural search. The weight of a {0} and the heart."
    )
    with (folder / "corpus.jsonl").open("w") as corpus, (folder / "queries.jsonl").open("w") as queries:
        for i, subject in enumerate(SUBJECTS):
            corpus.write(json.dumps({"_id": f"d{i}", "title": f"the {subject}", "text": text.format(subject)}) + "\n")
            queries.write(json.dumps({"_id": f"q{i}", "text": f"{subject} in search"}) + "\n")
    rows = "".join(f"q{i}\td{i}\t1\n" for i in range(len(SUBJECTS)))
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return folder


@pytest.fixture
def arguments(collection, tmp_path):
    """A run of the recipe on next to nothing."""
    library = tmp_path / "library"
    library.mkdir()
    for name in SUBJECTS[:4]:
        text = f'"""Search a neural {name}.\n\nThe query and the document of the {name}."""\n'
        (library / f"{name}.py").write_text(text)
    return [
        *("--base", checkpoints.masked_lm(tmp_path / "base")),
        *("--teacher", checkpoints.encoder(tmp_path / "teacher")),
        *("--data", collection, "--library", library),
        *("--dim", 8, "--steps", 3, "--held-out", 2),
    ]


def test_the_recipe_runs_from_files_to_a_model_that_loads(arguments, tmp_path, capsys):
    tiny.main([str(part) for part in [*arguments, "--out", tmp_path / "out"]])
    printed = json.loads(capsys.readouterr().out)
    model = hub.load(tmp_path / "out" / "cherche-tiny", device="cpu", dtype="fp32")
    assert isinstance(model, Joint)
    assert model.dim == 8
    assert model.sparse_boost == printed["tuned"]["sparse_boost"]
    assert model.rerank_weight == printed["tuned"]["rerank_weight"]
    assert model.tokenizer.id_of(".") in model.projection.skip.tolist()
    lines = (tmp_path / "out" / "examples.jsonl").read_text().splitlines()
    sources = {json.loads(line)["source"] for line in lines}
    assert sources == {"judged", "title", "sentence", "docstring"}


def test_a_second_run_ends_as_the_mean_of_both_and_of_the_base(arguments, tmp_path, capsys):
    base, first = tmp_path / "base", tmp_path / "first" / "cherche-tiny"
    tiny.main([str(part) for part in [*arguments, "--out", tmp_path / "first"]])
    mixed = ["--average", f"{first}=0.35", "--average", f"{base}=0.3"]
    tiny.main([str(part) for part in [*arguments, "--out", tmp_path / "second", "--recipe", "general", *mixed]])
    assert json.loads(capsys.readouterr().out.partition("\n}\n")[2])["recipe"]["temperature"] == 0.02
    second = hub.load(tmp_path / "second" / "cherche-tiny", device="cpu", dtype="fp32")
    assert isinstance(second, Joint)
    assert second.dim == 8
    rows = (tmp_path / "second" / "examples.jsonl").read_text().splitlines()
    assert all(len(json.loads(row)["negatives"]) <= 12 for row in rows)


def test_what_documentation_is_tuned_on_is_not_trained_on(collection, tmp_path):
    for i in range(9):
        (tmp_path / f"m{i}.py").write_text(f'"""The query of part {i} here.\n\nAnd its document."""\n')
    recipe = tiny.TinyRecipe(held_out=3)
    judged = tiny.documentation(tmp_path, recipe)
    found = tiny.examples(read(collection, "train"), [], tmp_path, recipe)
    trained = {example.query for example in found if example.source == "docstring"}
    assert len(judged.documents) == 9
    assert len(judged.queries) == 3
    assert trained.isdisjoint(judged.queries.values())
    assert len(trained) == 6
    assert all(query not in str(judged.documents[key]) for key, query in judged.queries.items())
