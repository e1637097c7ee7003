"""``cherche models``: what a sidecar serves, and exports for other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.output import table
from sidecar.cli.session import Session, verb

if TYPE_CHECKING:
    from sidecar.values.model import ServedModel


@click.group("models")
def models() -> None:
    """List, load, unload and export models."""


@verb("list", group=models)
def list_(session: Session) -> None:
    """List the served models."""
    served = session.run(lambda client: client.list_models())
    columns = ("name", "state", "architecture", "heads", "device", "dtype", "document", "query", "default")
    session.output.data(
        {"models": [model.to_json() for model in served]},
        lambda: table(columns, [_row(model) for model in served]),
    )


@verb("get", group=models)
@click.argument("name")
def get(session: Session, name: str) -> None:
    """Print all that is known of one."""
    model = session.run(lambda client: client.get_model(name))
    session.output.data(model.to_json(), lambda: table(("", ""), model.to_json().items()))


@verb("load", group=models)
@click.argument("name")
@click.argument("source")
def load(session: Session, name: str, source: str) -> None:
    """Load one into a running sidecar, from a folder on its machine or a hub id."""
    _need_server(session, "load")
    model = session.run(lambda client: client.load_model(name, source))
    note = f": {model.message}" if model.message else ""
    session.output.data(model.to_json(), lambda: click.echo(f"{model.name} is {model.state}{note}"))


@verb("unload", group=models)
@click.argument("name")
def unload(session: Session, name: str) -> None:
    """Free one of a running sidecar."""
    _need_server(session, "unload")
    session.run(lambda client: client.unload_model(name))
    session.output.data({"name": name}, lambda: click.echo(f"{name} is unloaded"))


@verb("export", connects=False, group=models)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["sentence-transformers", "pylate", "neural-cherche", "onnx", "int8", "cherche"]),
    help="The library that is to load it; int8 and cherche for this one.",
)
@click.option("--model", default="", metavar="PATH|ID", help="Folder or hub id.  [default: the shipped model]")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are a pickle, of an author you trust.")
def export(session: Session, folder: Path, form: str, model: str, allow_pickle: bool) -> None:
    """Write a model as other libraries load it.

    A sparse head goes to sentence-transformers' SparseEncoder layout, a late-interaction head to
    PyLate's. With onnx the encoder is written as a graph beside the model, for ONNX Runtime on a
    CPU. With int8 it stays a model of this library, at a quarter of its float32 size; with cherche as
    it is, which turns a checkpoint that has only a pickle (--allow-pickle) into one that is served.
    """
    from sidecar import config
    from sidecar.models.library import export_model

    served = config.load().served_models
    source = model or config.shipped_model()
    export_model(served.get(source, source), folder, form, allow_pickle=allow_pickle)
    session.output.data(
        {"folder": str(folder), "format": form}, lambda: click.echo(f"{folder} holds the {form} export")
    )


def _need_server(session: Session, action: str) -> None:
    if not session.settings().server:
        raise click.UsageError(f"{action} concerns a running sidecar: name it with --server (CHERCHE_SERVER)")


def _row(model: ServedModel) -> list[object]:
    said = model.to_json()
    heads = [name for name, has in (("sparse", said["sparse"]), ("colbert", said["late_interaction"])) if has]
    return [
        model.name,
        model.state,
        said["architecture"],
        "+".join(heads),
        *(said[column] for column in ("device", "dtype", "max_document_length", "max_query_length")),
        "yes" if model.is_default else "",
    ]
