from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sidecar.client.client import Client
from sidecar.testing import NAN, POISON, FakeModel
from sidecar.values.documents import IngestResult
from tests.unit.sidecar.cli.conftest import Command, serving

GOOD = {"_id": "first", "title": "Good", "text": "a good document"}
LAST = {"_id": "last", "title": "Good", "text": "another good document"}


def failed_items(corpus: str) -> list[dict[str, Any]]:
    path = Path(f"{corpus}.failed.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


BAD: dict[str, tuple[bytes | dict[str, Any], str, str]] = {
    "10 MB of text": ({"_id": "x", "text": "word " * 2_000_000}, "INVALID_ARGUMENT", "bytes"),
    "invalid UTF-8": (b'{"_id": "x", "text": "caf\xe9"}', "INVALID_ARGUMENT", "not UTF-8"),
    "a lone surrogate": (b'{"_id": "x", "text": "\\ud83d"}', "INVALID_ARGUMENT", "lone surrogate"),
    "a document that is no object": (b'["x"]', "INVALID_ARGUMENT", "not an object"),
    "a repeated id": ({"_id": "first", "text": "again"}, "INVALID_ARGUMENT", "repeats the id 'first' of line 1"),
    "NaN weights": ({"_id": "x", "text": f"this is {NAN}"}, "INTERNAL", "x"),
    "a text that breaks the model": ({"_id": "x", "text": f"this is {POISON}"}, "INTERNAL", "x"),
    "an object for a text": ({"_id": "x", "text": {"en": "t"}}, "INVALID_ARGUMENT", "holds an object"),
    "an object for a routing": ({"_id": "x", "text": "t", "_routing": {}}, "INVALID_ARGUMENT", "has the routing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_its_neighbours_are_stored(command: Command, kind: str) -> None:
    line, code, reason = BAD[kind]
    corpus = command.write("corpus.jsonl", [GOOD, line, LAST])
    command("setup", "articles")
    summary = command.json("feed", "articles", corpus, code=1)
    assert (summary["documents"], summary["encoded"], summary["failed"], summary["unacknowledged"]) == (3, 2, 1, 0)
    (item,) = failed_items(corpus)
    assert item["line"] == 2
    assert item["code"] == code
    assert reason in item["reason"]
    assert item["next_step"]
    assert [json.loads(line)["id"] for line in command("dump", "articles").stdout.splitlines()] == ["first", "last"]


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ({"text": ["a", None]}, "encoded"),
        ({"text": 7}, "encoded"),
        ({"text": [True, 1.5, ["deep"]]}, "encoded"),
        ({"title": "", "text": "  "}, "no_text"),
        ({"body": "elsewhere"}, "no_text"),
        ({"title": None, "text": []}, "no_text"),
    ],
)
def test_documents_are_taken_as_an_engine_takes_them(command: Command, source: dict[str, Any], outcome: str) -> None:
    corpus = command.write("corpus.jsonl", [{"_id": "x", **source}])
    command("setup", "articles")
    summary = command.json("feed", "articles", corpus)
    assert (summary[outcome], summary["documents"]) == (1, 1)
    assert command.json("feed", "articles", corpus)["unchanged"] == 1
    [stored] = [json.loads(line) for line in command("dump", "articles").stdout.splitlines()]
    assert (stored["source"], stored["state"]) == (source, "ok" if outcome == "encoded" else "no_text")
    assert command.json("doctor", "articles")["ok"]


def test_control_characters_are_text_like_any_other(command: Command) -> None:
    command("setup", "articles")
    corpus = command.write("corpus.jsonl", [{"_id": "x", "text": "bell \u0007 and nul \u0000 and escape \u001b"}])
    assert command.json("feed", "articles", corpus)["encoded"] == 1
    assert not failed_items(corpus)


def test_fed_twice_nothing_changes_and_nothing_is_encoded(articles: Command) -> None:
    before, passes = articles("dump", "articles").stdout, len(articles.model.batches)
    summary = articles.json("feed", "articles", str(articles.folder / "corpus.jsonl"))
    assert summary["unchanged"] == 3
    assert articles("dump", "articles").stdout == before
    assert len(articles.model.batches) == passes


def test_another_field_is_written_without_the_model(articles: Command) -> None:
    passes = len(articles.model.batches)
    changed = {"_id": "2", "title": "Ducks", "text": "ducks swim on the pond", "stock": 7}
    summary = articles.json("feed", "articles", articles.write("more.jsonl", [changed]))
    assert summary["reused"] == 1
    assert len(articles.model.batches) == passes


def test_a_stale_file_of_failures_is_removed(command: Command) -> None:
    command("setup", "articles")
    corpus = command.write("corpus.jsonl", [GOOD, b"[]"])
    command("feed", "articles", corpus, code=1)
    assert failed_items(corpus)
    command.write("corpus.jsonl", [GOOD])
    command("feed", "articles", corpus)
    assert not Path(f"{corpus}.failed.jsonl").exists()


def test_failures_may_go_to_a_device(command: Command, tmp_path: Path) -> None:
    device = tmp_path / "device"
    os.mkfifo(device)
    command("setup", "articles")
    command("feed", "articles", command.write("corpus.jsonl", [GOOD]), "--failed", str(device))
    assert device.is_fifo()


def test_stdin_is_a_corpus(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(command.folder)
    command("setup", "articles")
    stdin = json.dumps(GOOD).encode() + b"\n[]\n"
    assert command.json("feed", "articles", "-", code=1, stdin=stdin)["encoded"] == 1
    assert "stdin line 2" in (command.folder / "articles.failed.jsonl").read_text()


def test_an_index_that_was_not_set_up_takes_nothing(command: Command) -> None:
    result = command("feed", "nowhere", command.write("corpus.jsonl", [GOOD]), code=1)
    assert "cherche setup nowhere" in result.stderr
    assert "encoded" not in result.stdout  # the refusal may come before the first document is sent


def test_a_mapping_of_another_model_takes_nothing(articles: Command) -> None:
    with serving(articles.folder, [FakeModel(name="other")]) as address:
        other = Command(address, articles.folder)
        result = other("feed", "articles", other.write("corpus.jsonl", [GOOD]), code=1)
    assert "serve --model fake=" in result.stderr


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"_id,title,text\nx,Good,a text\n", "is CSV, not JSON Lines"),
        ('{"_id": "x"}\n'.encode("utf-16"), "is text in UTF-16, not JSON Lines"),
        (b'[\n{"_id": "x"}\n]\n', "is one JSON array, not JSON Lines"),
    ],
)
def test_a_corpus_of_another_format_is_named_once_and_nothing_is_sent(command: Command, data: bytes, said: str) -> None:
    command("setup", "articles")
    path = command.folder / "corpus.jsonl"
    path.write_bytes(data)
    result = command("feed", "articles", str(path), code=1)
    assert f"{path} {said}" in result.stderr
    assert not failed_items(str(path))


