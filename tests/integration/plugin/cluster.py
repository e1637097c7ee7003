"""What the plugin's tests share: the node, its sidecar and an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.testing import FakeModel, RunningServer


@dataclass(frozen=True, slots=True)
class Cluster:
    """The node under test, a sidecar that it calls, and an index for one test."""

    engine: OpenSearchEngine
    model: FakeModel
    server: RunningServer
    index: str

    async def send(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """A raw request."""
        return await self.engine._http.send(Request(method, path, body, params), what="test")

    async def settings(self, **values: Any) -> None:
        """Change the plugin's settings; None resets one to its default."""
        named = {f"plugins.cherche.{name.replace('__', '.')}": value for name, value in values.items()}
        await self.send("PUT", "/_cluster/settings", {"persistent": named})

    async def stats(self) -> dict[str, Any]:
        """Counters of the plugin on the only node."""
        reply = await self.send("GET", "/_plugins/_cherche/stats")
        [node] = reply["nodes"].values()
        return dict(node)
