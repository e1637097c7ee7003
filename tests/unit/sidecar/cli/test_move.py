"""How an index comes to an adapted model: commands, options that it keeps, and the steps of an upgrade."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import move as moving
from sidecar.cli.move import Move, options_of
from sidecar.cli.output import Output
from sidecar.cli.session import Session
from sidecar.values.chunks import Chunks
from sidecar.values.index import (
    EngineInfo,
    Fingerprint,
    IndexMeta,
    IndexReport,
    IndexStats,
    TextField,
)

META = IndexMeta(
    "cherche-tiny",
    Fingerprint("a", "b"),
    (TextField("title", 0.2, 2.0), TextField("text")),
    128,
    prune="top_k:64",
    codec="pool2+int8",
    sparse_boost=0.5,
    rerank_weight=0.2,
    rerank_window=50,
    first_terms=12,
    chunks=Chunks(4, 8, "max"),
)


def report(product: str, meta: IndexMeta | None) -> IndexReport:
    return IndexReport("articles", meta, IndexStats(1, 1, 0), EngineInfo(product, "3", 0), True)


@pytest.mark.parametrize(
    ("product", "meta", "server", "replace", "commands"),
    [
        ("OpenSearch", META, None, False, ["cherche upgrade articles --model 'my model'"]),
        ("OpenSearch", META, None, True, ["cherche upgrade articles --model 'my model' --replace"]),
        (
            "OpenSearch",
            META,
            "host:1",
            False,
            ["cherche serve --model NAME='my model'", "cherche upgrade articles --model NAME"],
        ),
        ("OpenSearch", None, None, False, ["cherche setup articles --model 'my model'", "cherche backfill articles"]),
        (
            "embedded SQLite",
            META,
            None,
            False,
            [
                "cherche remove articles",
                "cherche setup articles --model 'my model' --fields title:0.2^2,text",
                "cherche backfill articles",
            ],
        ),
    ],
)
def test_the_commands_that_do_it(
    product: str, meta: IndexMeta | None, server: str | None, replace: bool, commands: list[str]
) -> None:
    move = Move(Session(Output(), server), "articles", report(product, meta), Path("my model"), replace)
    assert [command.replace("'title:0.2^2,text'", "title:0.2^2,text") for command in move.commands()] == commands


def test_what_the_index_was_tuned_to_stays() -> None:
    options = options_of(META, "other")
    assert (options.model, options.fields, options.prune, options.codec) == (
        "other",
        META.fields,
        "top_k:64",
        "pool2+int8",
    )
    assert (options.max_length, options.chunks, options.chunk_overlap, options.chunk_pooling) == (128, 4, 8, "max")
    assert (options.sparse_boost, options.rerank_weight, options.rerank_window) == (0.5, 0.2, 50)
    assert options.first_terms == 12
    assert options_of(None, "other").fields == ()


def test_a_cluster_s_index_is_upgraded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[Any] = []

    class Steps:
        def __init__(self, session: Session, index: str, options: Any, *rest: Any) -> None:
            taken.append((index, options.model, rest[-1]))

        async def take(self, client: object, step: str) -> object:
            taken.append(step)
            return object()

    def run(self: Session, call: Callable[[Any], Any], **needs: Any) -> None:
        taken.append(needs)
        coroutine = call(None)
        with pytest.raises(StopIteration):
            coroutine.send(None)

    monkeypatch.setattr(moving, "Steps", Steps)
    monkeypatch.setattr(Session, "run", run)
    Move(Session(Output()), "articles", report("OpenSearch", META), tmp_path, replace=True).run()
    model = str(tmp_path)
    assert taken == [("articles", model, True), {"index": "articles", "models": (model,)}, "prepare", "switch"]