def test_a_corpus_that_is_not_there_is_a_usage_error(command: Command) -> None:
    assert "no.jsonl" in command("feed", "articles", "no.jsonl", code=2).stderr


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = Command(address, tmp_path)
    result = command("feed", "articles", command.write("corpus.jsonl", [GOOD]), "--json", code=3)
    assert json.loads(result.stdout)["encoded"] == 0
    assert json.loads(result.stderr.splitlines()[-1])["error"]["code"] == "UNAVAILABLE"


def test_a_sidecar_that_stops_answering_ends_the_feed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("setup", "articles")
    monkeypatch.setenv("CHERCHE_LIMITS__DEADLINE", "0.3")
    command.model.gate.clear()
    try:
        result = command("feed", "articles", command.write("corpus.jsonl", [GOOD]), "--json", code=3)
    finally:
        command.model.gate.set()
    assert json.loads(result.stdout)["unacknowledged"] == 1
    assert json.loads(result.stderr.splitlines()[-1])["error"]["code"] == "DEADLINE_EXCEEDED"


def test_an_answer_that_never_came_is_no_success(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Client.index_documents

    async def forgetful(*arguments: Any, **options: Any) -> AsyncGenerator[IngestResult, None]:
        async for result in answered(*arguments, **options):
            if result.id != "first":
                yield result

    monkeypatch.setattr(Client, "index_documents", forgetful)
    command("setup", "articles")
    result = command("feed", "articles", command.write("corpus.jsonl", [GOOD, LAST]), "--json", code=1)
    assert json.loads(result.stdout)["unacknowledged"] == 1
    assert "never acknowledged, such as 'first'" in result.stderr


def test_text_in_a_field_that_is_not_encoded_is_named_with_what_to_do(command: Command) -> None:
    command("setup", "articles")
    corpus = command.write("mine.jsonl", [{"id": "1", "title": "Ducks", "body": "ducks swim on the pond"}])
    said = command("feed", "articles", corpus).stderr
    assert "no document has 'text', and 'body' is not encoded — run: cherche setup articles --fields title,body" in said


def test_a_field_that_some_documents_lack_is_no_mistake(articles: Command) -> None:
    corpus = articles.write("more.jsonl", [{"_id": "9", "text": "a red car drove by", "url": "example"}])
    assert "not encoded" not in articles("feed", "articles", corpus).stderr
