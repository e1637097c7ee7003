"""``cherche setup``: the mapping that term weights and token codes live in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from cherche_models.codec import CODECS, LARGEST_POOL
from sidecar.cli.idle import option
from sidecar.cli.options import flag, offered
from sidecar.cli.output import pretty, size
from sidecar.cli.session import Decorator, Session, verb
from sidecar.errors import ChercheError
from sidecar.values.index import DEFAULT_CODEC, NO_CODES, IndexOptions, SetupResult, TextField
from sidecar.values.options import check_bounds, options


def codec_help() -> str:
    """Every codec with what it takes, and which of them need a codebook."""
    takes = ", ".join(f"{codec.name} ({codec.summary})" for codec in CODECS.values())
    trained = ", ".join(codec.name for codec in CODECS.values() if codec.needs_codebook)
    return (
        f"Of token codes: {takes}, or {NO_CODES} to store none. A codebook (cherche codebook) is needed for "
        f"{trained}.  [default: as it is, or {DEFAULT_CODEC}]"
    )


def fields_option(**given: Any) -> Decorator:  # noqa: ANN401  # of `flag`
    """``--fields``; `parse_fields` reads it."""
    return flag(options(IndexOptions)["fields"], multiple=False, default=None, **given)


@verb("setup")
@click.argument("index")
@fields_option()
@offered(row for row in options(IndexOptions).values() if row.flags != ())
@click.option(
    "--codec",
    type=click.Choice([*CODECS, NO_CODES]),
    help=codec_help(),
)
@option(
    "--pool",
    type=click.IntRange(1, LARGEST_POOL),
    default=1,
    help="About so many like tokens become one.",
    without={"codec": (NO_CODES,)},
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
def setup(
    session: Session,
    index: str,
    fields: str | None,
    dry_run: bool,
    codec: str | None,
    pool: int,
    **given: Any,  # noqa: ANN401  # fields of IndexOptions, checked by click
) -> None:
    """Add the mapping to an index, new or existing.

    Prints the engine's requests and the projected size for the documents there are. Documents and
    fields that exist stay as they are. A model that is a folder or a hub id is remembered by it.

    INDEX may be an alias, a data stream or a pattern such as 'logs-*'. For the last two the mapping
    goes into their index template too, so that indices to come have it.
    """
    models = {name: session.model_name(given[name]) for name in ("model", "reranker")}
    wanted = IndexOptions(fields=parse_fields(fields or ""), codec=codec_form(codec, pool), **given | models)
    result = session.run(lambda client: client.setup_index(index, wanted, dry_run=dry_run), models=(*models.values(),))
    for warning in result.warnings:
        session.output.note(f"note: {warning}")
    session.output.data(_json(index, result), lambda: _print(index, result))


def codec_form(codec: str | None, pool: int) -> str:
    """The codec as an index's settings name it; "" where neither option was given.

    >>> codec_form("residual2", 2), codec_form(None, 3), codec_form(None, 1)
    ('pool2+residual2', 'pool3+int8', '')
    """
    if pool == 1:
        return codec or ""
    return f"pool{pool}+{codec or DEFAULT_CODEC}"


def parse_fields(text: str) -> tuple[TextField, ...]:
    """Read ``name[:share][^boost],…``.

    Raises
    ------
    click.UsageError
        Naming the field that cannot be read.

    >>> parse_fields("title:0.2^2,text")
    (TextField(name='title', token_share=0.2, boost=2.0), TextField(name='text', token_share=0.0, boost=1.0))
    """
    return tuple(_field(part.strip()) for part in text.split(",")) if text else ()


def _field(text: str) -> TextField:
    name, _, boost = text.partition("^")
    name, _, share = name.partition(":")
    try:
        field = TextField(name, float(share or 0), float(boost or 1))
        check_bounds(field)
    except ValueError as error:
        raise click.UsageError(f"field {text!r} is not NAME[:SHARE][^BOOST]: {error}") from error
    except ChercheError as error:
        raise click.UsageError(f"field {text!r}: {error}") from error
    if not name:
        raise click.UsageError(f"field {text!r} needs a name")
    return field


def _json(index: str, result: SetupResult) -> dict[str, Any]:
    return {
        "index": index,
        "applied": result.applied,
        "requests": [dict(request) for request in result.plan.requests],
        "documents": result.plan.documents,
        "projected_bytes": result.projected_bytes,
        "fingerprint": asdict(result.fingerprint),
        "warnings": list(result.warnings),
    }


def _print(index: str, result: SetupResult) -> None:
    for request in result.plan.requests:
        click.echo(f"{request['method']} {request['path']}")
        if request.get("body") is not None:
            click.echo(pretty(request["body"]))
    done = "is set up" if result.applied else "would be set up"
    projected = f"{size(result.projected_bytes)} of weights, packed terms and codes for them"
    click.echo(f"{index} {done}: {result.plan.documents:,} documents, {projected}")
