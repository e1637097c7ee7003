"""Somebody's cluster, as far as a stranger's search sees it: an index of plain documents, ranked by words in common.

Real ones are asked by `cherche try` in `tests/integration/cli/test_cluster_verbs.py`; this one starts at once, and
remembers all that it was asked.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Documents = Mapping[str, Mapping[str, str]]


@dataclass
class OtherCluster:
    """Its address, and what it was asked: method, path, and the credentials that came with it."""

    url: str
    index: str
    documents: Documents
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def answer(self, path: str, body: str) -> dict[str, Any]:
        if path == "/":
            return {"version": {"distribution": "opensearch", "number": "3.8.0"}}
        if path == "/_cluster/settings":
            return {"defaults": {}}
        if path.endswith("/_search"):
            return self._found(json.loads(body))
        fields = sorted({name for one in self.documents.values() for name in one})
        properties = {name: {"type": "text"} for name in fields}
        return {self.index: {"mappings": {"properties": properties}, "settings": {"index.uuid": "u1"}}}

    def _found(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = set(re.findall(r"\w+", re.findall(r'"query": "(.*?)"', json.dumps(body))[0].lower()))
        scores = {
            id: float(sum(word in wanted for word in re.findall(r"\w+", " ".join(one.values()).lower())))
            for id, one in self.documents.items()
        }
        best = sorted((id for id, score in scores.items() if score), key=lambda id: (-scores[id], id))
        hits = [
            {
                "_index": self.index,
                "_id": id,
                "_score": scores[id],
                "_source": self.documents[id],
                "matched_queries": {"cherche_lexical": scores[id]},
            }
            for id in best[: body["size"]]
        ]
        return {
            "took": 1,
            "timed_out": False,
            "_shards": {"total": 1, "successful": 1, "failed": 0},
            "hits": {"total": {"value": len(best), "relation": "eq"}, "hits": hits},
        }


@contextmanager
def other_cluster(documents: Documents, index: str = "books") -> Iterator[OtherCluster]:
    """One on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None: ...

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            cluster.asked.append((self.command, self.path, self.headers.get("authorization") or ""))
            reply = json.dumps(cluster.answer(self.path.partition("?")[0], body)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _do  # as the base class calls them

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cluster = OtherCluster(f"http://127.0.0.1:{server.server_port}", index, documents)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
