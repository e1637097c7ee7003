"""A transport that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opensearchpy.exceptions import TransportError

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Http
from sidecar.values.documents import OWN_FIELDS
from sidecar.values.index import Identity

ROOT = {"version": {"distribution": "opensearch", "number": "3.8.0"}}


@dataclass
class Sent:
    method: str
    path: str
    params: Mapping[str, Any]
    body: Any
    headers: Mapping[str, str]
    timeout: float | None

    @property
    def ids(self) -> list[str]:
        """Ids of a bulk."""
        return [json.loads(line)["index"]["_id"] for line in self.body.decode().splitlines()[::2]]


Answer = Callable[[Sent], Any]


def _identity(url: str) -> dict[str, Any]:
    """What an index by its own name answers when it is asked what stands behind it."""
    if "/_settings/index.uuid" not in url:
        return {}
    return {url.split("/")[1]: {"settings": {"index.uuid": "uuid"}}}


@dataclass
class FakeTransport:
    """Asks `answer` for every request; an exception in its place is raised."""

    answer: Answer
    sent: list[Sent] = field(default_factory=list)
    closed: bool = False

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = None,
        ignore: Any = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        request = Sent(method, url, params or {}, body, headers or {}, timeout)
        self.sent.append(request)
        reply = ROOT if url == "/" else _identity(url) or self.answer(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def close(self) -> None:
        self.closed = True


@dataclass
class Naps:
    """Takes the place of sleep."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def http(transport: FakeTransport, identity: Identity = Identity()) -> Http:  # noqa: B008  # frozen
    return Http(transport, "http://cluster:9200", identity, 30.0)


def engine(transport: FakeTransport, **options: Any) -> OpenSearchEngine:
    return OpenSearchEngine(http(transport), **options)


def refusal(status: int, kind: str, reason: str) -> TransportError:
    """What opensearch-py raises for an error reply."""
    error = {"type": kind, "reason": reason, "root_cause": [{"type": kind, "reason": reason}]}
    return TransportError(status, kind, {"error": error, "status": status})


def written(id_: str, status: int = 201) -> dict[str, Any]:
    """An item of a bulk reply."""
    return {"index": {"_id": id_, "status": status, "result": "created"}}


def failed(id_: str, status: int, kind: str, reason: str = "because") -> dict[str, Any]:
    """A refused item of a bulk reply."""
    return {"index": {"_id": id_, "status": status, "error": {"type": kind, "reason": reason}}}


UNSCRIPTED = ["script_lang not supported [painless]", "cannot execute [inline] scripts"]


@dataclass
class UnscriptedShelf:
    """One index of a cluster without scripts; a document is (sequence number, source)."""

    documents: dict[str, tuple[int, dict[str, Any]]]
    reason: str = UNSCRIPTED[0]
    pipelines: list[str] = field(default_factory=list)

    def __call__(self, request: Sent) -> Any:
        if request.path.endswith("_update_by_query"):
            return refusal(400, "illegal_argument_exception", self.reason)
        if request.path.endswith("_search"):
            touched = {id_: (n, s) for id_, (n, s) in self.documents.items() if set(s) & set(OWN_FIELDS)}
            return {"hits": {"hits": [self.raw(id_, number, source) for id_, (number, source) in touched.items()]}}
        if request.path == "/_mget":
            return {"docs": [self.got(doc["_id"]) for doc in request.body["docs"]]}
        if request.path == "/_bulk":
            lines = [json.loads(line) for line in request.body.splitlines()]
            return {"items": [self.bulk(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]}
        return {}

    def raw(self, id_: str, number: int, source: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in source.items() if key not in OWN_FIELDS}
        return {"_index": "books", "_id": id_, "_routing": "r", "_seq_no": number, "_primary_term": 1, "_source": own}

    def got(self, id_: str) -> dict[str, Any]:
        if id_ not in self.documents:
            return {"_index": "books", "_id": id_, "found": False}
        return {**self.raw(id_, *self.documents[id_]), "found": True}

    def bulk(self, action: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        [(verb, line)] = action.items()
        if verb == "update":
            cause = {"type": "illegal_argument_exception", "reason": self.reason}
            error = {"type": "illegal_argument_exception", "reason": "failed to execute script", "caused_by": cause}
            return {verb: {"_id": line["_id"], "status": 400, "error": error}}
        number, _ = self.documents[line["_id"]]
        self.pipelines.append(line["pipeline"])
        assert line["routing"] == "r"
        if line["if_seq_no"] != number:
            error = {"type": "version_conflict_engine_exception", "reason": "newer"}
            return {verb: {"_id": line["_id"], "status": 409, "error": error}}
        self.documents[line["_id"]] = (number + 100, body)
        return {verb: {"_id": line["_id"], "status": 200}}
