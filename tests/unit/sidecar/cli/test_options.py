"""Options of the command line say and do what the tables say."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from sidecar.cli import cherche
from sidecar.cli.compare import System
from sidecar.cli.options import flag, parameter_type
from sidecar.values.index import IndexOptions
from sidecar.values.options import Option, options
from sidecar.values.search import SearchRequest

BY_HAND = {
    "search": {"index", "text", "body", "model", "fields"},
    "setup": {"codec"},
}


def flags(verb: str) -> dict[str, click.Option]:
    command = cherche.get_command(click.Context(cherche), verb)
    assert command is not None
    return {str(one.name): one for one in command.params if isinstance(one, click.Option)}


@pytest.mark.parametrize(("verb", "kind"), [("search", SearchRequest), ("setup", IndexOptions)])
def test_every_row_is_an_option(verb: str, kind: type) -> None:
    offered, rows = flags(verb), options(kind)
    assert {row.name for row in rows.values() if row.name not in offered or row.name == "codec"} == BY_HAND[verb]
    for name in set(rows) - BY_HAND[verb]:
        assert rows[name].help in (offered[name].help or "")
        assert (offered[name].help or "").endswith((rows[name].help, f"[default: {rows[name].unset}]"))


def test_eval_has_all_that_tunes_and_compare_what_its_mode_does_not_say() -> None:
    tunes = {row.name for row in options(SearchRequest).values() if row.tunes}
    assert tunes <= set(flags("eval"))
    row = options(SearchRequest)["rerank_window"]
    request = System.parse(f"a/hybrid:pruned+rerank?{row.name}=7&match_set=union&sparse_boost=2").request
    assert request is not None
    assert (request.rerank_window, request.match_set, request.sparse_boost) == (7, "union", 2.0)


@pytest.mark.parametrize(
    ("row", "value", "reason"),
    [
        (Option("", kind=int, least=1, most=9, default=5), "0", "1<=x<=9"),
        (Option("", kind=int, least=1, default=0), "-1", "x>=0"),
        (Option("", kind=float, above=0), "0", "x>0"),
        (Option("", choices=("a", "b")), "c", "'a', 'b'"),
    ],
)
def test_what_is_out_of_bounds_is_a_usage_error(row: Option, value: str, reason: str) -> None:
    with pytest.raises(click.BadParameter, match=reason):
        parameter_type(row).convert(value, None, None)


def test_a_verb_may_answer_otherwise_than_the_table() -> None:
    row = options(IndexOptions)["model"]

    @click.command()
    @flag(row, unset="as it is")
    @flag(replace(options(SearchRequest)["rerank_window"], default=100), "--window")
    def command(model: str, rerank_window: int) -> None:
        click.echo(f"{model!r} {rerank_window}")

    model, window = command.params
    assert isinstance(model, click.Option)
    assert model.help == f"{row.help}  [default: as it is]"
    assert (window.name, window.opts, window.default) == ("rerank_window", ["--window"], 100)
