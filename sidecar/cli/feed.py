"""``cherche feed``: documents of a JSONL file into an index, each accounted for."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from sidecar.cli.failures import FAILURE, error_json, failure, resumable, writing
from sidecar.cli.lines import BadLine, Reader, check_format
from sidecar.cli.output import Progress, table
from sidecar.cli.session import Session, suggesting, verb
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import IngestResult, SourceDocument

if TYPE_CHECKING:
    from sidecar.client.client import Client

_STORED = ("encoded", "reused", "unchanged", "no_text")
_LOOKED_AT = 1_000  # lines, for text in fields that are not encoded
_SENTENCE = 3  # words: fewer are a name or a keyword
_OUTCOMES = (*_STORED, "failed", "unacknowledged")


@verb("feed")
@click.argument("index")
@click.argument("corpus", type=click.Path(allow_dash=True, path_type=str))
@click.option(
    "--failed",
    "failed_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where failed items go.  [default: CORPUS.failed.jsonl]",
)
@click.option("--no-refresh", is_flag=True, help="Do not wait until the documents can be searched.")
def feed(session: Session, index: str, corpus: str, failed_file: Path | None, no_refresh: bool) -> None:
    """Encode and write the documents of a JSONL file.

    One JSON object per line, its id in _id, else in id; "-" reads stdin. Its routing value, if it has
    one, is in _routing, or in routing where the index requires one. A document whose text did
    not change is not encoded again, so a feed that was interrupted is resumed by running it again.
    One without text is stored as it is, and counted.
    Items that failed are written to a file, one JSON object each: line, id, code, reason, next_step.
    Exits with 1 if any did; the summary is printed all the same.
    """
    failed_file = failed_file or Path(f"{index if corpus == '-' else corpus}.failed.jsonl")
    with ExitStack() as stack:
        stream = sys.stdin.buffer if corpus == "-" else stack.enter_context(_opened(corpus))
        name = "stdin" if corpus == "-" else corpus
        check_format(stream, name)
        ledger = stack.enter_context(Ledger(failed_file))
        run = Run(ledger, session.output.progress(), name)
        with resumable(run.so_far):
            error = session.run(lambda client: run.feed(client, index, stream, refresh=not no_refresh), index=index)
    summary = run.summary(index)
    session.output.data(summary, lambda: _print(summary))
    if run.note:
        session.output.note(f"note: {run.note}")
    if ledger.failed:
        session.output.note(f"{ledger.failed} failed: see {failed_file}, mend them and feed again")
    if error is not None:
        raise failure(error, session.output.as_json)
    if ledger.failed:
        raise SystemExit(FAILURE)


class Ledger:
    """The file of failed items: opened with the first of them; a stale one is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed = 0
        self._file: IO[str] | None = None

    def __enter__(self) -> Ledger:
        if self.path.is_file():  # never a device: root could remove /dev/null
            self.path.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, line: int, identifier: str, error: ChercheError) -> None:
        """Note one failed item."""
        self.failed += 1
        record = {"line": line, "id": identifier, **error_json(error)}
        with writing(self.path):
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            self._file.write(json.dumps(record) + "\n")


