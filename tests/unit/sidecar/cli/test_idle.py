"""An option that does nothing beside the others of its command line is a usage error, whichever command it is of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sidecar.cli import cherche
from sidecar.cli.idle import Conditional
from tests.unit.sidecar.cli.conftest import Command

REFUSED = {
    "adapt articles --queries FILE": "--queries is of --qrels, which is not given",
    "adapt articles --qrels FILE": "--qrels is of --queries, which is not given",
    "adapt articles --force": "--force is of --upgrade, which is not given",
    "backfill articles --shadow --checkpoint a": "--checkpoint does nothing beside --shadow",
    "backfill articles --shadow --report a": "--report does nothing beside --shadow",
    "backfill articles --shadow --cost-per-hour 0": "--cost-per-hour does nothing beside --shadow",
    "backfill articles --shadow --version-type external_gte": "--version-type does nothing beside --shadow",
    "demo --page-port 0": "--page-port is of --keep, which is not given",
    "demo --no-open": "--no-open is of --keep, which is not given",
    "doctor --all": "--all is of INDEX, which is not given",
    "dump articles --insecure": "--insecure is of --server (CHERCHE_SERVER), which is not given",
    "dump articles --engine embedded --url http://a": "--url is of --engine opensearch or elasticsearch",
    "encode a --query --max-length 9": "--max-length does nothing beside --query",
    "eval articles --queries FILE --qrels FILE --modes bm25:pruned": "bm25 has no terms",
    "print-connector elasticsearch --release 8.19": "--release changes nothing of what elasticsearch is told",
    "print-connector opensearch --sparse --rerank": "--sparse does nothing beside --rerank",
    "search articles a --explain --curl": "--explain prints beside hits",
    "search articles a --query-terms 4": "--query-terms is of --query-mode pruned, which is full",
    "serve --gateway-host 127.0.0.1": "--gateway-host is of --gateway-port, which is not given",
    "serve --cluster-ca FILE": "--cluster-ca is of --engine opensearch or elasticsearch, which is embedded",
    "serve --url http://a --engine embedded": "--url is of --engine opensearch or elasticsearch",
    "setup articles --chunks 1 --chunk-overlap 0": "--chunk-overlap does nothing beside --chunks 1",
    "setup articles --chunks 1 --chunk-pooling max": "--chunk-pooling does nothing beside --chunks 1",
    "setup articles --codec none --pool 3": "--pool does nothing beside --codec none",
    "ui --engine embedded --url http://a": "--url is of --engine opensearch or elasticsearch",
    "upgrade articles --qrels FILE": "--qrels is of --queries, which is not given",
    "upgrade articles --mode bm25": "--mode is of --queries, which is not given",
    "upgrade articles --force": "--force is of --qrels, which is not given",
    "upgrade articles --queries FILE --qrels FILE --no-switch --force": "--force does nothing beside --no-switch",
    "upgrade articles --no-switch --replace": "--replace does nothing beside --no-switch",
    **{
        f"upgrade articles --rollback {option}": f"{option.split()[0]} does nothing beside --rollback"
        for option in (
            "--model m",
            "--reranker m",
            "--fields text",
            "--shadow new",
            "--queries FILE",
            "--no-switch",
            "--replace",
            "--dry-run",
            "--search-slowdown 0",
            "--ignore-disk",
        )
    },
}


@pytest.mark.parametrize(("line", "said"), REFUSED.items())
def test_it_is_refused_by_name(line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "file"
    file.touch()
    result = CliRunner().invoke(cherche, line.replace("FILE", str(file)).split())
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())


def test_what_an_option_depends_on_is_a_parameter_of_some_command() -> None:
    commands = list(within(cherche))
    names = {one.name for command in commands for one in command.params}
    found = [one for command in commands for one in command.params if isinstance(one, Conditional)]
    assert len(found) > len(REFUSED) // 2
    assert {name for one in found for name in (*one.of, *one.without)} <= names


def within(command: click.Command) -> Iterator[click.Command]:
    yield command
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        found = command.get_command(context, name)
        assert found is not None
        yield from within(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--modes bm25,hybrid --rerank-window 5", "--rerank-window does nothing in --modes bm25,hybrid"),
        ("--modes bm25,sparse:pruned --query-mode doc_only", "--query-mode does nothing in --modes bm25,sparse:pruned"),
        ("--modes bm25,hybrid --query-terms 4", "--query-terms does nothing in --modes bm25,hybrid"),
        ("--modes sparse --fusion rrf", "--fusion does nothing in --modes sparse"),
        ("--modes hybrid --rank-constant 5", "--rank-constant does nothing in --modes hybrid"),
        ("--modes bm25,sparse:pruned --query-terms 4", ""),
        ("--modes bm25,hybrid --fusion rrf --rank-constant 5", ""),
    ],
)
def test_eval_refuses_what_none_of_its_modes_uses(articles: Command, options: str, said: str) -> None:
    queries, qrels = articles.folder / "queries.jsonl", articles.folder / "qrels.tsv"
    queries.write_text('{"_id": "q", "text": "ducks"}\n')
    qrels.write_text("q\t2\t1\n")
    asked = ("eval", "articles", "--queries", str(queries), "--qrels", str(qrels))
    assert said in articles(*asked, *options.split(), code=2 if said else 0).stderr
