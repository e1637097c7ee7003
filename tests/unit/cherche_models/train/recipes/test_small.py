import bz2
import json

import pytest

from cherche_models import hub
from cherche_models.models import ColBERT
from cherche_models.train.corpus.wiki import passages
from cherche_models.train.recipes import small
from cherche_models.train.recipes.small import Phase
from tests import checkpoints

SHARES = (("judged", 2), ("wiki", 1), ("wikititle", 1))
PHASES = (Phase(2, 4, 1e-4, 1.0, SHARES), Phase(2, 4, 1e-4, 1.5, SHARES, dim=8, seed=1))
WORDS = "the cell of a brain in neural search with the weight of documents "


@pytest.fixture
def dump(tmp_path):
    page = "<page><title>{}</title><revision><text>{}</text></revision></page>"
    long = WORDS * 5
    article = f"{long}. And ''so'' on.\n== Heart ==\n* {long}\n{long} of a [[cell|protein]].\n== Notes ==\n{long}"
    others = [page.format("Talk: Brain", long), page.format("B", "#REDIRECT [[Brain]]")]
    pages = [page.format("Brain", article), *others]
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress(f"<mediawiki xmlns='urn:dump'>{''.join(pages)}</mediawiki>".encode()))
    return path


def test_passages_are_paragraphs_of_articles(dump):
    found = list(passages(dump))
    assert [one["title"] for one in found] == ["Brain", "Brain: Heart"]
    assert [one["_id"] for one in found] == ["w1", "w2"]
    assert str(found[1]["text"]).endswith("of a protein.")


def test_the_recipe_runs_and_a_second_call_runs_nothing_again(tmp_path, dump, capsys, monkeypatch):
    monkeypatch.setattr(small, "PHASES", PHASES)
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    subjects = ("brain", "protein", "heart", "cell", "index", "token")
    text = f"{{}} in a cell. {WORDS}."
    documents = [{"_id": f"d{i}", "title": f"the {s}", "text": text.format(s)} for i, s in enumerate(subjects)]
    queries = [{"_id": f"q{i}", "text": f"{s} in search"} for i, s in enumerate(subjects)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(len(subjects)))
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    (tmp_path / "passages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages(dump)))
    (tmp_path / "library").mkdir()
    arguments = [
        *("--base", checkpoints.encoder(tmp_path / "base"), "--teacher", checkpoints.encoder(tmp_path / "teacher")),
        *("--data", folder, "--library", tmp_path / "library", "--passages", tmp_path / "passages.jsonl"),
        *("--out", tmp_path / "out", "--held-out", 2),
    ]
    small.main([str(part) for part in arguments])
    first = capsys.readouterr()
    model = hub.load(tmp_path / "out" / "small", device="cpu", dtype="fp32")
    assert isinstance(model, ColBERT)
    assert model.dim == 8
    measured = json.loads(first.out)["held_out"]
    assert measured[str(model.rerank_weight)] == max(measured.values())
    assert [line[:9] for line in first.err.splitlines() if " total " in line] == ["1 0 total", "2 0 total"]
    small.main([str(part) for part in arguments])
    again = capsys.readouterr()
    assert " total " not in again.err
    assert again.out == first.out
