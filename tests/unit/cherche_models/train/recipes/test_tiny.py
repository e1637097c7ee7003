import json

import pytest

from cherche_models import hub
from cherche_models.evaluate import read
from cherche_models.evaluate.stages import Postings, Stages, matrix
from cherche_models.models import Joint
from cherche_models.train.bm25 import BM25
from cherche_models.train.held_out import held_out
from cherche_models.train.recipes import tiny
from cherche_models.train.tune import stages, tune
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


def test_held_out_queries_share_no_document_with_the_rest():
    qrels = {f"q{i}": {f"d{i // 2}": 1} for i in range(40)}
    aside = held_out(qrels, 10, seed=0)
    assert len(aside) == 10
    taken = {document for query in aside for document in qrels[query]}
    assert taken.isdisjoint(document for query in qrels if query not in aside for document in qrels[query])
    assert aside == held_out(qrels, 10, seed=0) != held_out(qrels, 10, seed=1)


def test_one_large_group_is_never_held_out():
    qrels = {f"q{i}": {"shared": 1} for i in range(30)} | {f"r{i}": {f"d{i}": 1} for i in range(30)}
    assert all(query.startswith("r") for query in held_out(qrels, 20, seed=0))


def test_tuning_takes_the_best_of_what_it_measures(collection, tmp_path):
    scored_collection = read(collection, "train")
    model = hub.load(checkpoints.masked_lm(tmp_path), device="cpu", dtype="fp32", architecture="joint", new_head=True)
    index = BM25({key: (text,) for key, text in scored_collection.texts().items()})
    scored = stages(model, scored_collection, list(scored_collection.queries), index)
    tuned = tune([(scored, scored_collection)], boosts=(0.0, 1000.0), weights=(0.0, 1.0))
    assert tuned.sparse_boost == 0.0
    assert tuned.hybrid == 1.0
    assert (tuned.rerank_weight, tuned.reranked) == (0.0, 1.0)


def test_a_hybrid_is_the_sum_and_a_rerank_stays_in_its_window(collection, tmp_path):
    loaded = read(collection, "train")
    model = hub.load(checkpoints.masked_lm(tmp_path), device="cpu", dtype="fp32", architecture="joint", new_head=True)
    index = BM25({key: (text,) for key, text in loaded.texts().items()})
    scored: Stages = stages(model, loaded, list(loaded.queries), index)
    encoded = model.encode(list(loaded.texts().values()), "document")
    query = model.encode([loaded.queries["q1"]], "query")[0]
    expected = [query.weights.dot(encoding.weights) for encoding in encoded]
    assert Postings([e.weights for e in encoded]).scores(query.weights) == pytest.approx(expected)
    hybrid = scored.hybrid(2.0)
    assert hybrid[1] == pytest.approx(
        matrix([dict(index.search(loaded.queries["q1"], 10))], scored.ids)[0] + [2 * e for e in expected]
    )
    window = scored.rerank(hybrid, [0.0, 1.0], window=3)
    assert window[0.0] == scored.rank(hybrid, 3)
    assert all(set(window[1.0][q]) == set(window[0.0][q]) for q in scored.queries)
