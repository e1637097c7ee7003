"""``cherche codebook``: train the codebook that residual codes of a model are made with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sidecar.cli.output import size
from sidecar.cli.session import Session, verb
from sidecar.errors import invalid


@verb("codebook", connects=False)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("corpus", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--fields", default="title,text", show_default=True, help="Of the documents, joined by a space.")
@click.option("--centroids", type=click.IntRange(1, 65536), default=1024, show_default=True, help="Two bytes name one.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the centroids' first places.")
def codebook(session: Session, folder: Path, corpus: Path, fields: str, centroids: int, seed: int) -> None:
    """Train a model's codebook for residual codes.

    Reads documents of a JSONL file, until there are 256 tokens for each centroid, and writes
    codebook.safetensors into the model's folder. An index whose codes are made with it can be read
    only where the model is served with it: a codebook that was trained again is another one. A
    sidecar that serves the model sees it when it loads the model anew.
    """
    from sidecar.models.library import train_codebook

    progress = session.output.progress()
    path, digest = train_codebook(
        folder,
        _texts(corpus, fields.split(",")),
        centroids,
        seed=seed,
        progress=lambda done, wanted: progress(f"{done:,} of {wanted:,} tokens"),
    )
    progress.close()
    held = path.stat().st_size
    session.output.data(
        {"file": str(path), "digest": digest, "bytes": held},
        lambda: click.echo(f"{path}: {size(held)}, digest {digest[:16]}"),
    )


def _texts(corpus: Path, fields: list[str]) -> Iterator[str]:
    from cherche_models.evaluate import read_corpus

    try:
        for document in read_corpus(corpus):
            if text := " ".join(str(document[field]) for field in fields if document.get(field)):
                yield text
    except ValueError as error:
        raise invalid(str(error), "correct the file") from error
