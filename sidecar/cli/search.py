"""``cherche search``: hits, where their scores come from, and the engine's own request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sidecar.cli.options import offered
from sidecar.cli.output import hits_table, table
from sidecar.cli.session import Session, verb
from sidecar.cli.snippet import passage_lines, snippet
from sidecar.values.curl import curl_command
from sidecar.values.options import options
from sidecar.values.search import Explanation, Hit, RerankStatus, SearchRequest, SearchResult

# Keys of a search body: a lone object with another key is a query. A lone `knn` is the query of that name.
# fmt: off
_OF_A_BODY = frozenset((
    "_source", "aggregations", "aggs", "collapse", "derived", "docvalue_fields", "explain", "ext", "fields", "filter",
    "from", "highlight", "include_named_queries_score", "indices_boost", "min_score", "pit", "post_filter", "profile",
    "query", "rank", "rescore", "retriever", "runtime_mappings", "script_fields", "search_after", "search_pipeline",
    "seq_no_primary_term", "size", "slice", "sort", "stats", "stored_fields", "sub_searches", "suggest",
    "terminate_after", "timeout", "track_scores", "track_total_hits", "verbose_pipeline", "version",
))
# fmt: on


@verb("search")
@click.argument("index")
@click.argument("text")
@offered(row for row in options(SearchRequest).values() if row.flags != ())
@click.option("--filter", "filter_json", metavar="JSON", help="Query DSL that hits must match.")
@click.option(
    "--query-json",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='A search body with "{{text}}" slots, sent instead of the default BM25 query.',
)
@click.option("--explain", is_flag=True, help="Print the terms and tokens behind each score.")
def search(
    session: Session,
    index: str,
    text: str,
    filter_json: str | None,
    query_json: Path | None,
    explain: bool,
    **given: Any,  # noqa: ANN401  # fields of SearchRequest, checked by click
) -> None:
    """Search an index.

    The first stage is BM25, term weights (sparse), or both in one query (hybrid); --rerank
    reorders its best hits by MaxSim. --explain prints how the parts add up to each score.
    """
    if explain and given["include_engine_request"] and not session.output.as_json:
        raise click.UsageError(
            "--explain prints beside hits, and --curl the request alone: give one of them, or --json"
        )
    named = session.model_name(given["reranker"])
    request = SearchRequest(index=index, text=text, body=_body(filter_json, query_json), **given | {"reranker": named})
    explanations: Sequence[Explanation] = ()
    if explain:
        result, explanations = session.run(lambda client: client.explain(request), index=index, models=(named,))
    else:
        result = session.run(lambda client: client.search(request), index=index, models=(named,))
    for warning in result.warnings:
        session.output.note(f"note: {warning}")
    session.output.data(result_json(result, explanations), _printer(session, result, explanations, request))


def result_json(result: SearchResult, explanations: Sequence[Explanation]) -> dict[str, Any]:
    """A page as JSON: what the wire has, in milliseconds where it is time."""
    value = asdict(result)
    value["timings_ms"] = {stage: round(1000 * s, 3) for stage, s in value.pop("timings").items()}
    if explanations:
        value["explanations"] = [asdict(explanation) for explanation in explanations]
    return value


def _printer(
    session: Session, result: SearchResult, explanations: Sequence[Explanation], request: SearchRequest
) -> Callable[[], None]:
    def text() -> None:
        if request.include_engine_request:
            click.echo(curl_command(session.settings().url, result.engine_request or {}))
            return
        print_hits(result.hits, request.text)
        for hit in result.hits:
            for line in passage_lines(hit):
                click.echo(line)
            for field, fragments in hit.extra.get("highlight", {}).items():
                click.echo(f"{hit.rank}. {hit.id}, {field}: {' … '.join(fragments)}")
        if result.aggregations:
            click.echo(json.dumps(result.aggregations, indent=2, ensure_ascii=False))
        for explanation in explanations:
            print_explanation(explanation, result, request.rank_constant)
        session.output.note(_footer(result))

    return text


def print_hits(hits: Sequence[Hit], query: str) -> None:
    """Each hit with what of its text answers the query."""
    reranked = any(hit.parts.maxsim is not None for hit in hits)
    columns = ["rank", "score", "lexical", "sparse", *(["maxsim", "was"] if reranked else []), "id"]
    hits_table(columns, [_row(hit, reranked) for hit in hits], [snippet(hit, query) for hit in hits])


def _row(hit: Hit, reranked: bool) -> list[object]:
    parts = hit.parts
    late: list[object] = []
    if reranked:
        late = ["–" if parts.maxsim is None else f"{parts.maxsim:.3f}", parts.first_stage_rank]
    return [
        hit.rank,
        f"{hit.score:.4f}",
        f"{parts.lexical:.4f}",
        f"{parts.sparse:.4f}",
        *late,
        hit.id,
    ]


def print_explanation(explanation: Explanation, result: SearchResult, rank_constant: int) -> None:
    """The parts of one hit's score, term by term and token by token."""
    hit = next(hit for hit in result.hits if hit.id == explanation.id)
    click.echo(f"\n{hit.rank}. {hit.id}: {sum_of(hit, result.rerank.weight, rank_constant)}")
    if explanation.terms:
        rows = [
            (t.token, f"{t.query_weight:.3f}", f"{t.document_weight:.3f}", f"{t.contribution:.4f}")
            for t in explanation.terms
        ]
        title = f"term weights, sparse boost {explanation.sparse_boost:g}"
        table(("term", "query", "document", "contribution"), rows, title)
    if explanation.matches:
        tokens = [
            (m.query_token, m.document_token or "(withheld)", m.document_position, f"{m.similarity:.3f}")
            for m in explanation.matches
        ]
        table(("query token", "document token", "position", "similarity"), tokens, "MaxSim")
    for note in explanation.notes:
        click.echo(note)


