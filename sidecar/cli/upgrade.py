"""``cherche upgrade``: another model for an index in use, with a way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.failures import failure, resumable
from sidecar.cli.idle import option
from sidecar.cli.ledger import ESTIMATING, Checkpoint, Run, estimated, ledger
from sidecar.cli.options import offered
from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.cli.setup import fields_option, parse_fields
from sidecar.cli.trials import Trial, Variant, existing_file, measure, read, shown_p
from sidecar.errors import ChercheError, precondition
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions, Switched
from sidecar.values.options import options

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.wire.maintenance import Step

ROWS = options(IndexOptions)
_MEASURE = "ndcg@10"
_CHANCE = 0.05
_ROLLBACK = {"rollback": (True,)}


@verb("upgrade")
@click.argument("index")
@offered((ROWS["model"], ROWS["reranker"]), unset="as it is", without=_ROLLBACK)
@fields_option(unset="as they are", without=_ROLLBACK)
@offered((ROWS["weights"],), unset="as they are", without=_ROLLBACK)
@option(
    "--shadow",
    default="",
    metavar="NAME",
    help="The new index.  [default: INDEX and the fingerprint]",
    without=_ROLLBACK,
)
@option(
    "--queries",
    type=existing_file(),
    help="JSONL with _id and text: compare both before the switch.",
    without=_ROLLBACK,
)
@option("--qrels", type=existing_file(), help="Judgements of them: refuse a switch that is worse.", of={"queries": ()})
@option(
    "--mode",
    default="hybrid",
    show_default=True,
    help="MODE[:QUERY_MODE][+rerank] that is compared.",
    of={"queries": ()},
)
@option("--no-switch", is_flag=True, help="Only prepare and compare.", without=_ROLLBACK)
@option(
    "--force",
    is_flag=True,
    help="Switch even where the comparison says worse.",
    of={"qrels": ()},
    without={"no_switch": (True,)},
)
@option(
    "--replace",
    is_flag=True,
    help="INDEX is an index: let an alias of its name take its place.",
    without=_ROLLBACK | {"no_switch": (True,)},
)
@click.option("--rollback", is_flag=True, help="Let the index before serve again, with all that was written since.")
@option("--dry-run", is_flag=True, help="Only estimate.", without=_ROLLBACK)
@option(
    "--search-slowdown",
    type=click.FloatRange(0),
    default=0.2,
    show_default=True,
    help="As in backfill.",
    without=_ROLLBACK,
)
@option("--ignore-disk", is_flag=True, help="Go on where the disk may not suffice.", without=_ROLLBACK)
def upgrade(
    session: Session,
    index: str,
    model: str,
    reranker: str,
    fields: str | None,
    weights: str,
    shadow: str,
    queries: Path | None,
    qrels: Path | None,
    mode: str,
    no_switch: bool,
    force: bool,
    replace: bool,
    rollback: bool,
    dry_run: bool,
    search_slowdown: float,
    ignore_disk: bool,
) -> None:
    """Give an index in use another model.

    INDEX is an alias of one index. An index is filled beside that one while it serves, both are
    searched with --queries and compared, and the alias is switched at once; what others write
    meanwhile is copied, until after the switch. Without --model the index moves to a new one as it
    is, such as one without weights in _source. The old index stays: --rollback lets it serve again.

    An index that is no alias is prepared the same way. With --replace an alias of its name then takes
    its place: its writes are refused for some seconds, and a copy of it stays for --rollback. Of a
    data stream only the next index can have another model: it is begun.
    """
    settings = BackfillOptions(dry_run=dry_run, search_slowdown=search_slowdown, ignore_disk=ignore_disk)
    names = session.model_name(model), session.model_name(reranker)
    options = IndexOptions(model=names[0], reranker=names[1], fields=parse_fields(fields or ""), weights=weights)
    steps = Steps(session, index, options, shadow, settings, replace)
    if rollback:
        with resumable(steps.so_far):
            session.run(steps.roll_back, index=index)
        return steps.show()
    variant = Variant.parse(mode)
    judged = _judged(queries, qrels)

    async def run(client: Client) -> None:
        prepared = await steps.take(client, "prepare")
        if prepared is None or dry_run:
            return
        if judged is not None and prepared.serving:
            steps.comparison = await compared(session, client, index, prepared.serving[0], variant, *judged)
            check_better(steps.comparison, force=force or no_switch)
        if not no_switch:
            await steps.take(client, "switch")

    with resumable(steps.so_far):
        session.run(run, index=index, models=names)
    return steps.show()


@dataclass(slots=True)
class Steps:
    """The steps of one upgrade, and what came of them."""

    session: Session
    index: str
    options: IndexOptions
    shadow: str
    settings: BackfillOptions
    replace: bool = False
    copied: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    switched: Switched | None = None
    state: str = "estimated"
    encoded: int = 0

    async def take(self, client: Client, step: Step) -> Switched | None:
        """Take one step; its end, None for a dry run.

        Raises
        ------
        ChercheError
            Of the step; it can be taken again.
        """
        checkpoint = Checkpoint(Path(f"{self.index}.upgrade.json"))
        report = Path(f"{self.index}.upgrade.jsonl")
        settings = replace(self.settings, checkpoint=checkpoint.read() if step == "prepare" else "")
        run = Run(checkpoint, self.session.output.progress(), None)
        if step == "prepare":
            run.line(ESTIMATING)
        events = client.upgrade_index(
            self.index, step, self.options, shadow=self.shadow, settings=settings, replace=self.replace
        )
        end: Switched | None = None
        goes_on = bool(settings.checkpoint) or settings.dry_run or step != "prepare"
        with ledger(report, append=goes_on) as run.ledger:
            try:
                async for event in events:
                    if isinstance(event, Switched):
                        end = event
                    else:
                        run.take(event)
                        self.encoded = run.progress.encoded
            except ChercheError as error:
                raise failure(error, self.session.output.as_json) from error
            finally:
                run.end()
        if end is not None:
            checkpoint.write("")
            self.switched, self.state = end, {"prepare": "prepared", "rollback": "rolled back"}.get(step, "switched")
        if step == "prepare":
            self.copied = run.summary(self.index, report)
        for note in run.notes():
            self.session.output.note(f"note: {note}")
        return end

    def so_far(self) -> str:
        """What is done, for somebody who stops it."""
        return f"{self.encoded:,} documents were encoded by this step, and are not encoded again"

    async def roll_back(self, client: Client) -> None:
        """Let the index before serve again; what was written since is encoded for it."""
        for name in (await client.get_index(self.index)).replaced:
            await self.session.load_for(client, name)
        await self.take(client, "rollback")

    def show(self) -> None:
        """Print what came of it."""
        end = self.switched
        result = {
            "index": self.index,
            "state": self.state,
            "serving": list(end.serving) if end else [],
            "kept": list(end.kept) if end else [],
            "copied": self.copied,
            "comparison": self.comparison,
        }
        self.session.output.data(result, lambda: _print(result))


def _judged(queries: Path | None, qrels: Path | None) -> tuple[dict[str, str], dict[str, dict[str, int]]] | None:
    if queries is None:
        return None
    if qrels is not None:
        return read(queries, qrels, None)
    from cherche_models.evaluate import read_queries

    return read_queries(queries), {}


async def compared(
    session: Session,
    client: Client,
    old: str,
    new: str,
    variant: Variant,
    texts: Mapping[str, str],
    judgements: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """Search both indices with the same queries; overlap of the first ten, and nDCG@10 where there are judgements."""
    from cherche_models.evaluate import compare, per_query

    trials: dict[str, Trial] = {}
    for side, name in (("old", old), ("new", new)):
        trials[side] = (await measure(session, client, variant.request(name), [variant], texts))[variant.name]
    pairs = [(trials["old"].rankings[query], trials["new"].rankings[query]) for query in texts]
    found: dict[str, Any] = {"queries": len(texts), "mode": variant.name, "overlap@10": round(overlap(pairs), 4)}
    if judgements:
        values = {side: per_query(trial.rankings, judgements, [_MEASURE])[_MEASURE] for side, trial in trials.items()}
        paired = compare(values["old"], values["new"])
        found[_MEASURE] = {key: round(value, 4) for key, value in asdict(paired).items() if value is not None}
    return found


def overlap(pairs: list[tuple[list[str], list[str]]]) -> float:
    """Mean share of the first ten hits that two rankings have in common; two empty ones agree.

    >>> overlap([(["a", "b"], ["b", "c"]), ([], [])])
    0.75
    """
    shares = [
        len(set(one[:10]) & set(two[:10])) / max(1, min(10, max(len(one), len(two)))) if one or two else 1.0
        for one, two in pairs
    ]
    return sum(shares) / max(1, len(shares))


def check_better(comparison: Mapping[str, Any], *, force: bool) -> None:
    """Refuse a switch after which searches find less, beyond chance.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION with both figures.
    """
    paired = comparison.get(_MEASURE)
    if paired is None or force or paired["difference"] >= 0 or paired["p_value"] >= _CHANCE:
        return
    raise precondition(
        f"the new index is worse: {_MEASURE} {paired['b']:.4f}, {paired['a']:.4f} before "
        f"(p {shown_p(paired['p_value'])}); the alias was not switched",
        "choose another model, or switch all the same with --force",
    )


def _print(result: Mapping[str, Any]) -> None:
    rows: list[tuple[str, object]] = [("state", result["state"])]
    rows += [(key, ", ".join(result[key])) for key in ("serving", "kept") if result[key]]
    copied = result["copied"] or {}
    if result["state"] == "estimated" and copied:
        rows += estimated(copied["estimate"]).items()
    rows += [(key, copied[key]) for key in ("encoded", "kept", "outrun", "skipped", "failed") if copied.get(key)]
    if copied.get("report"):
        rows.append(("report", copied["report"]))
    comparison = result["comparison"] or {}
    if comparison:
        rows.append(("overlap@10", comparison["overlap@10"]))
    if _MEASURE in comparison:
        paired = comparison[_MEASURE]
        said = f"{paired['a']:.4f} → {paired['b']:.4f}, p {shown_p(paired['p_value'])}"
        rows.append((_MEASURE, said))
    table(("", ""), rows)
    if result["state"] == "switched":
        click.echo(f"back again: cherche upgrade {result['index']} --rollback")
