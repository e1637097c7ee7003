"""Requests that keep to the form of their message and to little else, for every RPC and every route of the gateway.

Each request follows from its seed alone: what is found is found again with `replay`, and its bytes can be kept.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from sidecar.pb.cherche.v1 import encoder_pb2, index_pb2, model_pb2, plugin_pb2, reranker_pb2, search_pb2

FILES = (encoder_pb2, index_pb2, model_pb2, plugin_pb2, reranker_pb2, search_pb2)
METHODS: tuple[MethodDescriptor, ...] = tuple(
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name.values()
)
FORBIDDEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
INDICES = ("articles", "", " ", "\0", "_all", "*", "no-such-index", "articles,other", "../x", "é", "x" * 300)
TEXTS = ("", " ", "red car", "\0", "é\u2028\U0001f600", "a " * 600, "{{text}}", "x" * 5000)
JSONS = ("", "{}", "[]", "null", "1", "{", '"x"', "[" * 5000, '{"a":' * 2000, '{"query":{"match_all":{}}}', "NaN")
NUMBERS = (0, 1, -1, 2, 7, 100, 2**31 - 1, -(2**31))
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e30, float("nan"), float("inf"), float("-inf"))
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    -1,
    0,
    1,
    2**70,
    0.5,
    True,
    [],
    {},
    [[]],
    ["x"],
    [1, "x"],
    {"a": [{}]},
)
TIMEOUT = 5.0
AT_ONCE = 4
LOST = "Internal error from Core"
"""What grpc.aio 1.85 says of a stream that ended while it was written to: the sidecar's answer is lost on this side."""

_DEEPEST, _MOST = 4, 4
_RANGES: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@dataclass(slots=True)
class Storm:
    """Counts and findings of many requests.

    Attributes
    ----------
    answers : Counter
        By method or path, and code or status.
    found : list of (method, seed, what)
        Answers that a sidecar must never give.
    slowest_probe : float
        Seconds that a health probe beside the requests took at most.
    grown : int
        MiB that the process's peak memory rose by.
    """

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: list[tuple[str, int, str]] = field(default_factory=list)
    slowest_probe: float = 0.0
    grown: int = 0


def message(kind: Descriptor, rng: random.Random, depth: int = 0) -> Any:
    """A message of a kind, with any of its fields."""
    made = GetMessageClass(kind)()
    for each in kind.fields:
        if rng.random() < 0.3 or (each.message_type is not None and depth >= _DEEPEST):
            continue
        _set(made, each, rng, depth)
    return made


def request(method: MethodDescriptor, seed: int) -> bytes:
    """A serialized request of a method; one in five is damaged."""
    rng = random.Random(seed)
    data = bytearray(message(method.input_type, rng).SerializeToString())
    while data and rng.random() < 0.2:
        place = rng.randrange(len(data))
        change = rng.randrange(4)
        if change == 0:
            data[place] = rng.randrange(256)
        elif change == 1:
            del data[place:]
        elif change == 2:
            data[place:place] = data[place : place + 20]
        else:
            data[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(data)


def body(schema: Mapping[str, Any], seed: int) -> bytes:
    """A JSON body with the names of a schema, or bytes that are none."""
    rng = random.Random(seed)
    made = {name: _value(rng) for name in schema.get("properties", {}) if rng.random() < 0.8}
    data = bytearray(json.dumps(made).encode())
    while rng.random() < 0.15:
        data[rng.randrange(len(data)) :] = rng.randbytes(rng.randint(0, 4))
        data += b"}"
    return bytes(data)


async def rpc_storm(channel: grpc.aio.Channel, first: int, count: int, probe: Callable[[], Awaitable[object]]) -> Storm:
    """Send `count` requests, in turn to every method, some at once; `probe` is timed beside them."""
    storm, before = Storm(), _peak()
    seeds = iter(range(first, first + count))

    async def send() -> None:
        for seed in seeds:
            method = METHODS[seed % len(METHODS)]
            code, said = await replay(channel, method, seed)
            is_lost = said == LOST
            storm.answers[method.full_name, "status lost" if is_lost else code.name] += 1
            if code in FORBIDDEN and not is_lost:
                storm.found.append((method.full_name, seed, f"{code.name}: {said}"))

    await _beside(storm, asyncio.gather(*(send() for _ in range(AT_ONCE))), probe)
    storm.grown = _peak() - before
    return storm


async def replay(channel: grpc.aio.Channel, method: MethodDescriptor, seed: int) -> tuple[grpc.StatusCode, str]:
    """Send one request; its code, and what came with it."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    data = [request(method, seed)]
    if method.client_streaming:
        data += [request(method, seed + place) for place in (1, 2)]
    call = channel.stream_stream(path)(iter(data), timeout=TIMEOUT)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def routes(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Paths of an OpenAPI document that take a body, with its schema."""
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        if "post" in methods:
            schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            yield path, schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)


