"""``cherche remove``: an index without cherche again."""

from __future__ import annotations

import sys

import click

from sidecar.cli.session import Session, verb


@verb("remove")
@click.argument("index")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def remove(session: Session, index: str, yes: bool) -> None:
    """Take everything out again that setup and feed put in.

    The documents stay as they were. What cannot be taken out of a mapping stays unused, and is named.
    """
    if not yes:
        _ask(index)
    documents, remains = session.run(lambda client: client.remove_index(index))
    result = {"index": index, "documents": documents, "remains": list(remains)}

    def text() -> None:
        click.echo(f"{index}: {documents:,} documents are as they were")
        for line in remains:
            click.echo(f"stays behind, unused: {line}")

    session.output.data(result, text)


def _ask(index: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to confirm on: add --yes")
    click.confirm(f"Take term weights, codes and settings of {index!r} out?", abort=True, err=True)
