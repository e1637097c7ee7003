"""``cherche adapt``: the model of an index trained on the index's own documents, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from sidecar.cli.idle import option
from sidecar.cli.move import Move
from sidecar.cli.output import runnable, table
from sidecar.cli.sample import MOST, Sample, documents_of, read_sample
from sidecar.cli.session import Session, is_path, verb
from sidecar.cli.train import Shown, duration
from sidecar.cli.trials import Judgements, error_of, existing_file, read, shown_p
from sidecar.errors import precondition
from sidecar.values.index import DEFAULT_WINDOW

_OTHERS = 1000
"""Documents that compete with the judged ones."""
Judged = tuple[dict[str, list[str]], dict[str, str], Judgements]


@verb("adapt")
@click.argument("index")
@click.option("--model", metavar="NAME|PATH|ID", help="A joint, SPLADE or ColBERT model.  [default: that of the index]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the adapted model.  [default: INDEX-adapted]")
@click.option(
    "--documents",
    type=click.IntRange(1, MOST),
    default=4000,
    show_default=True,
    help="Documents of the index that are read.",
)
@click.option("--fields", metavar="NAME,...", help="Fields that hold the text.  [default: those of the index]")
@option("--queries", type=existing_file(), help="JSONL with _id and text: measure on these.", of={"qrels": ()})
@option(
    "--qrels",
    type=existing_file(),
    help="Judgements of them, BEIR's three columns or TREC's four.",
    of={"queries": ()},
)
@click.option(
    "--teacher", "teachers", multiple=True, metavar="PATH", help="Sentence encoder to learn from.  [default: the model]"
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=20, show_default=True, help="Of training, at most."
)
@click.option("--steps", type=click.IntRange(1), default=400, show_default=True, help="Of training, at most.")
@click.option("--batch", type=click.IntRange(2), default=12, show_default=True, help="Queries of a step.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="The largest of the run.  [default: by the width of the model]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@click.option("--upgrade", is_flag=True, help="Give the index the adapted model, if it is better.")
@click.option("--replace", is_flag=True, help="With --upgrade: as of cherche upgrade.")
@option("--force", is_flag=True, help="With --upgrade: even if it is not better.", of={"upgrade": (True,)})
@click.option("--yes", "-y", is_flag=True, help="With --upgrade: do not ask.")
def adapt(
    session: Session,
    index: str,
    model: str | None,
    out: Path | None,
    documents: int,
    fields: str | None,
    queries: Path | None,
    qrels: Path | None,
    teachers: tuple[str, ...],
    learning_rate: float | None,
    upgrade: bool,
    replace: bool,
    force: bool,
    yes: bool,
    **options: Any,  # noqa: ANN401  # minutes, steps, batch, seed
) -> None:
    """Train the model of an index on the index's own documents; nothing leaves this machine.

    Reads a sample of the documents, makes queries of their titles, headings, sentences and rare words,
    and trains on those for a bounded time. The model as it is holds it back, and the result is a mean
    of both. Run again after an interruption, the same command goes on where the last saved state was;
    the folder of the model holds the documents that it was trained on until you delete its subfolder
    training.

    Then it is measured before and after, by BM25, term weights, both, and reranked. Without --queries
    and --qrels that happens on made queries of documents held out from training, which flatter an
    adapted model: real queries are worded otherwise. Judged documents are not trained on.

    The index stays as it is unless --upgrade is given and the last stage is better, and none worse
    beyond chance. On a cluster that is cherche upgrade; an embedded index is encoded in place.
    """
    if upgrade and session.settings().server:
        raise click.UsageError("a running sidecar loads its own models: leave out --upgrade, and run what is printed")
    if upgrade and not yes and not sys.stdin.isatty():
        raise click.UsageError("no terminal to confirm on: add --yes, or leave out --upgrade")
    texts, judgements = read(queries, qrels, None) if queries and qrels else ({}, {})
    names = tuple(filter(None, (fields or "").split(",")))
    found = session.run(
        lambda client: read_sample(client, index, names, judged=documents_of(judgements), sample=documents)
    )
    found.held.warn(session.output, index)
    folder = out or Path(f"{index.replace('*', '_')}-adapted")
    report = _adapted(
        session,
        _base(session, index, model, found),
        found,
        folder,
        _judged(found, texts, judgements) if judgements else None,
        {**options, "teachers": teachers, "learning_rate": learning_rate or 0.0},
    )
    move = Move(session, index, found.report, folder, replace)
    report |= {"index": index, "upgraded": False, "commands": move.commands()}
    if session.output.as_json and not upgrade:
        session.output.data(report, lambda: None)
        return
    if not session.output.as_json:
        _print(report)
    if upgrade and (report["better"] or force) and (yes or _agreed(index)):
        move.run()
        report["upgraded"] = True
    if session.output.as_json:
        session.output.data(report, lambda: None)
    else:
        _print_next(report, upgrade)


def _base(session: Session, index: str, model: str | None, found: Sample) -> str:
    """Folder, id or shipped name of the model that is adapted."""
    settings, meta = session.settings(), found.report.meta
    name = model or (meta.model if meta else "")
    if not name:
        raise precondition(f"index {index!r} is not set up, so it has no model", "name one with --model")
    if is_path(name):
        return str(Path(name).expanduser().resolve())
    if settings.server and model is None and name not in settings.served_models:
        raise precondition(
            f"index {index!r} has the model {name!r} of {settings.server}",
            "name its folder on this machine with --model",
        )
    return str(settings.served_models.get(name, name))


def _judged(found: Sample, texts: dict[str, str], judgements: Judgements) -> Judged:
    """Judged documents, and the first of the others, which compete with them."""
    judged = set(documents_of(judgements))
    own = {key: fields for key, fields in found.documents.items() if key in judged}
    others = ((key, fields) for key, fields in found.documents.items() if key not in judged)
    return {**own, **dict(islice(others, _OTHERS))}, texts, judgements


def _adapted(
    session: Session, base: str, found: Sample, folder: Path, judged: Judged | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    from sidecar.models.library import adapt_model

    meta, shown = found.report.meta, Shown(session.output, plan_only=False)
    mixing: dict[str, Any] = {"window": DEFAULT_WINDOW}
    if meta is not None:
        mixing = {
            "window": meta.rerank_window,
            "sparse_boost": meta.sparse_boost,
            "rerank_weight": meta.rerank_weight if not meta.reranker else None,
        }
    apart = set(judged[2] and documents_of(judged[2])) if judged else set()
    texts = {key: fields for key, fields in found.documents.items() if key not in apart}
    session.output.note(
        f"{len(texts):,} documents are read, {found.without_text:,} have no text; all stays in {folder}"
    )
    try:
        report = adapt_model(base, texts, folder, shown, mixing, judged, **options)
    except KeyboardInterrupt:
        session.output.note(f"stopped; the same command goes on from what {folder} holds")
        raise
    finally:
        shown.close()
    return {**report, "judged_documents": asdict(found.held)}


def _agreed(index: str) -> bool:
    return click.confirm(f"Give {index!r} the adapted model and encode its documents again?", err=True)


def _print(report: Mapping[str, Any]) -> None:
    rows = [
        (
            stage,
            f"{one['a']:.4f}",
            f"{one['b']:.4f}",
            f"{one['difference']:+.4f}",
            error_of(one["standard_error"]),
            shown_p(one["p_value"]),
            one["wins"],
            one["losses"],
        )
        for stage, one in report["stages"].items()
    ]
    title = f"nDCG@10 on {report['queries']:,} {report['measured_on']} queries over {report['scored']:,} documents"
    table(("", "before", "after", "difference", "±", "p", "wins", "losses"), rows, title)
    if report["measured_on"] == "made":
        click.echo("made queries flatter an adapted model: judge real ones, and give them with --queries and --qrels")
    steps = f"{report['steps']:,} steps in {duration(report['seconds'])}"
    click.echo(f"{report['folder']}: {steps} on {report['examples']:,} made queries, {report['share']:g} of the mean")


def _print_next(report: Mapping[str, Any], upgrade: bool) -> None:
    if report["upgraded"]:
        click.echo(f"{report['index']} has the adapted model")
        return
    click.echo(_verdict(report))
    commands: Sequence[str] = report["commands"]
    if report["better"]:
        click.echo("\n".join(["to give it the index:", *map(runnable, commands)]))
    elif upgrade:
        click.echo(f"{report['index']} keeps its model; --force gives it the adapted one all the same")


def _verdict(report: Mapping[str, Any]) -> str:
    """Whether it is better, and how sure that is.

    >>> one = {"difference": 0.02, "p_value": 0.2}
    >>> _verdict({"better": True, "decides": "hybrid", "worse": [], "stages": {"hybrid": one}})
    'hybrid is better by 0.0200, which may be chance (p 0.2000)'
    """
    one = report["stages"][report["decides"]]
    p = shown_p(one["p_value"])
    if report["better"]:
        chance = "" if one["p_value"] < 0.05 else ", which may be chance"
        return f"{report['decides']} is better by {one['difference']:.4f}{chance} (p {p})"
    if report["worse"]:
        return f"it is not better: {', '.join(report['worse'])} found less, beyond chance"
    return f"it is not better: {report['decides']} {one['difference']:+.4f} (p {p})"
