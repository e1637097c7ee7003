"""``cherche compare``: two systems on the same judged queries, query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from sidecar.cli.options import parameter_type
from sidecar.cli.output import excerpt, table
from sidecar.cli.session import Session, verb
from sidecar.cli.trials import (
    DEPTH,
    Judgements,
    Trial,
    Variant,
    check_applied,
    coverage,
    error_of,
    existing_file,
    measure,
    read,
    shown_p,
)
from sidecar.errors import invalid
from sidecar.values.options import options
from sidecar.values.search import SearchRequest

if TYPE_CHECKING:
    from sidecar.client.client import Client

MEASURES = ("ndcg@10", "recall@100", "map", "mrr", "hits@1", "hits@10")
_SETTINGS = {
    row.name: row
    for row in options(SearchRequest).values()
    if row.tunes and row.name not in {part.name for part in fields(Variant)}
}
_FORM = "INDEX/MODE[:QUERY_MODE][+rerank][?SETTING=VALUE&…]"


@dataclass(frozen=True, slots=True)
class System:
    """What is compared: a run file, or a way to search an index."""

    name: str
    run: Path | None = None
    variant: Variant | None = None
    request: SearchRequest | None = None

    @classmethod
    def parse(cls, text: str) -> System:
        """Read ``run file`` or ``INDEX/MODE[:QUERY_MODE][+rerank][?SETTING=VALUE&…]``.

        Raises
        ------
        click.UsageError
            Naming what cannot be read.

        >>> System.parse("articles/hybrid+rerank?rerank_weight=0.3").request.rerank_weight
        0.3
        """
        if Path(text).is_file():
            return cls(text, run=Path(text))
        form, _, given = text.partition("?")
        index, slash, mode = form.rpartition("/")
        if not slash or not index:
            raise click.UsageError(f"{text!r} is neither a run file nor {_FORM}")
        variant = Variant.parse(mode)
        settings = _settings(text, given)
        request = variant.request(index, size=DEPTH, **settings)
        for name in settings:
            if reason := variant.idle(_SETTINGS[name], {row: getattr(request, row) for row in _SETTINGS}):
                raise click.UsageError(f"{text!r}: {name} {reason}")
        return cls(text, variant=variant, request=request)


def _settings(text: str, given: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in filter(None, given.split("&")):
        name, _, value = pair.partition("=")
        if name not in _SETTINGS:
            raise click.UsageError(f"{text!r}: {name!r} is not one of {', '.join(_SETTINGS)}")
        try:
            found[name] = parameter_type(_SETTINGS[name]).convert(value, None, None)
        except click.BadParameter as error:
            raise click.UsageError(f"{text!r}: {name}: {error.message}") from error
    return found


@verb("compare")
@click.argument("a")
@click.argument("b")
@click.option("--qrels", required=True, type=existing_file(), help="Judgements, BEIR's three columns or TREC's four.")
@click.option("--queries", type=existing_file(), help="JSONL with _id and text; needed to search, shown otherwise.")
@click.option("--measures", default=",".join(MEASURES), show_default=True, help="By commas; the first sorts queries.")
@click.option("--worst", "shown", type=click.IntRange(0), default=5, show_default=True, help="Queries listed per side.")
@click.option("--limit", type=click.IntRange(1), help="Only the first queries.")
def compare(
    session: Session,
    a: str,
    b: str,
    qrels: Path,
    queries: Path | None,
    measures: str,
    shown: int,
    limit: int | None,
) -> None:
    """Compare two systems query by query.

    A system is a TREC run file, or INDEX/MODE[:QUERY_MODE][+rerank], as in articles/hybrid+rerank,
    with settings such as ?rerank_weight=0.3&rerank_window=50. Each measure is compared by a paired
    randomisation test; ± is the standard error of the difference. The queries on which B loses and
    wins most are listed.
    """
    systems = [System.parse(a), System.parse(b)]
    if queries is None and any(system.run is None for system in systems):
        raise click.UsageError("searching needs --queries")
    texts, judgements = _judged(queries, qrels, limit)
    held: dict[str, dict[str, Any]] = {}
    rankings = [_rankings(session, system, texts, judgements, held) for system in systems]
    report = compared((a, b), rankings, judgements, measures.split(","), texts, shown)
    report["judged_documents"] = held
    session.output.data(report, lambda: print_report(report))


def _judged(queries: Path | None, qrels: Path, limit: int | None) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    if queries is not None:
        return read(queries, qrels, limit)
    from cherche_models.evaluate import judged, read_qrels

    try:
        judgements = read_qrels(qrels)
        wanted = judged(judgements)[:limit]
    except ValueError as error:
        raise invalid(str(error), "correct the file") from error
    return {}, {query: judgements[query] for query in wanted}


def _rankings(
    session: Session,
    system: System,
    texts: Mapping[str, str],
    judgements: Judgements,
    held: dict[str, dict[str, Any]],
) -> Mapping[str, Sequence[str]]:
    """A system's rankings; what its index holds of the judged documents goes into `held`, by the index's name."""
    from cherche_models.evaluate import read_run

    if system.run is not None:
        try:
            return read_run(system.run)
        except (ValueError, OSError) as error:
            raise invalid(
                str(error), "give a run of six columns, tabs or spaces: query Q0 document rank score name"
            ) from error
    variant, request = cast("Variant", system.variant), cast("SearchRequest", system.request)
    request = replace(request, reranker=session.model_name(request.reranker))
    name = request.index

    async def searched(client: Client) -> dict[str, Trial]:
        if name not in held:
            held[name] = asdict(await coverage(session, client, name, judgements))
        return await measure(session, client, request, [variant], texts)

    trials = session.run(searched, index=name, models=(request.reranker,))
    check_applied([variant] if variant.rerank else [], trials)
    return trials[variant.name].rankings


def compared(
    names: tuple[str, str],
    rankings: Sequence[Mapping[str, Sequence[str]]],
    judgements: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
    texts: Mapping[str, str],
    shown: int,
) -> dict[str, Any]:
    """Each measure compared, and the queries that differ most by the first."""
    from cherche_models.evaluate import compare as paired
    from cherche_models.evaluate import per_query

    try:
        a, b = (per_query(ranking, judgements, measures) for ranking in rankings)
    except ValueError as error:
        raise invalid(str(error), "see: cherche compare --help") from error
    gains = {query: b[measures[0]][query] - value for query, value in a[measures[0]].items()}
    rows = [
        {"query": query, "text": texts.get(query, ""), "a": a[measures[0]][query], "b": b[measures[0]][query]}
        for query in sorted(gains, key=gains.__getitem__)
        if gains[query]
    ]
    lost = sum(gain < 0 for gain in gains.values())
    return {
        "a": names[0],
        "b": names[1],
        "queries": len(gains),
        "unanswered": [sum(query not in ranking for query in judgements) for ranking in rankings],
        "measures": {name: asdict(paired(a[name], b[name])) for name in measures},
        "losses": rows[:lost][:shown],
        "wins": rows[lost:][::-1][:shown],
    }


def print_report(report: Mapping[str, Any]) -> None:
    """Measures, then the queries."""
    columns = ("measure", "A", "B", "B − A", "±", "p", "wins", "losses", "ties")
    rows = [
        (
            name,
            *(f"{found[side]:.4f}" for side in ("a", "b")),
            f"{found['difference']:+.4f}",
            error_of(found["standard_error"]),
            shown_p(found["p_value"]),
            *(found[count] for count in ("wins", "losses", "ties")),
        )
        for name, found in report["measures"].items()
    ]
    click.echo(f"A: {report['a']}\nB: {report['b']}")
    table(columns, rows, f"{report['queries']} queries, paired randomisation test")
    first = next(iter(report["measures"]))
    for side, title in (("losses", "B loses most"), ("wins", "B wins most")):
        queries = [(q["query"], f"{q['a']:.3f}", f"{q['b']:.3f}", excerpt(q["text"])) for q in report[side]]
        if queries:
            table(("query", "A", "B", "text"), queries, f"{title}, by {first}")