def sum_of(hit: Hit, weight: float, rank_constant: int) -> str:
    """How the parts of a hit add up to its score."""
    parts = hit.parts
    ranks = {"lexical": parts.lexical_rank, "sparse": parts.sparse_rank}
    shares = [f"1 / ({rank_constant} + {rank}) {name}" for name, rank in ranks.items() if rank is not None]
    shares = shares or [f"{parts.lexical:.4f} lexical", f"{parts.sparse:.4f} sparse"]
    first = f"{' + '.join(shares)} = {parts.first_stage:.4f}"
    if parts.maxsim_scaled is None or parts.first_stage_scaled is None:
        is_below = hit.score != parts.first_stage
        return f"{first}; below the rerank window: -1 / (1 + first stage) = {hit.score:.4f}" if is_below else first
    fused = (
        f"{1 - weight:g} · {parts.first_stage_scaled:.4f} + {weight:g} · {parts.maxsim_scaled:.4f} = {hit.score:.4f}"
    )
    return f"{first}; first stage and MaxSim, scaled: {fused}"


def _footer(result: SearchResult) -> str:
    total = f"{'≥ ' if result.total_is_lower_bound else ''}{result.total:,} hit{'' if result.total == 1 else 's'}"
    parts = [total, f"{1000 * result.timings.total:.0f} ms"]
    if result.rerank.status != RerankStatus.NOT_REQUESTED:
        parts.append(f"rerank {result.rerank.status}" + (f" ({result.rerank.reason})" if result.rerank.reason else ""))
    if result.match_set_reason and not result.match_set_reason.startswith("mode "):
        parts.append(f"match set {result.match_set} ({result.match_set_reason})")
    if result.next_page_token:
        parts.append(f"next page: --page {result.next_page_token}")
    return ", ".join(parts)


def _body(filter_json: str | None, query_json: Path | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if query_json is not None:
        body = _object(query_json.read_text(encoding="utf-8"), str(query_json))
        if len(body) == 1 and not _OF_A_BODY & body.keys():  # a bare query
            body = {"query": body}
    if filter_json is not None:
        given, own = _parsed(filter_json, "--filter"), body.get("filter")
        body["filter"] = given if own is None else [*_listed(own), *_listed(given)]
    return body


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # any JSON value
    return value if isinstance(value, list) else [value]


def _object(text: str, name: str) -> dict[str, Any]:
    value = _parsed(text, name)
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} holds no JSON object")
    return value


def _parsed(text: str, name: str) -> Any:  # noqa: ANN401  # whatever JSON holds
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{name} is not JSON: {error}") from error
