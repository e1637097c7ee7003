"""A cluster of two indices that hides codes from some, searched with codes that are kept and without."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from sidecar.engines.opensearch import KeptCodes, OpenSearchEngine
from sidecar.values.documents import CODES, HASH
from sidecar.values.first_stage import EnginePage, Query
from sidecar.values.index import Identity
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine

LIMIT = 1 << 20
INDICES = ("books", "films")


@dataclass
class Document:
    """As its last write left it; `masked` callers see other bytes in place of its codes."""

    index: str
    id: str
    routing: str
    seq_no: int
    codes: bytes | None
    hash: str

    def raw(self, request: Sent, hidden: bool, masked: bool) -> dict[str, Any]:
        body = request.body
        raw = {"_index": self.index, "_id": self.id, "_score": 1.0}
        if self.routing:
            raw["_routing"] = self.routing
        if body.get("seq_no_primary_term"):
            raw |= {"_seq_no": self.seq_no, "_primary_term": 1}
        if body.get("_source") is not False:
            raw["_source"] = {"cherche_digest": self.hash, "cherche_status": [{"ok": 1}]}
        asked, fields = body.get("docvalue_fields", ()), dict[str, Any]()
        if self.hash and HASH in asked:
            fields[HASH] = [self.hash]
        if self.codes is not None and CODES in asked and not hidden:
            fields[CODES] = [base64.b64encode(b"masked" if masked else self.codes).decode().rstrip("=")]
        return {**raw, "fields": fields} if fields else raw


@dataclass
class Cluster:
    """Two indices that everybody finds all documents of, and that hide the codes from some."""

    kept: KeptCodes | None = None
    documents: dict[tuple[str, str, str], Document] = field(default_factory=dict)
    hidden: set[tuple[str | None, str]] = field(default_factory=set)
    masked: set[tuple[str | None, str]] = field(default_factory=set)
    now: float = 1000.0
    given: int = 0
    writes: int = 0

    def __post_init__(self) -> None:
        self.transport = FakeTransport(self.answer)
        self.plain = engine(self.transport)
        self.engine = engine(self.transport, codes=self.kept or KeptCodes(LIMIT, clock=lambda: self.now))

    def write(self, id: str, index: str = "books", routing: str = "", *, bare: bool = False, hash: str = "h") -> None:
        self.writes += 1
        codes = None if bare else f"codes {self.writes}".encode()
        document = Document(index, id, routing, self.writes, codes, f"{hash}{self.writes}" if hash else "")
        self.documents[index, id, routing] = document

    def answer(self, request: Sent) -> Any:
        assert request.path.endswith("_search")
        found = list(self.documents.values())
        filters = request.body["query"]["bool"].get("filter", ())
        for one in filters:
            ids, names = one.get("ids", {}).get("values"), one.get("terms", {}).get("_index")
            found = [each for each in found if (not ids or each.id in ids) and (not names or each.index in names)]
        who = request.headers.get("authorization")
        shown = found[: request.body["size"]]
        raw = [each.raw(request, (who, each.index) in self.hidden, (who, each.index) in self.masked) for each in shown]
        self.given += sum(CODES in each.get("fields", {}) for each in raw)
        return {"hits": {"hits": raw, "total": {"value": len(found), "relation": "eq"}}}

    async def search(self, who: str | None = None, size: int = 10, **options: Any) -> EnginePage:
        return await self._by(self.engine, who, size, **options)

    async def uncached(self, who: str | None = None, size: int = 10, **options: Any) -> EnginePage:
        before = self.given
        page = await self._by(self.plain, who, size, **options)
        self.given = before
        return page

    async def _by(self, asked: OpenSearchEngine, who: str | None, size: int, **options: Any) -> EnginePage:
        query = Query("x", "bm25", (), size=size, **{"with_codes": True, "with_state": True, **options})
        return await asked.as_caller(Identity(who)).search("shelf", query)

    async def warm(self, who: str | None = None) -> None:
        """Search until what is found is mostly known."""
        for _ in range(3):
            await self.search(who)
        self.given = 0


def shelf(count: int = 5, **options: Any) -> Cluster:
    cluster = Cluster(**options)
    for number in range(count):
        cluster.write(f"d{number}")
    return cluster


def codes(page: EnginePage) -> list[bytes | None]:
    return [hit.codes for hit in page.hits]
