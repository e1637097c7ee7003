"""A model adapted to the documents of an embedded index, from the command line: trained, measured, taken in."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cherche_models import hub
from sidecar.cli import cherche
from tests import checkpoints

NOUNS = ("brain", "heart", "cell", "protein", "search", "index", "token", "weight", "query", "document")
STEPS = ("--steps", "4", "--batch", "4")


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(cherche, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def documents(count: int) -> list[dict[str, Any]]:
    chance = random.Random(0)

    def sentence() -> str:
        one, two, three = chance.sample(NOUNS, 3)
        return f"The {one} {chance.randrange(100)} of a {two} is {chance.choice(('sparse', 'neural'))} in the {three}."

    return [
        {"_id": str(i), "title": f"{chance.choice(NOUNS)} {i}", "text": " ".join(sentence() for _ in range(4))}
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small random model; indices go into it too."""
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "index.sqlite"))
    monkeypatch.chdir(tmp_path)
    base = checkpoints.masked_lm(tmp_path / "base")
    joint = hub.load(base, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)
    hub.save(joint, tmp_path / "joint")
    return tmp_path


def feed(folder: Path, count: int) -> None:
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(document) + "\n" for document in documents(count)))
    run("setup", "articles", "--model", "./joint", "--fields", "title^2,text", "--sparse-boost", "0.5")
    run("feed", "articles", str(corpus))


def test_an_index_gets_a_model_adapted_to_its_documents(folder: Path) -> None:
    feed(folder, 80)
    before = run("dump", "articles").stdout
    done = run("adapt", "articles", *STEPS, "--json")
    report = json.loads(done.stdout)
    assert "queries made of 80 documents" in done.stderr
    assert list(report["stages"]) == ["bm25", "sparse", "hybrid", "hybrid+rerank"]
    assert report["stages"]["bm25"]["ties"] == report["queries"] >= 5
    assert (report["steps"], report["measured_on"], report["upgraded"]) == (4, "made", False)
    assert report["commands"] == [
        "cherche remove articles",
        "cherche setup articles --model articles-adapted --fields 'title^2,text'",
        "cherche backfill articles",
    ]
    assert run("dump", "articles").stdout == before
    model = hub.load(folder / "articles-adapted", device="cpu", dtype="fp32")
    assert (model.architecture, model.dim) == ("joint", 8)
    assert "adapted to 80 documents" in (folder / "articles-adapted" / "README.md").read_text()

    again = run("adapt", "articles", *STEPS, "--upgrade", "--force", "--yes")
    assert "resumed     from step 4" in again.stderr
    assert "articles has the adapted model" in again.stdout
    assert "made queries flatter" in again.stdout
    after = run("dump", "articles").stdout
    assert after != before
    assert after.count("\n") == before.count("\n")
    hits = json.loads(run("search", "articles", "heart", "--json").stdout)["hits"]
    assert hits[0]["parts"]["sparse"] > 0
    assert "adapted" in run("doctor", "articles").output


def test_judged_queries_decide_and_their_documents_are_not_trained_on(folder: Path) -> None:
    feed(folder, 80)
    (folder / "queries.jsonl").write_text('{"_id": "a", "text": "the heart"}\n{"_id": "b", "text": "a cell"}\n')
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\na\t3\t1\nb\t5\t1\nb\tgone\t1\n")
    judged = ("--queries", "queries.jsonl", "--qrels", "qrels.tsv")
    done = run("adapt", "articles", *STEPS, *judged, "--json")
    report = json.loads(done.stdout)
    assert (report["measured_on"], report["queries"], report["scored"]) == ("judged", 2, 80)
    assert report["documents"] == 78
    assert report["judged_documents"]["absent"] == 1
    assert "1 of 3 judged documents are not in articles" in done.stderr


@pytest.mark.parametrize(
    ("count", "arguments", "reason", "step"),
    [
        (0, (), "index 'articles' holds no documents", "feed it first"),
        (3, ("--fields", "body"), "no document of 'articles' has text in body", "--fields"),
        (20, (), "20 have enough text", "--documents"),
        (60, ("--model", "./sentences-only"), "is not a folder", "name a model"),
        (60, ("--model", "./cherche", "--out", "./joint"), "is not a folder", "name a model"),
        (60, ("--out", "joint"), "is the model that is to be adapted", "--out"),
    ],
)
def test_what_cannot_be_adapted_says_why(
    folder: Path, count: int, arguments: tuple[str, ...], reason: str, step: str
) -> None:
    feed(folder, count)
    failed = run("adapt", "articles", *STEPS, *arguments, "--json", code=1)
    error = json.loads(failed.stderr.splitlines()[-1])["error"]
    assert reason in error["reason"]
    assert step in error["next_step"]


def test_options_that_contradict_each_other_are_refused(folder: Path) -> None:
    feed(folder, 60)
    assert "add --yes" in run("adapt", "articles", "--upgrade", code=2).stderr
    (folder / "queries.jsonl").write_text("")
    assert "--queries is of --qrels" in run("adapt", "articles", "--queries", "queries.jsonl", code=2).stderr
    run("adapt", "articles", *STEPS)
    changed = run("adapt", "articles", "--steps", "5", "--batch", "4", code=1)
    assert "holds a run with steps 4, not 5" in changed.stderr
