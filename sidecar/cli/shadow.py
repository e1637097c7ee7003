"""What shadow mode logged, for ``cherche tune``: overlap, latency, and who wins on judged queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sidecar.cli.output import table
from sidecar.cli.trials import Gains, error_of, shown_p
from sidecar.errors import invalid


def shadow_report(
    log: Path | None, index: str, texts: Mapping[str, str], judgements: Gains, *, of_clicks: bool
) -> dict[str, Any] | None:
    """The report of a log as JSON has it; None without one.

    Parameters
    ----------
    of_clicks : bool
        Whether the judgements are of clicks, which judge all that was shown.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the log has nothing of the index.
    """
    if log is None:
        return None
    from cherche_models.evaluate import clicks, shadow

    try:
        searches = shadow.read_shadow(log, index)
    except ValueError as error:
        step = 'set a search pipeline with "mode": "shadow" (opensearch/pipelines/shadow.json) and give the node\'s log'
        raise invalid(str(error), step) from error
    gains = {texts[query]: row for query, row in judgements.items()}
    found = shadow.report(searches, gains, shown_is_judged=of_clicks)
    return {**asdict(found), "win_rate": found.win_rate, "least_queries": clicks.LEAST_QUERIES}


def print_shadow(report: Mapping[str, Any]) -> None:
    """Both pages beside each other."""
    rows = [(name, report[f"{name}_ms"]["p50"], report[f"{name}_ms"]["p95"]) for name in ("shown", "hybrid")]
    table(("page", "p50 ms", "p95 ms"), rows, f"shadow mode: {report['searches']:,} searches")
    statuses = ", ".join(f"{count:,} {status or 'none'}" for status, count in report["rerank_statuses"].items())
    click.echo(f"common hits {report['overlap']:.0%}, same page {report['same_order']:.0%}; rerank: {statuses}")
    if (judged := report["judged"]) is None:
        needed = f"and {report['least_queries']} are needed"
        click.echo(f"no win rate: {report['judged_queries']} of its queries are judged, {needed}")
        return
    rate = "no difference" if report["win_rate"] is None else f"the hybrid page wins {report['win_rate']:.0%}"
    click.echo(
        f"of {report['judged_queries']:,} judged queries {rate}: {judged['wins']} better, {judged['losses']} worse, "
        f"{judged['ties']} equal; nDCG@10 {judged['difference']:+.4f} ± {error_of(judged['standard_error'])}, "
        f"p {shown_p(judged['p_value'])}"
    )
