"""Judgements are kept line by line, and come back as files of the BEIR layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models.evaluate import read_qrels, read_queries
from sidecar.errors import ChercheError, Code
from sidecar.gateway.page.judgements import JudgementBody, Judgements, judgements_json

GRADELESS = [f'{{"query": "a", "id": "1", "grade": {grade}}}' for grade in ('"x"', "[1]", "7", "1e999")]


@pytest.fixture
def kept(tmp_path: Path) -> Judgements:
    return Judgements(tmp_path / "judged")


def judge(kept: Judgements, query: str, id: str, grade: int | None, index: str = "articles") -> None:
    kept.add(JudgementBody(index=index, query=query, id=id, grade=grade))


def test_the_last_decision_holds_and_null_takes_it_back(kept: Judgements) -> None:
    for query, id, grade in (("a", "1", 3), ("b", "1", 1), ("a", "2", 0), ("a", "1", 2), ("b", "1", None)):
        judge(kept, query, id, grade)
    assert kept.read("articles") == {"a": {"1": 2, "2": 0}}
    assert len(kept.path("articles").read_text().splitlines()) == 5, "nothing is overwritten"


def test_each_index_has_its_file_in_the_folder(kept: Judgements) -> None:
    for index in ("articles", "../../etc", "logs-*", "a/b"):
        judge(kept, "q", "1", 1, index)
        assert kept.path(index).parent == kept.folder
        assert kept.read(index) == {"q": {"1": 1}}
    assert len(list(kept.folder.iterdir())) == 4
    assert kept.read("none") == {}


def test_names_that_no_file_can_have_are_told_apart(kept: Judgements) -> None:
    long = "日本語" * 28
    for index in (long, long[:-1], "a," * 100 + "b"):
        judge(kept, index, "1", 1, index)
        assert len(kept.path(index).name) <= 255
        assert kept.read(index) == {index: {"1": 1}}


def test_what_is_exported_is_what_tune_and_eval_read(kept: Judgements, tmp_path: Path) -> None:
    judge(kept, "wie heißt\tdas?", "1", 3)
    judge(kept, "second", "x y", 0)
    judge(kept, "second", "a\tb", 1)
    found = judgements_json(kept, "articles")
    assert found["left_out"] == 1, "an id that would break its line"
    assert (found["qrels_trec"], found["left_out_of_trec"]) == ("q1 0 1 3\n", 2)
    (tmp_path / "qrels.txt").write_text(found["qrels_trec"], encoding="utf-8")
    assert read_qrels(tmp_path / "qrels.txt") == {"q1": {"1": 3}}
    (tmp_path / "qrels.tsv").write_text(found["qrels_tsv"], encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(found["queries_jsonl"], encoding="utf-8")
    assert read_queries(tmp_path / "queries.jsonl") == {"q1": "wie heißt\tdas?", "q2": "second"}
    assert read_qrels(tmp_path / "qrels.tsv") == {"q1": {"1": 3}, "q2": {"x y": 0}}


@pytest.mark.parametrize("line", ["no json", '{"query": "a"}', "[1]", *GRADELESS])
def test_a_line_that_is_none_is_named(kept: Judgements, line: str) -> None:
    judge(kept, "a", "1", 1)
    with kept.path("articles").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ChercheError, match=r"articles\.jsonl:2 is no judgement") as broken:
        kept.read("articles")
    assert broken.value.code is Code.FAILED_PRECONDITION


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ChercheError) as refused:
        judge(Judgements(tmp_path / "file" / "judged"), "a", "1", 1)
    assert "CHERCHE_GATEWAY__JUDGEMENTS" in refused.value.next_step


@pytest.mark.parametrize("grade", [-1, 4])
def test_a_grade_is_0_to_3(grade: int) -> None:
    with pytest.raises(ValueError, match="grade"):
        JudgementBody(index="a", query="q", id="1", grade=grade)


def test_lines_are_plain_json(kept: Judgements) -> None:
    judge(kept, "ü", "1", 1)
    assert json.loads(kept.path("articles").read_text()) == {"query": "ü", "id": "1", "grade": 1}
