"""Writing in bulk: one result per document, retried only where the cluster was too busy."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pybase64

from sidecar.engines.opensearch import answers, bookkeeping
from sidecar.engines.opensearch.errors import BadRequestShape, of_item
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, invalid, quoted, unavailable
from sidecar.values.documents import CODES, TERMS, WEIGHTS, Json, StoredDocument, WriteResult

# OpenSearch's tuning guide advises 5 to 15 MB a bulk; http.max_content_length refuses 100 MB by default.
MAX_BYTES = 8 * 1024 * 1024
# The limit of both products: a longer id fails the validation of the whole bulk, not of its own item.
MAX_ID_BYTES = 512
# With waits of 7.75 s in all; after that the refusal is the result of the document.
ATTEMPTS = 6

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Item:
    """One document of a bulk: its place among the results, its id, its two lines."""

    position: int
    id: str
    lines: bytes


def item(
    position: int,
    document: StoredDocument,
    operation: str = "index",
    address: Mapping[str, Any] = MappingProxyType({}),
) -> Item:
    """Write a document as an action; `address` is where to, beside its id, and over what.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where it cannot be written as JSON, or its id would fail the whole bulk.
    """
    # With surrogatepass, as a lone surrogate has to fail below, where the error names it.
    if not document.id or len(document.id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise invalid(f"id {quoted(document.id)} is empty or longer than {MAX_ID_BYTES} bytes", "shorten it")
    routed = {"routing": document.routing} if document.routing else {}
    try:
        lines = "\n".join(
            (
                dumps({operation: {**routed, **address, "_id": document.id}}),
                dumps({**document.source, **neural_fields(document)}),
                "",
            )
        )
        return Item(position, document.id, lines.encode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f'document "{document.id}" is not JSON: {error}', "mend the value") from error


def rewritten(position: int, raw: Json, source: Json, *, keeps_version: bool = False) -> Item:
    """Write `source` in place of a document, guarded by its last write, past any ingest pipeline.

    Parameters
    ----------
    raw : mapping
        The document as a search or a get answers it, with version, sequence number and primary term.
    keeps_version : bool
        Whether it is written under the version that it has, which its owner gave it: a later version of the
        owner's wins, and his next one is not refused.
    """
    guard = {"if_seq_no": raw["_seq_no"], "if_primary_term": raw["_primary_term"]}
    if keeps_version:  # no request takes both
        guard = {"version": raw["_version"], "version_type": "external_gte"}
    action: dict[str, Any] = {
        "_index": raw["_index"],
        "_id": raw["_id"],
        **guard,
        # A default pipeline with an encoding processor would put back what is being replaced here.
        "pipeline": "_none",
    }
    if "_routing" in raw:
        action["routing"] = raw["_routing"]
    lines = "\n".join((dumps({"index": action}), dumps(source), ""))
    return Item(position, str(raw["_id"]), lines.encode())


def batches(items: Sequence[Item], max_bytes: int) -> Iterator[list[Item]]:
    """Cut by bytes, in order; an item that is larger goes alone."""
    batch: list[Item] = []
    size = 0
    for each in items:
        if batch and size + len(each.lines) > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.lines)
    if batch:
        yield batch


def backoff(attempt: int) -> float:
    """Seconds before retry number `attempt`, doubling from a quarter of a second up to 8.

    >>> [backoff(attempt) for attempt in range(6)]
    [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    """
    return float(min(0.25 * 2**attempt, 8.0))


class Writer:
    """One call of `write`: collects a result per document; without `index` every action names its own.

    Attributes
    ----------
    numbers : dict
        By position: sequence number and primary term of what was acknowledged; negative where nothing was written.
    """

    def __init__(
        self,
        http: Http,
        index: str,
        *,
        sleep: Sleep,
        max_bytes: int = MAX_BYTES,
        params: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._http, self._index, self._sleep, self._max_bytes = http, index, sleep, max_bytes
        self._params = params
        self._results: dict[int, WriteResult] = {}
        self.numbers: dict[int, tuple[int, int]] = {}

    async def write(self, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        """Write all; results in order. Only what the cluster acknowledged has no error."""
        items = []
        for position, document in enumerate(documents):
            try:
                items.append(item(position, document))
            except ChercheError as error:
                self._results[position] = WriteResult(document.id, error)
        return await self.deliver(items, len(documents))

    async def deliver(self, items: Sequence[Item], count: int) -> list[WriteResult]:
        """Send items; `count` results in order, those of positions without an item noted before."""
        for batch in batches(items, self._max_bytes):
            await self._deliver(batch)
        return [self._results[position] for position in range(count)]

    def refuse(self, position: int, result: WriteResult) -> None:
        """Note the result of a document that has no item."""
        self._results[position] = result

    async def _deliver(self, batch: list[Item]) -> None:
        refused: list[tuple[Item, ChercheError]] = []
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(backoff(attempt - 1))
            refused = await self._send(batch)
            if not refused:
                return
            batch = [each for each, _ in refused]
        for each, error in refused:
            self._results[each.position] = WriteResult(each.id, error)

    async def _send(self, batch: list[Item]) -> list[tuple[Item, ChercheError]]:
        """Send once; returns what the cluster was too busy for, records everything else."""
        path = index_path(self._index, "_bulk") if self._index else "/_bulk"
        request = Request("POST", path, b"".join(each.lines for each in batch), self._params)
        try:
            reply = await self._http.send(request, what=f'index "{self._index}"' if self._index else "bulk")
        except BadRequestShape as error:
            # One invalid action, or too many bytes, refuse the request as a whole: nothing of it was written.
            return await self._isolate(batch, error)
        except ChercheError as error:
            if error.code == Code.RESOURCE_EXHAUSTED:
                return [(each, error) for each in batch]
            # Only a refusal is known to have written nothing: anything else is reported, not sent again.
            self._fail(batch, error)
            return []
        return self._record(batch, reply)

    async def _isolate(self, batch: list[Item], error: ChercheError) -> list[tuple[Item, ChercheError]]:
        """Find the item that spoils the whole request by halving it."""
        if len(batch) == 1:
            self._fail(batch, error)
            return []
        middle = len(batch) // 2
        return [*await self._send(batch[:middle]), *await self._send(batch[middle:])]

    def _record(self, batch: list[Item], reply: JsonValue) -> list[tuple[Item, ChercheError]]:
        found = answers.outcomes(reply, len(batch))
        refused = []
        for each, answer in zip(batch, found, strict=True):
            error = _error_of(each, answer)
            if error is not None and error.code == Code.RESOURCE_EXHAUSTED:
                refused.append((each, error))
            else:
                self._results[each.position] = WriteResult(each.id, error)
                if error is None:
                    self.numbers[each.position] = (answer.get("_seq_no", -2), answer.get("_primary_term", 0))
        return refused

    def _fail(self, batch: Sequence[Item], error: ChercheError) -> None:
        for each in batch:
            self._results[each.position] = WriteResult(each.id, error)


def _error_of(each: Item, answer: Json) -> ChercheError | None:
    """Why a document is not known to be stored; `answer` is what came in its place, {} for nothing that can be read."""
    # A result that is credited to another document would report a lost one as stored.
    if answer.get("_id") != each.id:
        return unavailable(
            f'document "{each.id}": the cluster\'s answer does not say whether it was stored', "send it again"
        )
    if answer.get("error") is None and 200 <= answer["status"] < 300:
        return None
    return of_item(answer["status"], answer.get("error"), f'document "{each.id}"')


def neural_fields(document: StoredDocument) -> dict[str, Any]:
    """Our own fields of a document as the cluster takes them."""
    fields = bookkeeping.written(document.hash, document.state)
    if document.features is not None:
        fields[WEIGHTS] = dict(document.features)
    for name, value in ((TERMS, document.terms), (CODES, document.codes)):
        if value is not None:
            fields[name] = pybase64.b64encode_as_string(value)
    return fields


def dumps(value: JsonValue) -> str:
    """One line of JSON, as a bulk wants it."""
    # Not escaped: an escape takes six bytes where UTF-8 takes two or three.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
