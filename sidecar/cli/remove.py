"""``cherche remove``: an index without cherche again."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from sidecar.cli.failures import resumable
from sidecar.cli.session import Session, verb
from sidecar.values.maintenance import EXTERNAL


@verb("remove")
@click.argument("index")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--version-type",
    type=click.Choice([EXTERNAL]),
    help="Of documents that your own writer gives versions: they keep them, where each would get the next one.",
)
def remove(session: Session, index: str, yes: bool, dry_run: bool, version_type: str | None) -> None:
    """Take everything out again that setup, feed, backfill and upgrade put in.

    The documents stay as they were, and no pipeline runs on them. What is changed besides, and what stays behind
    because it cannot be taken out of a mapping, is named before anything is written.
    """
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("no terminal to confirm on: add --yes, or --dry-run")
    versions = version_type or ""
    plan = session.run(lambda client: client.remove_index(index, dry_run=True, version_type=versions), about=index)
    if not dry_run:
        for line in (*plan.changes, *(f"stays behind: {line}" for line in plan.remains)):
            session.output.note(line)
        if not yes:
            click.confirm(f"Take term weights, codes and settings of {index!r} out?", abort=True, err=True)
        with resumable(lambda: "what was taken out so far stays out"):
            plan = session.run(lambda client: client.remove_index(index, version_type=versions))
    result = {"index": index, "dry_run": dry_run, **asdict(plan)}

    def text() -> None:
        click.echo(f"{index}: {plan.documents:,} documents {'would be' if dry_run else 'are'} as they were")
        for line in plan.changes if dry_run else ():
            click.echo(line)
        for line in plan.remains:
            click.echo(f"stays behind, unused: {line}")

    session.output.data(result, text)
