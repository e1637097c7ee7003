"""``cherche encode``: the term weights of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cherche_models.naming import unescape
from sidecar.cli.failures import FAILURE, error_json
from sidecar.cli.idle import option
from sidecar.cli.output import excerpt, table
from sidecar.cli.session import Session, verb
from sidecar.cli.texts import read_texts

if TYPE_CHECKING:
    from sidecar.client.client import Client, Output
    from sidecar.values.encoded import EncodedText


@verb("encode")
@click.argument("texts", nargs=-1, metavar="[TEXT|FILE|-]...")
@click.option("--query", "as_query", is_flag=True, help="Encode as queries.")
@click.option("--model", default="", metavar="NAME|PATH|ID", help="Served model, folder or hub id.")
@click.option("--prune", default="none", show_default=True, help="Such as top_k:128 or max_ratio:0.1.")
@option(
    "--max-length",
    type=click.IntRange(0),
    default=0,
    help="Tokens kept of a document; 0 for the model's maximum.",
    without={"as_query": (True,)},
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Terms printed per text.")
def encode(
    session: Session, texts: tuple[str, ...], as_query: bool, model: str, prune: str, max_length: int, top: int
) -> None:
    """Print the term weights of texts.

    An argument that names a file stands for its lines; "-" or nothing reads stdin.
    """
    given = read_texts(texts)
    name = session.model_name(model)
    encoded = session.run(lambda client: _encode(client, given, name, as_query, prune, max_length), models=(name,))
    pairs = list(zip(given, encoded, strict=True))
    session.output.data([_json(text, item) for text, item in pairs], lambda: _print(pairs, top))
    if any(item.error for item in encoded):
        raise SystemExit(FAILURE)


async def _encode(
    client: Client, texts: Sequence[str], model: str, as_query: bool, prune: str, max_length: int
) -> Sequence[EncodedText]:
    from sidecar.values.encoded import Text

    items = [Text(text) for text in texts]
    wanted: tuple[Output, ...] = ("term_weights",)
    if as_query:
        return (await client.encode_queries(items, model=model, prune=prune, outputs=wanted)).items
    result = await client.encode_documents(items, model=model, prune=prune, max_length=max_length, outputs=wanted)
    return result.items


def by_weight(item: EncodedText) -> list[tuple[str, float]]:
    """Tokens and weights, heaviest first."""
    weights = {unescape(name): weight for name, weight in (item.weights or {}).items()}
    return sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))


def _json(text: str, item: EncodedText) -> dict[str, Any]:
    if item.error is not None:
        return {"text": text, "error": error_json(item.error)}
    return {"text": text, "tokens": item.tokens, "truncated": item.truncated, "terms": dict(by_weight(item))}


def _print(pairs: Sequence[tuple[str, EncodedText]], top: int) -> None:
    for text, item in pairs:
        terms = by_weight(item)
        title = f"{excerpt(text)} ({len(terms)} terms, {item.tokens} tokens{', cut' if item.truncated else ''})"
        if item.error is not None:
            click.echo(f"Error: {item.error}", err=True)
        else:
            table(("term", "weight"), [(term, f"{weight:.4f}") for term, weight in terms[:top]], title)
