"""Writes the token codes of documents that searches found without them, where an index makes codes on demand.

The writer reads each document again, with the account that the sidecar itself has, and encodes what it reads: nothing
that a search returned to its caller is written. A write is guarded by the version that was read, and leaves the user's
fields, the weights and the hash as they are. What there is no room or no right for is counted, and found again by the
next search.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, precondition
from sidecar.maintenance.backfill import check_sources
from sidecar.observe import logs
from sidecar.pipeline import on_demand, stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.stored import EncodableDocument
from sidecar.values.bounded import ByBytes
from sidecar.values.documents import ColdDocument, StoredDocument
from sidecar.values.index import Identity

PAGE = 16
"""Documents of one step: a query that comes meanwhile waits for no more."""
MOST_BYTES = 4 << 20
"""Of the names of documents that wait."""
REST = 60.0
"""Seconds for which a document is not taken again, whatever became of it, nor an index that cannot be written."""
SAMPLE = 64
_SHARE = 4  # of the room for documents that wait, which one search takes at most: others find some too
_INDICES = 1024  # of which something is known
_AN_ENTRY = 400  # bytes of a document that waits, beside its names
_PAUSE = 1.0  # seconds, doubled from one failure to the next
_LATER = (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
_REFUSALS = (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.FAILED_PRECONDITION, Code.NOT_FOUND)

Observe = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Target:
    """How the documents of an index are encoded."""

    encoder: DocumentEncoder
    names: Sequence[str]


class CodesWriter:
    """Documents that wait for codes, and the task that writes them; implements `pipeline.context.CodesWanted`.

    Parameters
    ----------
    context : Context
        On nobody's behalf: with the sidecar's own account where it has one.
    has_account : bool
        Whether that account may write for callers who bring credentials of their own.
    most : int
        Documents that may wait.
    observe : callable
        Called with an outcome, how many documents had it, and how many wait.
    """

    def __init__(
        self,
        context: Context,
        *,
        has_account: bool,
        most: int,
        observe: Observe = lambda outcome, count, waiting: None,
    ) -> None:
        self._context = context
        self._has_account = has_account
        self._most = most
        self._observe = observe
        self._waiting: OrderedDict[ColdDocument, None] = OrderedDict()
        self._bytes = 0
        self._taken: OrderedDict[ColdDocument, float] = OrderedDict()
        self._resting: ByBytes[str, float] = ByBytes(_INDICES)
        self._checked: ByBytes[str, float] = ByBytes(_INDICES)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        """Documents that wait."""
        return len(self._waiting)

    def for_caller(self, identity: Identity) -> Self | None:
        """See `CodesWanted`: who brings credentials is not written for with less than an account."""
        return self if self._has_account or not identity.authorization else None

    def want(self, documents: Sequence[ColdDocument]) -> None:
        """See `CodesWanted`; begins to write where nothing waited."""
        if self._closed:  # a search that ends late would begin what nobody stops
            return
        now, noted, dropped, refused = self._context.clock(), 0, 0, 0
        share = -(-self._most // _SHARE)
        for one in documents:
            if (self._resting.get(one.index) or now) > now:
                refused += 1
            elif one not in self._waiting and self._taken.get(one, now) <= now:
                if noted < share and len(self._waiting) < self._most and self._bytes + _size(one) <= MOST_BYTES:
                    self._waiting[one] = None
                    self._bytes += _size(one)
                    noted += 1
                else:
                    dropped += 1
        for outcome, count in (("wanted", noted), ("dropped", dropped), ("refused", refused)):
            if count:
                self._observe(outcome, count, len(self))
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def settled(self) -> None:
        """Wait until nothing waits."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def aclose(self) -> None:
        """Stop; what waits is found again by later searches, and a write on its way is guarded."""
        self._closed = True
        self._waiting.clear()
        self._bytes = 0
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        failures = 0
        while self._waiting:
            page = self._next()
            index = page[0].index
            late: ChercheError | None = None
            try:
                late = await self._write(index, page)
            except ChercheError as error:
                late = error if error.code in _LATER else None
                self._note("refused" if error.code in _REFUSALS else "failed", len(page))
                logs.get("on_demand").warning("codes were not written", index=index, reason=str(error))
                if error.code in _REFUSALS:
                    self._rest(index)
            except Exception as error:  # of one page; the others go on
                self._note("failed", len(page))
                logs.get("on_demand").error("codes were not written", index=index, error=type(error).__name__)
            failures = 0 if late is None else failures + 1
            if late is not None:  # what is down or overloaded is not asked for all that waits, one page after another
                pause = min(_PAUSE * 2.0 ** min(failures - 1, 16), REST)
                await self._context.sleep(max(late.retry_after or 0.0, pause))

    def _next(self) -> list[ColdDocument]:
        """The first documents of the index whose turn it is; they are not taken again for a while."""
        index = next(iter(self._waiting)).index
        page = [one for one in list(self._waiting)[: 4 * PAGE] if one.index == index][:PAGE]
        until = self._context.clock() + REST
        for one in page:
            self._leave(one)
            self._taken[one] = until
        while len(self._taken) > self._most:
            self._taken.popitem(last=False)
        return page

    async def _write(self, index: str, page: Sequence[ColdDocument]) -> ChercheError | None:
        """Write codes of a page; an error of some document that a later write may not have."""
        target = await self._target(index)
        if target is None:
            self._note("changed", len(page))
            return None
        meta, coder = target.encoder.meta, target.encoder.codes
        assert coder is not None
        held = await self._context.engine.versions(index, [(one.id, one.routing) for one in page], meta)
        readable = await asyncio.to_thread(lambda: [found for one in held if (found := self._lacking(one, target))])
        texts = {document.hash: list(document.texts) for document, _, _ in readable}
        codes = await on_demand.make(texts, coder, meta, self._context, lane="backfill")
        made = [
            stored.build(document, weights, codes[document.hash], target.names, terms=one.terms)
            for document, weights, one in readable
            if document.hash in codes
        ]
        self._note("changed", len(page) - len(readable))
        self._note("failed", len(readable) - len(made))
        answers = await self._context.engine.update(made) if made else []
        errors = [answer.error for answer in answers]
        self._note("written", errors.count(None))
        for error in errors:
            if error is not None:
                self._note("changed" if error.code in (Code.ABORTED, Code.NOT_FOUND) else "failed", 1)
        refused = next((error for error in errors if error is not None and error.code in _REFUSALS[:3]), None)
        if refused is not None:
            logs.get("on_demand").warning("codes were not written", index=index, reason=str(refused))
            self._rest(index)
        return next((error for error in errors if error is not None and error.code in _LATER), None)

    async def _target(self, index: str) -> _Target | None:
        """How to encode the documents of an index; None where it no longer makes codes on demand.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where a write would harm documents.
        """
        groups = await self._context.engine.groups(index)
        meta = groups[0].meta if groups else None
        if meta is None or not meta.makes_codes:
            return None
        # Each time, as it asks for nothing: the index may have been created again under its name.
        check_sources(groups)
        now = self._context.clock()
        if (self._checked.get(index) or now) <= now:
            if await self._context.engine.foreign_versions(index, SAMPLE):
                raise precondition(
                    f"index {index!r}: documents have versions that somebody else gives them, which each write raises",
                    "let codes be stored with the documents: cherche setup --codes stored",
                )
            self._checked.keep(index, now + REST, 1)
        encoder = DocumentEncoder.of(meta, self._context.encoders)
        return _Target(encoder, encoder.feature_names())

    def _lacking(
        self, held: StoredDocument, target: _Target
    ) -> tuple[EncodableDocument, TermWeights, StoredDocument] | None:
        """A document whose weights are of its text, and which has no codes; None for any other."""
        meta = target.encoder.meta
        document = stored.from_index(held, meta, self._context.limits.document_bytes)
        if isinstance(document, ChercheError) or held.codes is not None or not document.has_text:
            return None
        judged = stored.judge(document, held, meta)
        return None if judged.verdict != "unchanged" or judged.weights is None else (document, judged.weights, held)

    def _rest(self, index: str) -> None:
        """Leave an index alone for a while; what else waits for it would be encoded and refused page by page."""
        self._resting.keep(index, self._context.clock() + REST, 1)
        others = [one for one in self._waiting if one.index == index]
        for one in others:
            self._leave(one)
        self._note("refused", len(others))

    def _leave(self, one: ColdDocument) -> None:
        del self._waiting[one]
        self._bytes -= _size(one)

    def _note(self, outcome: str, count: int) -> None:
        if count:
            self._observe(outcome, count, len(self))


def _size(document: ColdDocument) -> int:
    return _AN_ENTRY + len(document.index) + len(document.id) + len(document.routing)
