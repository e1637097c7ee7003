"""What every copy of every shard holds, asked one by one, against what was written."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from sidecar.cluster import Nodes
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.engines.opensearch.mapping import creation
from sidecar.errors import ChercheError
from sidecar.values.documents import CODES, TERMS, WEIGHTS, StoredDocument
from tests.integration.opensearch.corpus import META, NAMES, encoded, refused, weights_of

_TOLERANCE = 1e-5
_ALL = 10_000
# A lost node's copies stay its own: it comes back to them, and replays what it missed.
PATIENT = {"index.unassigned.node_left.delayed_timeout": "1h"}


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of one shard: how many documents it should hold, holds, and holds whole.

    Attributes
    ----------
    expected, documents : int
        Acknowledged documents of the shard, and those that this copy finds.
    codes, terms, weights : int
        Documents whose token codes, packed terms (byte for byte) and weights (sum) are what was written.
    """

    index: str
    shard: int
    node: str
    is_primary: bool
    expected: int
    documents: int
    codes: int
    terms: int
    weights: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self.expected == self.documents == self.codes == self.terms == self.weights


class Corpus:
    """What was written to one index, and acknowledged.

    Parameters
    ----------
    index : str
    terms : int
        Weights of a document.
    code_bytes : int
        Size of its codes; arbitrary bytes, since an engine does not read them.
    """

    def __init__(self, index: str, *, terms: int = 20, code_bytes: int = 64) -> None:
        self.index = index
        self.acknowledged: dict[str, StoredDocument] = {}
        self._terms, self._code_bytes = terms, code_bytes
        self._rng = random.Random(7)

    def more(self, count: int) -> list[StoredDocument]:
        """Documents that were not written yet."""
        start = len(self.acknowledged)
        return [self._document(number) for number in range(start, start + count)]

    def _document(self, number: int) -> StoredDocument:
        document = encoded(f"d{number}", {"title": f"title {number}"}, weights_of(self._rng, self._terms))
        return replace(document, codes=self._rng.randbytes(self._code_bytes))

    async def write(self, engine: OpenSearchEngine, documents: Sequence[StoredDocument]) -> None:
        """Write documents, all of which must be acknowledged."""
        assert refused(await engine.write(self.index, documents)) == {}
        self.acknowledged |= {document.id: document for document in documents}


async def create(engine: OpenSearchEngine, index: str, *, lean: bool, **settings: object) -> None:
    """Make an index as `setup` would, with the recovery source chosen here."""
    request = creation(index, META, lean_recovery=lean)
    assert isinstance(request.body, dict)
    named = {f"index.{name}": value for name, value in settings.items()}
    await send(engine, "PUT", f"/{index}", {**request.body, "settings": {**PATIENT, **named}})
    await green(engine, index)


async def send(engine: OpenSearchEngine, method: str, path: str, body: Any = None, **params: str) -> Any:
    """A raw request."""
    return await engine._http.send(Request(method, path, body, params), what="test", timeout=310)


async def green(engine: OpenSearchEngine, index: str = "") -> None:
    """Wait until every copy is there and nothing moves; a busy machine gets five minutes."""
    path = f"/_cluster/health/{index}" if index else "/_cluster/health"
    wanted = {"wait_for_status": "green", "wait_for_no_relocating_shards": "true", "timeout": "300s"}
    try:
        await send(engine, "GET", path, **wanted)
    except ChercheError as error:
        rows = await send(engine, "GET", "/_cat/recovery", format="json", active_only="true")
        raise AssertionError(f"not green in time; still recovering: {rows}") from error


async def node_of(engine: OpenSearchEngine, index: str, *, primary: bool, shard: int = 0) -> str:
    """Name of the node that holds a copy of a shard."""
    for copy in await _placed(engine, index):
        if (copy["prirep"] == "p") == primary and int(copy["shard"]) == shard:
            return str(copy["node"])
    raise AssertionError(f"no such copy of {index}")


async def replayed(engine: OpenSearchEngine, index: str, node: str) -> int:
    """Operations that the copies on a node were sent one by one in their last recovery."""
    shards = (await send(engine, "GET", f"/{index}/_recovery"))[index]["shards"]
    return sum(int(shard["translog"]["recovered"]) for shard in shards if shard["target"]["name"] == node)


