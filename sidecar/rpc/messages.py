"""Reading a message of a call: bounded in bytes, in inflated bytes and in objects, and off the event loop where large.

gRPC hands over bytes as they came, still compressed (`CHANNEL_OPTIONS`): its own limit is on the compressed bytes, and
16 KiB of them can become 16 MiB.
"""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from sidecar.config import Limits
from sidecar.errors import ChercheError, invalid
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


class MessageReader:
    """Reads messages within the limits of a sidecar.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._bytes = limits.request_bytes
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

    async def read(self, kind: type[Message], context: Call) -> Message | None:
        """The next message of a call; None at its end.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT for bytes that are no such message, and for more bytes or fields than allowed.
        """
        data = await context.read()
        if not isinstance(data, bytes):  # grpc's EOF
            return None
        if len(data) <= _AT_ONCE and not data.startswith(_GZIP):
            return self._parse(kind, data)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._parse, kind, data)

    def _parse(self, kind: type[Message], data: bytes) -> Message:
        name = kind.DESCRIPTOR.full_name
        data = self._inflated(data) if data.startswith(_GZIP) else data
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
