"""``cherche rerank``: texts ordered by MaxSim with a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sidecar.cli.failures import FAILURE, error_json
from sidecar.cli.output import excerpt, table
from sidecar.cli.session import Session, verb
from sidecar.cli.texts import read_texts

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.values.encoded import RerankResult


@verb("rerank")
@click.argument("query")
@click.argument("texts", nargs=-1, metavar="[TEXT|FILE|-]...")
@click.option("--model", default="", metavar="NAME|PATH|ID", help="Served model, folder or hub id.")
@click.option("--max-length", type=click.IntRange(0), default=0, help="Tokens kept; 0 for the model's maximum.")
def rerank(session: Session, query: str, texts: tuple[str, ...], model: str, max_length: int) -> None:
    """Order texts by MaxSim with a query.

    An argument that names a file stands for its lines; "-" or nothing reads stdin.
    """
    given = read_texts(texts)
    name = session.model_name(model)
    result = session.run(lambda client: _rerank(client, query, given, name, max_length), models=(name,))
    value = {
        "query": query,
        "model": result.model,
        "scores": [{"index": s.index, "score": s.score, "text": given[s.index]} for s in result.scores],
        "failures": [{"index": f.index, **error_json(f.error)} for f in result.failures],
    }
    rows = [(rank, f"{s.score:.4f}", excerpt(given[s.index])) for rank, s in enumerate(result.scores, 1)]
    session.output.data(value, lambda: table(("rank", "MaxSim", "text"), rows))
    for failed in result.failures:
        click.echo(f"Error: text {failed.index}: {failed.error}", err=True)
    if result.failures:
        raise SystemExit(FAILURE)


async def _rerank(client: Client, query: str, texts: list[str], model: str, max_length: int) -> RerankResult:
    from sidecar.values.encoded import Text

    return await client.rerank(query, [Text(text) for text in texts], model=model, max_length=max_length)