async def settled(engine: OpenSearchEngine, corpus: Corpus) -> list[Copy]:
    """Ask until every copy is whole, for a minute: a replica takes segments some time after its primary's refresh."""
    end = time.monotonic() + 60
    while True:
        copies = await asked(engine, corpus)
        if all(copy.is_whole for copy in copies) or time.monotonic() > end:
            return copies


async def asked(engine: OpenSearchEngine, corpus: Corpus, index: str = "") -> list[Copy]:
    """Ask every copy of `index`, or of the corpus' own, for every document."""
    index = index or corpus.index
    await engine.refresh(index)
    held = {
        (copy["shard"], copy["node"]): (copy, await _held(engine, index, copy)) for copy in await _placed(engine, index)
    }
    everywhere: dict[str, set[str]] = {}
    for (shard, _), (_, hits) in held.items():
        everywhere.setdefault(shard, set()).update(hits)
    lost = set(corpus.acknowledged) - set().union(*everywhere.values())
    assert not lost, f"{len(lost)} acknowledged documents are on no copy of {index}"
    return [_compared(corpus, index, copy, hits, everywhere[copy["shard"]]) for copy, hits in held.values()]


@asynccontextmanager
async def engine_of(nodes: Nodes, name: str) -> AsyncIterator[OpenSearchEngine]:
    """An engine that talks to one node."""
    engine = OpenSearchEngine.connect(nodes.url(name), timeout=120)
    try:
        yield engine
    finally:
        await engine.aclose()


async def _placed(engine: OpenSearchEngine, index: str) -> list[dict[str, str]]:
    columns = {"format": "json", "h": "shard,prirep,state,node,id"}
    rows: list[dict[str, str]] = await send(engine, "GET", f"/_cat/shards/{index}", **columns)
    return [row for row in rows if row["state"] == "STARTED"]


async def _held(engine: OpenSearchEngine, index: str, copy: dict[str, str]) -> dict[str, Any]:
    """Hits of one copy by id; their score is the sum of their weights."""
    preference = f"_shards:{copy['shard']}|_only_nodes:{copy['id']}"
    [chosen] = (await send(engine, "GET", f"/{index}/_search_shards", preference=preference))["shards"]
    assert [(str(one["shard"]), one["node"]) for one in chosen] == [(copy["shard"], copy["id"])]
    weights = [{"rank_feature": {"field": f"{WEIGHTS}.{name}", "linear": {}}} for name in NAMES]
    body = {
        "size": _ALL,
        "_source": False,
        "docvalue_fields": [TERMS, CODES],
        "query": {"bool": {"filter": [{"match_all": {}}], "should": weights}},
    }
    reply = await send(engine, "POST", f"/{index}/_search", body, preference=preference)
    assert (reply["_shards"]["total"], reply["_shards"]["failed"]) == (1, 0)
    return {hit["_id"]: hit for hit in reply["hits"]["hits"]}


def _compared(corpus: Corpus, index: str, copy: dict[str, str], hits: dict[str, Any], expected: Iterable[str]) -> Copy:
    wanted = {id: corpus.acknowledged[id] for id in expected}
    found = {id: (hit, wanted[id]) for id, hit in hits.items()}
    return Copy(
        index=index,
        shard=int(copy["shard"]),
        node=copy["node"],
        is_primary=copy["prirep"] == "p",
        expected=len(wanted),
        documents=len(hits),
        codes=sum(_value(hit, CODES) == document.codes for hit, document in found.values()),
        terms=sum(_value(hit, TERMS) == document.terms for hit, document in found.values()),
        weights=sum(_sums_to(hit["_score"], document) for hit, document in found.values()),
    )


def _value(hit: dict[str, Any], field: str) -> bytes | None:
    values = hit.get("fields", {}).get(field)
    return base64.b64decode(values[0] + "=" * (-len(values[0]) % 4)) if values else None  # sent without padding


def _sums_to(score: float, document: StoredDocument) -> bool:
    total = sum((document.features or {}).values())
    return abs(score - total) <= _TOLERANCE * total
