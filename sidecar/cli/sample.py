"""Documents of an index, judged ones and a sample, as the text of each field; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.cli.trials import Coverage, Judgements
from sidecar.errors import ChercheError, invalid, precondition
from sidecar.pipeline.text import field_texts, has_text
from sidecar.values.index import DEFAULT_FIELDS, IndexReport, TextField

if TYPE_CHECKING:
    from sidecar.client.client import Client

MOST = 10_000  # a cluster returns no more documents in one page


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of an index.

    Attributes
    ----------
    documents : dict of id → text of each field
        Judged ones first.
    without_text : int
        Documents read that have none.
    held : Coverage
        Judged documents that the index holds.
    report : IndexReport
    """

    documents: dict[str, list[str]]
    without_text: int
    held: Coverage
    report: IndexReport


def documents_of(judgements: Judgements) -> list[str]:
    """Ids of all judged documents, each once.

    >>> documents_of({"1": {"a": 1, "b": 0}, "2": {"a": 1}})
    ['a', 'b']
    """
    return list(dict.fromkeys(key for row in judgements.values() for key in row))


async def read_sample(
    client: Client, index: str, names: Sequence[str] = (), *, judged: Sequence[str] = (), sample: int = 0
) -> Sample:
    """Read the judged documents that an index holds, and about `sample` of all, the same each time.

    Parameters
    ----------
    names : sequence of str
        Fields; none for those of the index, else the usual ones.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for an empty index, INVALID_ARGUMENT if no document that was read has text in the fields.
    """
    report = await client.get_index(index)
    fields = [TextField(name) for name in names] or (report.meta.fields if report.meta else ())
    fields = fields or [TextField(name) for name in DEFAULT_FIELDS]
    documents: dict[str, list[str]] = {}
    seen: set[str] = set()

    async def take(**which: Any) -> None:  # noqa: ANN401  # arguments of `dump_index`
        async for document in client.dump_index(index, **which):
            if document.id in seen:
                continue
            seen.add(document.id)
            try:
                texts = field_texts(document.id, json.loads(document.source_json), fields)
            except ChercheError:
                continue  # counted, as are those without text
            if has_text(texts):
                documents[document.id] = texts

    if judged:
        await take(ids=judged)
    held = Coverage.of(judged, seen)
    if sample:
        await take(sample=sample)
    if not report.stats.documents:
        raise precondition(f"index {index!r} holds no documents", f"feed it first: cherche feed {index} FILE")
    if not documents:
        listed = ", ".join(field.name for field in fields)
        raise invalid(f"no document of {index!r} has text in {listed}", "name the fields with --fields")
    return Sample(documents, len(seen) - len(documents), held, report)