async def http_storm(url: str, first: int, count: int, probe: Callable[[], Awaitable[object]]) -> Storm:
    """As `rpc_storm`, for the gateway at a URL."""
    storm, before = Storm(), _peak()
    address = url.removeprefix("http://")
    known = list(routes(json.loads(await asyncio.to_thread(_http, address, "GET", "/openapi.json", b""))[1]))

    seeds = iter(range(first, first + count))

    async def send() -> None:
        for seed in seeds:
            path, schema = known[seed % len(known)]
            status, _ = json.loads(await asyncio.to_thread(_http, address, "POST", path, body(schema, seed)))
            storm.answers[path, str(status)] += 1
            if status == 500 or not status:
                storm.found.append((path, seed, str(status)))

    await _beside(storm, asyncio.gather(*(send() for _ in range(AT_ONCE))), probe)
    storm.grown = _peak() - before
    return storm


async def _beside(storm: Storm, work: Awaitable[Any], probe: Callable[[], Awaitable[object]]) -> None:
    """Do the work, and time the probe every tenth of a second."""
    done = asyncio.ensure_future(work)
    while not done.done():
        started = time.monotonic()
        await probe()
        storm.slowest_probe = max(storm.slowest_probe, time.monotonic() - started)
        await asyncio.wait([done], timeout=0.1)
    await done


def _http(address: str, method: str, path: str, data: bytes) -> str:
    """[status, JSON] of an answer; status 0 where the connection ended without one."""
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode() or "null"
        return f"[{response.status}, {text}]"
    except (HTTPException, OSError):
        return "[0, null]"
    finally:
        connection.close()


def _set(made: Any, each: FieldDescriptor, rng: random.Random, depth: int) -> None:
    if each.message_type is not None and each.message_type.GetOptions().map_entry:
        return  # the project's messages have none
    if not each.is_repeated:
        value = _scalar(each, rng, depth)
        if each.message_type is not None:
            getattr(made, each.name).CopyFrom(value)
        else:
            setattr(made, each.name, value)
        return
    values = [_scalar(each, rng, depth) for _ in range(rng.randint(0, _MOST))]
    getattr(made, each.name).extend(values)


def _scalar(each: FieldDescriptor, rng: random.Random, depth: int) -> Any:
    if each.message_type is not None:
        return message(each.message_type, rng, depth + 1)
    if each.enum_type is not None:
        return rng.choice([*(value.number for value in each.enum_type.values), 99])
    if each.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice([b"", rng.randbytes(rng.randint(1, 60)), *(one.encode() for one in JSONS)])
    if each.type == FieldDescriptor.TYPE_STRING:
        known = INDICES if each.name == "index" else JSONS if each.name.endswith("json") else TEXTS
        return rng.choice(known if rng.random() < 0.6 else known[:3])
    if each.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if each.cpp_type in _RANGES:
        low, high = _RANGES[each.cpp_type]
        return min(high, max(low, rng.choice((*NUMBERS, low, high))))
    return rng.choice(FLOATS)


def _value(rng: random.Random) -> Any:
    if rng.random() < 0.3:
        return {name: rng.choice(VALUES) for name in rng.sample(("text", "id", "index", "query", "model"), 2)}
    return rng.choice((*VALUES, *TEXTS[:4], ["red car", "blue"], [["red car"]]))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
