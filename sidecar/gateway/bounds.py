"""What a request would cost, found before it is paid: bytes of a compressed body, and objects of a JSON text.

Two bytes such as ``[]`` become an object of sixty, and a thread does not help: the parser holds the interpreter's lock.
"""

from __future__ import annotations

import re
import zlib

# Possessive: a failed match is not tried again, and an escape in it takes no memory.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def count_values(body: bytes, most: int) -> int:
    """Strings, commas and opening brackets of a JSON text in UTF-8: at least as many as it has values.

    Counting ends soon after `most`, beyond which the count is not exact. A text that is no JSON is counted too.

    >>> count_values(b'{"input": ["a, b", "c"]}', 100)
    6
    """
    count = place = 0
    while place < len(body) and count <= most:
        quote = body.find(b'"', place)
        end = len(body) if quote < 0 else quote
        count += body.count(b",", place, end) + body.count(b"[", place, end) + body.count(b"{", place, end)
        if quote < 0:
            return count
        string = _STRING.match(body, quote)
        count += 1
        place = string.end() if string is not None else len(body)
    return count


_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1 << 20


def inflate(body: bytes, most: int) -> bytes:
    """Decompress gzip, of one or several members, to a little more than `most` bytes at the most.

    Raises
    ------
    ValueError
        If it is no gzip, or ends too early.

    >>> import gzip
    >>> inflate(gzip.compress(b"a" * 9), 100), len(inflate(gzip.compress(b"a" * 10**8), 100)) <= 100 + (1 << 20)
    (b'aaaaaaaaa', True)
    """
    parts: list[bytes] = []
    size, rest = 0, body
    while rest:
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                part = member.decompress(rest, _STEP)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            parts.append(part)
            size += len(part)
            if size > most:
                return b"".join(parts)
            rest = member.unconsumed_tail
            if not part and not rest and not member.eof:
                raise ValueError("it ends too early")
        rest = member.unused_data
    return b"".join(parts)