@dataclass(slots=True)
class Run:
    """One feed: what was sent, and each document's outcome.

    Attributes
    ----------
    ledger : Ledger
    progress : Progress
    name : str
        What errors call the corpus.
    waiting : dict
        Id → line number of a document that was sent and not answered yet; ids are unique in a feed.
    fields : dict
        Field of one of the first documents → most words that it holds in any.
    note : str
        What a person should know of the feed; "" where there is nothing.
    """

    ledger: Ledger
    progress: Progress
    name: str
    waiting: dict[str, int] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)
    note: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    async def feed(self, client: Client, index: str, stream: IO[bytes], *, refresh: bool) -> ChercheError | None:
        """Feed all lines; the error that ended the stream early, if one did."""
        self.started = time.monotonic()
        try:
            async for result in client.index_documents(index, self._documents(stream), refresh=refresh):
                self._answered(result)
        except ChercheError as error:
            return await suggesting(error, index, client)
        finally:
            self.outcomes["unacknowledged"] += len(self.waiting)
            self.progress.close()
        if self.waiting:
            return self._unacknowledged()
        if self.fields and (meta := (await client.get_index(index)).meta):
            self.note = left_out(index, [one.name for one in meta.fields], self.fields)
        return None

    def _unacknowledged(self) -> ChercheError:
        count, example = len(self.waiting), next(iter(self.waiting))
        reason = f"{count} documents were sent and never acknowledged, such as {example!r}"
        return ChercheError(Code.INTERNAL, reason, "feed again: what is stored already is skipped")

    async def _documents(self, stream: IO[bytes]) -> AsyncIterator[SourceDocument]:
        """The good lines; bad ones go to the ledger. Reading happens off the event loop."""
        lines = Reader(self.name).read(stream)
        while (item := await asyncio.to_thread(next, lines, None)) is not None:
            if isinstance(item, BadLine):
                self._failed(item.number, item.id, item.error)
                continue
            self.waiting[item.id] = item.number
            if item.number <= _LOOKED_AT:
                for name, value in json.loads(item.raw).items():
                    if isinstance(value, str) and value.strip():
                        self.fields[name] = max(self.fields.get(name, 0), len(value.split()))
            yield SourceDocument(item.id, item.raw, item.routing)

    def _answered(self, result: IngestResult) -> None:
        number = self.waiting.pop(result.id)
        if result.error is not None:
            self._failed(number, result.id, result.error)
        else:
            self.outcomes[result.outcome] += 1
            seen = {"truncated": result.truncated, "unknown_language": result.unknown_language}
            self.totals.update(terms=result.terms, bytes=result.bytes, **seen)
        self._show()

    def _failed(self, number: int, identifier: str, error: ChercheError) -> None:
        self.outcomes["failed"] += 1
        self.ledger.add(number, identifier, error)

    def so_far(self) -> str:
        """What is stored, for somebody who stops the feed."""
        done = sum(self.outcomes[outcome] for outcome in _STORED)
        return f"{done:,} documents are stored, and are not encoded again"

    def _show(self) -> None:
        done = sum(self.outcomes.values())
        rate = done / (time.monotonic() - self.started)
        self.progress(f"{done:,} documents, {rate:,.0f}/s, {self.outcomes['failed']:,} failed")

    def summary(self, index: str) -> dict[str, Any]:
        """Counts of the whole feed; every line that is not blank is in one of them."""
        seconds = time.monotonic() - self.started
        documents = sum(self.outcomes.values())
        stored = documents - self.outcomes["failed"] - self.outcomes["unacknowledged"]
        return {
            "index": index,
            "documents": documents,
            **{outcome: self.outcomes[outcome] for outcome in _OUTCOMES},
            "truncated": self.totals["truncated"],
            "unknown_language": self.totals["unknown_language"],
            "terms_per_document": round(self.totals["terms"] / stored, 1) if stored else 0.0,
            "bytes_per_document": round(self.totals["bytes"] / stored, 1) if stored else 0.0,
            "seconds": round(seconds, 3),
            "documents_per_second": round(documents / seconds, 1) if seconds else 0.0,
            "failed_file": str(self.ledger.path) if self.ledger.failed else None,
        }


def left_out(index: str, encoded: Sequence[str], found: Mapping[str, int]) -> str:
    """Whether text is fed past the index: a field that it encodes is in no document, and another holds a sentence.

    Parameters
    ----------
    found : mapping of field → most words in it

    >>> left_out("a", ["title", "text"], {"title": 1, "body": 9})
    "no document has 'text', and 'body' is not encoded — run: cherche setup a --fields title,body, then feed again"
    >>> left_out("a", ["title", "text"], {"text": 9}), left_out("a", ["text"], {"text": 9, "note": 9})
    ('', '')
    """
    absent = [name for name in encoded if name not in found]
    others = sorted(name for name, words in found.items() if words >= _SENTENCE and name not in encoded)
    if not absent or not others or any("." in name for name in encoded):
        return ""
    fields = ",".join([*(name for name in encoded if name in found), *others])
    names = f"{' and '.join(map(repr, others))} {'is' if len(others) == 1 else 'are'}"
    return (
        f"no document has {' or '.join(map(repr, absent))}, and {names} not encoded "
        f"— run: cherche setup {index} --fields {fields}, then feed again"
    )


def _opened(corpus: str) -> IO[bytes]:
    try:
        return Path(corpus).open("rb")
    except OSError as error:
        raise click.UsageError(f"{corpus} cannot be read: {error.strerror}") from error


def _print(summary: dict[str, Any]) -> None:
    shown = {key.replace("_", " "): value for key, value in summary.items() if value not in (0, None)}
    table(("", ""), shown.items())
