"""Sidecars and clients of two releases understand each other: what an earlier release said is on tape.

`tape.json` holds a conversation of a client with a sidecar for each release, byte for byte: requests, answers, and what
the client made of them. Today's sidecar answers the recorded requests, and today's client reads the recorded answers.
``python -m tests.contract.test_tape`` adds today's conversation where the version is a new one.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory

from sidecar import config
from sidecar.client.client import Client
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from sidecar.pb.cherche.v1 import encoder_pb2, index_pb2, model_pb2, plugin_pb2, reranker_pb2, search_pb2
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import RANK_FEATURES, SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest

FILE = Path(__file__).with_name("tape.json")
Said = dict[str, Any]  # method, requests, answers (bytes, base64), and the status of the call
DOCUMENTS = (
    SourceDocument("1", b'{"title": "Sleep and memory", "text": "Slow sleep strengthens what was learned."}'),
    SourceDocument("2", b'{"title": "Layers", "text": "Heat transfer in laminar flow over the wing."}'),
    SourceDocument("3", b'{"title": "", "text": ""}'),
    SourceDocument("4", b"no document"),
)
# What no two runs have in common.
PASSING = {"timings", "next_page_token", "engine"}
# Fields of later releases, and the word that stands for what was the only way before.
ADDED = {"weights": RANK_FEATURES}
# What is for people, and may be worded better, and the request that an engine was sent: it must be there.
WORDS = {"reason", "next_step", "message", "warnings", "requests", "match_set_reason", "findings"}
FILES = (encoder_pb2, index_pb2, model_pb2, plugin_pb2, reranker_pb2, search_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


async def conversation(client: Client) -> list[Any]:
    """Most of what a client can ask, and what it got."""
    found: list[Any] = []
    found.append(await client.setup_index("articles", IndexOptions(max_length=64, chunks=2, rerank_window=10)))
    found.append([one async for one in client.index_documents("articles", each(DOCUMENTS))])
    found.append(await client.search(SearchRequest("articles", "sleep memory", rerank=True, size=5)))
    body = {"query": {"match": {"text": "heat"}}}
    found.append(await client.search(SearchRequest("articles", "heat", mode="bm25", body=body)))
    found.append(await client.search(SearchRequest("articles", "sleep heat", size=1, paginate=True)))
    found.append(await client.explain(SearchRequest("articles", "sleep")))
    found.append(await client.encode_documents([Text("a text", "1"), Text("", "2")]))
    found.append(await client.encode_queries([Text("a query")], outputs=["term_weights"]))
    found.append(await client.rerank("heat", [Text("flow", "a"), Text("heat", "b")]))
    found.append(await client.get_index("articles"))
    found.append(await client.list_models())
    found.append([one async for one in client.dump_index("articles")])
    for refused in (client.search(SearchRequest("missing", "sleep")), client.encode_queries([Text("x" * 9000)])):
        try:
            found.append(await refused)
        except ChercheError as error:
            found.append([error.code.value, error.reason, error.next_step])
    found.append(await client.remove_index("articles"))
    return [plain(one) for one in found]


async def each(documents: tuple[SourceDocument, ...]) -> AsyncIterator[SourceDocument]:
    for one in documents:
        yield one


def plain(value: Any) -> Any:
    """A value as JSON, without what differs between runs, and without unset fields, which a later release may add."""
    if isinstance(value, ChercheError):
        return [value.code.value, value.reason, value.next_step]
    if is_dataclass(value):
        held = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in PASSING}
        unset = (None, "", 0, (), False)
        return {name: plain(one) for name, one in held.items() if one not in (*unset, ADDED.get(name))}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items() if key not in PASSING}
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return [plain(one) for one in value]
    return value


class Tape(grpc.GenericRpcHandler):
    """Passes bytes on to a sidecar and keeps them; or plays back what was kept, in the order of a method's calls."""

    def __init__(self, *, target: str = "", kept: list[Said] | None = None) -> None:
        self.said: list[Said] = []
        self._target = target
        self._left: dict[str, list[Said]] = defaultdict(list)
        for one in kept or ():
            self._left[one["method"]].append(one)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = str(details.method)
        play = self._play if self._left else self._record

        async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for one in play(method, requests, context):
                yield one

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _record(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        sent, got = [one async for one in requests], list[bytes]()
        said: Said = {"method": method, "requests": [b64encode(one).decode() for one in sent]}
        self.said.append(said)
        async with grpc.aio.insecure_channel(self._target) as channel:
            call = channel.stream_stream(method)(iter(sent), metadata=context.invocation_metadata())
            try:
                async for one in call:
                    got.append(one)
                    yield one
            except grpc.aio.AioRpcError as error:
                details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
                said["status"] = [error.code().value[0], error.details(), b64encode(details).decode()]
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                await context.abort(error.code(), error.details() or "")
            finally:
                said["answers"] = [b64encode(one).decode() for one in got]

    async def _play(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        assert self._left[method], f"{method} was called more often than on the tape"
        said = self._left[method].pop(0)
        async for _ in requests:
            pass
        for one in said["answers"]:
            yield b64decode(one)
        if "status" in said:
            number, reason, details = said["status"]
            code = next(one for one in grpc.StatusCode if one.value[0] == number)
            context.set_trailing_metadata((("grpc-status-details-bin", b64decode(details)),))
            await context.abort(code, reason)


@asynccontextmanager
async def listening(tape: Tape) -> AsyncIterator[Client]:
    """A client of a tape."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((tape,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.stop(0)


@asynccontextmanager
async def sidecar() -> AsyncIterator[RunningServer]:
    with tempfile.TemporaryDirectory() as folder:
        engine = EmbeddedEngine(Path(folder) / "index.sqlite")
        try:
            async with running_server(engine, [FakeModel()], settings=config.Settings()) as server:
                yield server
        finally:
            await engine.aclose()


TAPES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
tapes = pytest.mark.parametrize("tape", TAPES, ids=[one["release"] for one in TAPES])


def test_the_release_is_on_tape() -> None:
    assert TAPES[-1]["release"] == version("cherche-sidecar"), "run: python -m tests.contract.test_tape"


@tapes
async def test_a_client_of_today_understands_a_sidecar_of_then(tape: dict[str, Any]) -> None:
    async with listening(Tape(kept=tape["said"])) as client:
        assert await conversation(client) == tape["understood"]


@tapes
async def test_a_sidecar_of_today_answers_a_client_of_then(tape: dict[str, Any]) -> None:
    async with sidecar() as server, grpc.aio.insecure_channel(server.address) as channel:
        for said in tape["said"]:
            answers, status = await replayed(channel, said)
            assert status == said.get("status", [0])[0], said["method"]
            assert len(answers) == len(said["answers"]), said["method"]
            for then, now in zip(said["answers"], answers, strict=True):
                lost = list(missing(decoded(said["method"], b64decode(then)), decoded(said["method"], now)))
                assert not lost, f"{said['method']} no longer says {lost}"


async def replayed(channel: grpc.aio.Channel, said: Said) -> tuple[list[bytes], int]:
    call = channel.stream_stream(said["method"])(iter([b64decode(one) for one in said["requests"]]))
    answers = list[bytes]()
    try:
        async for one in call:
            answers.append(one)
    except grpc.aio.AioRpcError as error:
        return answers, error.code().value[0]
    return answers, 0


def decoded(method: str, data: bytes) -> Any:
    """An answer as JSON."""
    message = message_factory.GetMessageClass(METHODS[method].output_type)()
    message.ParseFromString(data)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def missing(then: Any, now: Any, at: str = "") -> Iterator[str]:
    """Paths of what an answer held and holds no longer: fields, items, or values that are no measurement."""
    if isinstance(then, dict):
        if not isinstance(now, dict):
            yield at
            return
        for key, value in then.items():
            if key not in PASSING:
                if key not in now:
                    yield f"{at}.{key}"
                elif key not in WORDS:
                    yield from missing(value, now[key], f"{at}.{key}")
    elif isinstance(then, list):
        if not isinstance(now, list) or len(now) != len(then):
            yield at
            return
        for old, new in zip(then, now, strict=True):
            yield from missing(old, new, at)
    elif isinstance(then, float):
        if now != pytest.approx(then, abs=1e-6):
            yield at
    elif then != now:
        yield at


def test_what_is_lost_is_found() -> None:
    then = {"hits": [{"id": "1", "score": 2.0}], "timings": {"queue": 3}, "total": 1}
    assert list(missing(then, then)) == []
    assert list(missing(then, {"hits": [{"id": "2"}], "total": 1, "more": 2})) == [".hits.id", ".hits.score"]
    assert list(missing(then, {"hits": [], "total": "1"})) == [".hits", ".total"]


async def recorded() -> dict[str, Any]:
    """Today's conversation."""
    async with sidecar() as server:
        tape = Tape(target=server.address)
        async with listening(tape) as client:
            understood = await conversation(client)
    return {"release": version("cherche-sidecar"), "said": tape.said, "understood": understood}


def main() -> None:
    """Add today's conversation where the version is a new one; what is on tape stays."""
    if not TAPES or TAPES[-1]["release"] != version("cherche-sidecar"):
        TAPES.append(asyncio.run(recorded()))
        FILE.write_text(json.dumps(TAPES, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
