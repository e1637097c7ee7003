"""An index is given a model that came from its own: by an upgrade, or, where an engine has no aliases, in place."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.cli.ledger import Checkpoint, Run, ledger
from sidecar.cli.session import Session
from sidecar.cli.upgrade import Steps
from sidecar.errors import precondition
from sidecar.values.index import IndexMeta, IndexOptions, IndexReport, TextField
from sidecar.values.maintenance import BackfillOptions

if TYPE_CHECKING:
    from sidecar.client.client import Client

_IN_PLACE = "embedded"


@dataclass(frozen=True, slots=True)
class Move:
    """How an index comes to its new model.

    Attributes
    ----------
    report : IndexReport
        The index as it is.
    replace : bool
        As of `cherche upgrade`.
    """

    session: Session
    index: str
    report: IndexReport
    folder: Path
    replace: bool = False

    @property
    def is_in_place(self) -> bool:
        """Whether the index itself is encoded anew, as its engine has no aliases."""
        return self.report.engine.product.startswith(_IN_PLACE)

    def commands(self) -> list[str]:
        """What to run instead."""
        index, folder, meta = shlex.quote(self.index), shlex.quote(str(self.folder)), self.report.meta
        serve = [f"cherche serve --model NAME={folder}"] if self.session.settings().server else []
        model = "NAME" if serve else folder
        if meta is not None and not self.is_in_place:
            return [*serve, f"cherche upgrade {index} --model {model}{' --replace' if self.replace else ''}"]
        remove, fields = ([f"cherche remove {index}"], ",".join(map(_written, meta.fields))) if meta else ([], "")
        wanted = f" --fields {shlex.quote(fields)}" if fields else ""
        return [*serve, *remove, f"cherche setup {index} --model {model}{wanted}", f"cherche backfill {index}"]

    def run(self) -> None:
        """Give the index its new model; every step can be taken again.

        Raises
        ------
        ChercheError
            Of the steps.
        click.UsageError
            If a running sidecar would have to load a folder of this machine.
        """
        model = self.session.model_name(str(self.folder.resolve()))
        options = options_of(self.report.meta, model)
        if self.is_in_place:
            self.session.run(lambda client: self._in_place(client, options), models=(model,))
            return
        steps = Steps(self.session, self.index, options, "", BackfillOptions(), self.replace)

        async def upgraded(client: Client) -> None:
            if await steps.take(client, "prepare") is not None:
                await steps.take(client, "switch")

        self.session.run(upgraded, index=self.index, models=(model,))

    async def _in_place(self, client: Client, options: IndexOptions) -> None:
        if self.report.meta is not None:
            await client.remove_index(self.index)
        await client.setup_index(self.index, options)
        report = Path(f"{self.index}.backfill.jsonl")
        run = Run(Checkpoint(Path(f"{self.index}.backfill.json")), self.session.output.progress(), None)
        with ledger(report, append=False) as run.ledger:
            error = await run.follow(client, self.index, BackfillOptions())
        if error is not None:
            raise error
        if run.progress.failed:
            raise precondition(
                f"{run.progress.failed:,} documents were not encoded: see {report}", "run cherche backfill"
            )


def options_of(meta: IndexMeta | None, model: str) -> IndexOptions:
    """The index as it is, with another model of the same kind: what was tuned for the one before holds for it."""
    if meta is None:
        return IndexOptions(model=model)
    return IndexOptions(
        model=model,
        reranker=meta.reranker,
        fields=meta.fields,
        max_length=meta.max_length,
        prune=meta.prune,
        codec=meta.codec,
        codes=meta.codes,
        sparse_boost=meta.sparse_boost,
        rerank_weight=meta.rerank_weight,
        rerank_window=meta.rerank_window,
        first_terms=meta.first_terms,
        weights=meta.weights,
        chunks=meta.chunks.most,
        chunk_overlap=meta.chunks.overlap if meta.chunks.most > 1 else None,
        chunk_pooling=meta.chunks.pooling if meta.chunks.most > 1 else "",
    )


def _written(field: TextField) -> str:
    """A field as `cherche setup --fields` reads it.

    >>> _written(TextField("title", 0.2, 2.0)), _written(TextField("text"))
    ('title:0.2^2', 'text')
    """
    share = f":{field.token_share:g}" if field.token_share else ""
    return f"{field.name}{share}{f'^{field.boost:g}' if field.boost != 1 else ''}"
