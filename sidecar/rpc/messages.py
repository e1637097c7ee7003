"""Reading a message of a call: bounded in bytes, in inflated bytes and in objects, and off the event loop where large.

gRPC hands over bytes as they came, still compressed (`CHANNEL_OPTIONS`): its own limit is on the compressed bytes, and
16 KiB of them can become 16 MiB.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from sidecar.config import Limits
from sidecar.errors import ChercheError, invalid, overloaded
from sidecar.rpc.call import Call
from sidecar.wire.bounds import MalformedError, count_fields

FIELDS_PER_ITEM = 16
"""Fields of a message for each item that a call may have; the richest item, a coded document, has about ten."""
_FEWEST_FIELDS = 4096
"""Fields that a message may always have: a search has many options and no items."""

_GZIP = b"\x1f\x8b"  # begins no message: 0x1f would be a field of wire type 7, which does not exist
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_IDENTITY_AND_GZIP = 0b101  # bits of grpc_compression_algorithm
_AT_ONCE = 1 << 15
"""Bytes up to which a message is read on the event loop: at most some milliseconds, and a thread takes .1 ms."""
_THREADS = 2
RETRY_AFTER = 1.0
"""Seconds after which a call that met too many others is worth repeating."""

Held = deque[int]
"""Bytes of the messages of one call that it may still work on, the oldest first."""


class MessageReader:
    """Reads messages within the limits of a sidecar.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._bytes = limits.request_bytes
        self._most, self._held = limits.held_bytes, 0
        self._in_flight = limits.stream_in_flight
        self._fields = max(_FEWEST_FIELDS, FIELDS_PER_ITEM * limits.items)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="messages")

    @property
    def channel_options(self) -> list[tuple[str, int]]:
        """What the server is to be created with, so that messages come as they were sent."""
        return [
            ("grpc.max_receive_message_length", self._bytes),
            ("grpc.per_message_decompression", 0),
            ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
        ]

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    @contextmanager
    def holding(self, *, streams: bool) -> Iterator[Held]:
        """What a call holds, which it gives back at the end of the block.

        Parameters
        ----------
        streams : bool
            Whether it sends several messages: it then holds as many as may be unanswered.
        """
        held = Held(maxlen=self._in_flight if streams else None)
        try:
            yield held
        finally:
            self._held -= sum(held)

    async def read(self, kind: type[Message], context: Call, held: Held) -> Message | None:
        """The next message of a call; None at its end.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT for bytes that are no such message, and for more bytes or fields than allowed;
            RESOURCE_EXHAUSTED where all calls together hold more than they may.
        """
        data = await context.read()
        if not isinstance(data, bytes):  # grpc's EOF
            return None
        loop = asyncio.get_running_loop()
        if data.startswith(_GZIP):
            data = await loop.run_in_executor(self._threads, self._inflated, data)
        self._hold(held, len(data))
        if len(data) <= _AT_ONCE:
            return self._parse(kind, data)
        return await loop.run_in_executor(self._threads, self._parse, kind, data)

    def _hold(self, held: Held, size: int) -> None:
        oldest = held[0] if len(held) == held.maxlen else 0
        others = self._held - oldest
        if others and others + size > self._most:
            reason = f"calls in progress hold {others:,} bytes of messages, {size:,} more exceed {self._most:,}"
            raise overloaded(reason, RETRY_AFTER)
        held.append(size)
        self._held = others + size

    def _parse(self, kind: type[Message], data: bytes) -> Message:
        name = kind.DESCRIPTOR.full_name
        try:
            if count_fields(data, kind.DESCRIPTOR, self._fields) > self._fields:
                raise invalid(
                    f"the {name} has more than {self._fields:,} fields",
                    "send fewer items per call, or stream; CHERCHE_LIMITS__ITEMS on the server raises the limit",
                )
            return kind.FromString(data)
        except (MalformedError, DecodeError):
            raise _malformed(f"{len(data):,} bytes are no {name}") from None

    def _inflated(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        try:
            inflated = inflater.decompress(data, self._bytes + 1)
        except zlib.error as error:
            raise _malformed(f"the compressed message cannot be inflated: {error}") from None
        if len(inflated) > self._bytes:
            raise invalid(
                f"the message inflates to more than {self._bytes:,} bytes",
                "send fewer items per call, or stream; CHERCHE_LIMITS__REQUEST_BYTES on the server raises the limit",
            )
        if not inflater.eof:
            raise _malformed("the compressed message ends too early")
        return inflated


def request_of(method: str) -> type[Message]:
    """The class of a method's requests; `method` is ``/package.Service/Method``."""
    found = descriptor_pool.Default().FindMethodByName(method.lstrip("/").replace("/", "."))
    return message_factory.GetMessageClass(found.input_type)


def _malformed(reason: str) -> ChercheError:
    return invalid(reason, "send what the protos of this release describe")
