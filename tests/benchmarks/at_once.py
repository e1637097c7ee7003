"""A sidecar whose reranker answers at once, with the order it was asked about: ``python -m tests.benchmarks.at_once``.

So that a search through the plugin shows what the plugin itself costs. Prints its address, ends with its parent.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc, search_pb2

SERVICE = "cherche.v1.PluginService"
LARGEST = 64 << 20


class AtOnce(plugin_pb2_grpc.PluginServiceServicer):
    """Keeps every order."""

    async def RerankHits(
        self, request: pb.RerankHitsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.RerankHitsResponse:
        """The hits as they came."""
        count = len(request.hits)
        status = search_pb2.RerankStatus.RERANK_STATUS_APPLIED
        outcome = search_pb2.RerankOutcome(status=status, window=count, reranked=count)
        hits = [pb.RerankedHit(index=place, score=hit.score) for place, hit in enumerate(request.hits)]
        return pb.RerankHitsResponse(hits=hits, outcome=outcome)


@contextmanager
def at_once() -> Iterator[str]:
    """Address of such a sidecar, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def main() -> None:
    """Serve until asked to end."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", LARGEST)])
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(AtOnce(), server)  # type: ignore[no-untyped-call]  # generated
    statuses = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    await statuses.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
