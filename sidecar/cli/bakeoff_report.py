"""What a bake-off measured, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from sidecar.cli.bakeoff_run import Entry, JudgedSet
from sidecar.cli.output import size, table
from sidecar.cli.trials import error_of, latency, shown_p
from sidecar.maintenance.bakeoff import BM25, HYBRID, RERANK, Measured, Rankings

NDCG = "ndcg@10"
_HOURS = 1e6 / 3600  # from seconds for one document to hours for a million


def reported(
    index: str,
    found: JudgedSet,
    entries: Sequence[Entry],
    bm25: Rankings,
    baseline: str,
    window: int,
    price: float | None = None,
) -> dict[str, Any]:
    """Everything measured, as JSON has it; what does not apply to a model is null."""
    from cherche_models.evaluate import per_query

    recall = f"recall@{window}"

    def measured(rankings: Rankings) -> dict[str, dict[str, float]]:
        return per_query(rankings, found.judgements, (NDCG, recall))

    lexical = measured(bm25)
    finals = {entry.name: measured(entry.measured.final)[NDCG] for entry in entries if entry.measured is not None}
    finals.setdefault(BM25, lexical[NDCG])
    warnings = []
    if baseline not in finals:
        warnings.append(f"the baseline {baseline} could not be measured: models are compared with {BM25}")
        baseline = BM25
    if found.is_sample:
        warnings.append(
            f"{len(found.corpus.ids):,} of {found.index_documents:,} documents were scored: fewer compete than in the "
            "whole index, so nDCG and recall are optimistic; compare the rows, and measure the winner with cherche eval"
        )
    if found.without_text:
        warnings.append(f"{found.without_text:,} documents were left out, as they have no text in the fields")
    rows = []
    for entry in entries:
        row = {
            **_identity(entry),
            NDCG: {BM25: _mean(lexical[NDCG])},
            recall: None,
            **_compared(entry, finals, baseline),
        }
        if entry.measured is not None:
            row[NDCG] |= {stage: _mean(measured(ranking)[NDCG]) for stage, ranking in entry.measured.stages.items()}
            row[recall] = _mean(measured(entry.measured.first.rankings)[recall])
        rows.append({**row, **_cost(entry.measured, price)})
    return {
        "index": index,
        "queries": len(found.corpus.queries),
        "documents": len(found.corpus.ids),
        "index_documents": found.index_documents,
        "is_sample": found.is_sample,
        "judged_documents": asdict(found.held),
        BM25: {NDCG: _mean(lexical[NDCG]), recall: _mean(lexical[recall])},
        "baseline": baseline,
        "window": window,
        "models": rows,
        "warnings": warnings,
    }


def _identity(entry: Entry) -> dict[str, Any]:
    info = entry.measured.info if entry.measured is not None else None
    kind = info.architecture if info else "cross_encoder" if entry.is_cross_encoder else None
    return {
        "model": entry.name,
        "source": entry.source,
        "error": entry.error or None,
        "architecture": kind,
        "note": (info.note if info else "") or None,
        "first_stage": entry.measured.first.name if entry.measured is not None else None,
    }


def _compared(entry: Entry, finals: Mapping[str, Mapping[str, float]], baseline: str) -> dict[str, Any]:
    """The last stage beside the baseline's last."""
    from cherche_models.evaluate import compare

    if entry.name not in finals or entry.name == baseline:
        return {"comparison": None}
    found = asdict(compare(finals[baseline], finals[entry.name]))
    return {"comparison": {key: found[key] for key in found if key not in ("a", "b")}}


def _cost(measured: Measured | None, price: float | None) -> dict[str, Any]:
    names = ("query_ms", "documents_per_second", "bytes_per_document", "core_hours_per_million_documents")
    found: dict[str, Any] = dict.fromkeys(names)
    if measured is not None:
        cost = measured.cost
        found["query_ms"] = latency(cost.query_seconds)
        if cost.documents:
            found["documents_per_second"] = round(cost.documents / cost.seconds, 1)
            found["bytes_per_document"] = round(cost.stored_bytes / cost.documents)
            # A device other than the CPU is busy by the clock, whatever the cores do meanwhile.
            on_cpu = measured.info is None or measured.info.device.startswith("cpu")
            busy = cost.core_seconds if on_cpu else cost.seconds
            found["core_hours_per_million_documents"] = round(_hours(busy / cost.documents), 2)
    if price is not None:
        hours = found["core_hours_per_million_documents"]
        found["cost_per_million_documents"] = None if hours is None else round(hours * price, 2)
    return found


def _hours(seconds: float) -> float:
    """Hours for a million documents, from the seconds of one.

    >>> round(_hours(0.036), 6)
    10.0
    """
    return seconds * _HOURS


def _mean(column: Mapping[str, float]) -> float:
    return round(sum(column.values()) / len(column), 4)


def print_report(report: Mapping[str, Any]) -> None:
    """Models as rows, what failed below them."""
    recall = f"recall@{report['window']}"
    with_cost = any("cost_per_million_documents" in row for row in report["models"])
    columns = ["model", "kind", BM25, HYBRID, RERANK, recall, "difference", "±", "p", "query ms", "documents/s"]
    columns += ["bytes/document", "core-h/million", *(["cost/million"] if with_cost else [])]
    rows = [_row(row, recall, report["baseline"], with_cost) for row in report["models"]]
    title = (
        f"{NDCG} on {report['queries']:,} queries over {report['documents']:,} of {report['index_documents']:,} "
        f"documents; differences of the last stage from {report['baseline']}'s, paired randomisation test"
    )
    table(columns, rows, title)
    shared = sorted({row["first_stage"] for row in report["models"] if row["first_stage"]})
    if any(row["architecture"] in ("colbert", "cross_encoder") for row in report["models"]):
        click.echo(f"first stages: {', '.join(shared)}; a model without term weights reranks another's hits")
    for row in report["models"]:
        if row["note"]:
            click.echo(f"{row['model']} is {row['note']}")
        if row["error"]:
            click.echo(f"{row['model']} was not measured: {row['error']}")


def _row(row: Mapping[str, Any], recall: str, baseline: str, with_cost: bool) -> list[object]:
    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    measures, compared = row[NDCG], row["comparison"]
    difference = ["baseline" if row["model"] == baseline and not row["error"] else "–", "–", "–"]
    if compared is not None:
        difference = [
            f"{compared['difference']:+.4f}",
            error_of(compared["standard_error"]),
            shown_p(compared["p_value"]),
        ]
    stored = row["bytes_per_document"]
    return [
        row["model"],
        "failed" if row["error"] else row["architecture"],
        *(shown(measures.get(stage), ".4f") for stage in (BM25, HYBRID, RERANK)),
        shown(row[recall], ".4f"),
        *difference,
        "–" if row["query_ms"] is None else f"{row['query_ms']['p50']:.1f}",
        shown(row["documents_per_second"], ",.1f"),
        "–" if stored is None else size(stored),
        shown(row["core_hours_per_million_documents"], ".2f"),
        *([shown(row["cost_per_million_documents"], ".2f")] if with_cost else []),
    ]
