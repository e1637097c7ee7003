"""Settings fitted to judged queries: reported, written, or left as they were."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.cli.tune import _tuned, _Way
from sidecar.errors import ChercheError
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from tests.unit.sidecar.cli.conftest import Command

COUNT = 12


@pytest.fixture
def judged(command: Command) -> list[str]:
    """Words that mislead BM25 beside synonyms that only the weights know: a larger boost helps."""
    documents = [{"_id": f"right{i}", "text": f"cardiac case{i} of old patients"} for i in range(COUNT)]
    documents += [{"_id": f"wrong{i}", "text": f"case{i} case{i} case{i}"} for i in range(COUNT)]
    command("setup", "articles", "--fields", "text", "--prune", "top_k:50", "--sparse-boost", "0.25")
    command("feed", "articles", command.write("corpus.jsonl", documents))
    queries = command.write("queries.jsonl", [{"_id": str(i), "text": f"heart case{i}"} for i in range(COUNT)])
    qrels = command.folder / "qrels.tsv"
    qrels.write_text("".join(f"{i} 0 right{i} 1\n" for i in range(COUNT)))
    return ["articles", "--queries", queries, "--qrels", str(qrels)]


def test_a_dry_run_says_what_it_would_choose(command: Command, judged: list[str]) -> None:
    report = command.json("tune", *judged, "--dry-run")
    assert report["queries"] == COUNT
    assert report["before"] == {"sparse_boost": 0.25, "rerank_weight": 0.5, "rerank_window": 100}
    assert report["held_out"]["difference"] > 0
    assert not report["written"]
    assert report["judged_documents"] == {"judged": COUNT, "absent": 0, "examples": []}
    assert command.json("tune", *judged, "--dry-run")["before"] == report["before"]


def test_the_choice_is_written_and_searches_use_it(command: Command, judged: list[str]) -> None:
    report = command.json("tune", *judged)
    assert report["written"]
    evaluated = command.json("eval", *judged, "--modes", "hybrid+rerank")["modes"]["hybrid+rerank"]
    assert evaluated["ndcg@10"] > report["held_out"]["a"]
    again = command.json("tune", *judged)
    assert again["before"] == report["choice"]
    assert not again["written"]


def test_the_report_is_readable(command: Command, judged: list[str]) -> None:
    printed = command("tune", *judged).stdout
    assert "fold 5" in printed
    assert "held out" in printed
    assert "articles has the choice now" in printed


def test_too_few_queries_and_an_index_that_is_not_set_up(command: Command, judged: list[str]) -> None:
    assert "5 folds of 3 queries" in command("tune", *judged, "--limit", "3", code=1).stderr
    assert "cherche setup" in command("tune", "nowhere", *judged[1:], code=1).stderr


def log_of(command: Command, queries: int) -> str:
    """Searches that show the wrong document first, where users click the other."""
    shown = [{"query": f"heart case{i}", "shown": [f"wrong{i}", f"right{i}"]} for i in range(queries)]
    clicks = [{**one, "clicked": [one["shown"][1]] if i % 8 else []} for i, one in enumerate(shown * 2)]
    looked = [{"query": "old patients", "shown": ["right1", "right0"], "clicked": []} for _ in range(2 * queries)]
    return command.write("clicks.jsonl", [*clicks, *looked])


@pytest.fixture
def clicked(command: Command) -> None:
    count = 60
    documents = [{"_id": f"right{i}", "text": f"cardiac case{i} of old patients"} for i in range(count)]
    documents += [{"_id": f"wrong{i}", "text": f"case{i} case{i} case{i}"} for i in range(count)]
    command("setup", "articles", "--fields", "text", "--prune", "top_k:50", "--sparse-boost", "0.25")
    command("feed", "articles", command.write("corpus.jsonl", documents))


def test_what_people_click_is_tuned_to_and_saved_as_judgements(command: Command, clicked: None) -> None:
    saved = command.folder / "judged"
    report = command.json("tune", "articles", "--clicks", log_of(command, 60), "--save", str(saved))
    assert report["held_out"]["difference"] > 0
    assert report["held_out"]["p_value"] < 0.05
    assert report["written"]
    files = ("--queries", str(saved / "queries.jsonl"), "--qrels", str(saved / "qrels.tsv"))
    figures = command.json("eval", "articles", *files, "--modes", "hybrid")
    assert figures["queries"] == report["queries"]


def test_a_short_log_is_refused(command: Command, clicked: None) -> None:
    failed = command("tune", "articles", "--clicks", log_of(command, 20), code=1)
    assert "and 50 are needed" in failed.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --queries and --qrels, or --clicks"),
        (("--queries",), "--queries is of --qrels, which is not given"),
        (("--clicks", "--queries", "--qrels"), "leave out --queries and --qrels"),
        (("--queries", "--qrels", "--save"), "--save is of --clicks, which is not given"),
    ],
)
def test_two_sources_or_none_are_refused(command: Command, options: tuple[str, ...], said: str) -> None:
    file = command.write("some.jsonl", [])
    given = [word for name in options for word in (name, str(command.folder) if name == "--save" else file)]
    assert said in command("tune", "articles", *given, code=2).stderr


class _Served:
    """A sidecar whose index keeps its weights for Seismic."""

    async def get_index(self, name: str) -> Any:
        meta = IndexMeta("m", Fingerprint("s"), (TextField("text"),), 8, weights="seismic")
        return SimpleNamespace(meta=meta)


async def test_first_terms_are_not_measured_where_no_search_has_them() -> None:
    way = _Way(10, 2, 0, 1.0, True, None, None, None, recall=0.99)
    with pytest.raises(ChercheError, match="has seismic weights, whose search has no first terms") as refused:
        await _tuned(None, _Served(), "articles", {}, {}, way)  # type: ignore[arg-type]  # refused before it is used
    assert refused.value.next_step == "drop --recall"
