"""``cherche backfill``: encode what an index holds, while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.failures import FAILURE, failure, resumable
from sidecar.cli.idle import option
from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.values.maintenance import EXTERNAL, BackfillOptions

if TYPE_CHECKING:
    from sidecar.client.client import Client
from sidecar.cli.ledger import COUNTS, Checkpoint, Run, estimated, ledger

_SHADOW = {"shadow": (True,)}


@verb("backfill")
@click.argument("index")
@click.option("--dry-run", is_flag=True, help="Only estimate time, bytes and cost.")
@option("--cost-per-hour", type=click.FloatRange(0), help="Of the encoding machine, for the estimate.", without=_SHADOW)
@option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where an interrupted run goes on from.  [default: INDEX.backfill.json]",
    without=_SHADOW,
)
@option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where documents that failed go.  [default: INDEX.backfill.jsonl]",
    without=_SHADOW,
)
@click.option(
    "--search-slowdown",
    type=click.FloatRange(0),
    default=0.2,
    show_default=True,
    help="Pause while the p99 of probe searches is this share above what it was before; 0 sends no probes.",
)
@click.option("--ignore-disk", is_flag=True, help="Go on where the disk may not suffice.")
@option(
    "--version-type",
    type=click.Choice([EXTERNAL]),
    help="Of documents that your own writer gives versions: they keep them, where each would get the next one.",
    without=_SHADOW,
)
@click.option(
    "--shadow", is_flag=True, help="Into a new index, with the mapping of today, that takes this one's place."
)
def backfill(
    session: Session,
    index: str,
    dry_run: bool,
    cost_per_hour: float | None,
    checkpoint_file: Path | None,
    report_file: Path | None,
    search_slowdown: float,
    ignore_disk: bool,
    version_type: str | None,
    shadow: bool,
) -> None:
    """Encode what an index holds, while it is in use.

    Documents without weights or codes are encoded, those that wait for them, and those whose text is
    another than was encoded; the others are only read. A document that somebody writes meanwhile
    keeps the newer write and is encoded again. Interrupted, by whatever, it goes on when it is run
    again. One without text is noted as that. Documents that failed are written to a file, one JSON
    object each: id, index, code, reason, next_step. Exits with 1 if any did.

    With --shadow nothing is written into the index: a new one is filled, without weights in _source,
    and the alias INDEX is switched to it; the same as cherche upgrade without another model.
    """
    if shadow:
        _into_shadow(session, index, BackfillOptions("", dry_run, search_slowdown, ignore_disk))
        return
    names = (checkpoint_file or Path(f"{index}.backfill.json"), report_file or Path(f"{index}.backfill.jsonl"))
    checkpoint = Checkpoint(names[0])
    resumed = "" if dry_run else checkpoint.read()
    options = BackfillOptions(resumed, dry_run, search_slowdown, ignore_disk, version_type or "")
    run = Run(checkpoint, session.output.progress(), cost_per_hour)
    with (
        resumable(lambda: f"{run.progress.encoded:,} documents were encoded, and {names[0]} says how far it read"),
        ledger(names[1], append=dry_run or bool(options.checkpoint)) as run.ledger,
    ):
        error = session.run(lambda client: run.follow(client, index, options), index=index)
    summary = run.summary(index, names[1])
    for note in run.notes():
        session.output.note(f"note: {note}")
    session.output.data(summary, lambda: _print(summary))
    if error is not None:
        raise failure(error, session.output.as_json)
    if run.progress.failed:
        session.output.note(f"{run.progress.failed} failed: see {names[1]}")
        raise SystemExit(FAILURE)


def _into_shadow(session: Session, index: str, settings: BackfillOptions) -> None:
    """An upgrade to the same model."""
    from sidecar.cli.upgrade import Steps
    from sidecar.values.index import IndexOptions

    steps = Steps(session, index, IndexOptions(), "", settings)

    async def run(client: Client) -> None:
        if await steps.take(client, "prepare") is not None:
            await steps.take(client, "switch")

    with resumable(steps.so_far):
        session.run(run, index=index)
    steps.show()


def _print(summary: dict[str, Any]) -> None:
    shown = estimated(summary["estimate"])
    if summary["finished"]:
        shown |= {name: summary[name] for name in COUNTS if summary[name]}
        shown["seconds"] = summary["seconds"]
    table(("", ""), shown.items())
