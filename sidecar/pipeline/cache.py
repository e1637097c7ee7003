"""Token codes of texts that were encoded for a rerank, kept for the next one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from sidecar.pipeline.fingerprint import sha256_of
from sidecar.values.model import ModelDescription

CACHE_BYTES = 64 << 20


class CodesCache:
    """Codes by what they were made of; those not asked for longest go first.

    Not keyed by identity: a caller gets codes only of a text that it brought itself.

    Parameters
    ----------
    limit : int
        Bytes of codes that are kept.

    >>> cache = CodesCache(limit=3)
    >>> cache.put("a", b"12"), cache.put("b", b"34")
    (None, None)
    >>> cache.get("a"), cache.get("b")
    (None, b'34')
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._codes: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    @staticmethod
    def key(model: ModelDescription, lengths: Sequence[int], shares: Sequence[float], texts: Sequence[str]) -> str:
        """What decides the codes of a document given as one text per field; `lengths` is how it is cut."""
        return sha256_of([model.digest, list(lengths), list(shares), list(texts)])

    def get(self, key: str) -> bytes | None:
        """The codes, None where they are not kept."""
        codes = self._codes.get(key)
        if codes is not None:
            self._codes.move_to_end(key)
        return codes

    def put(self, key: str, codes: bytes) -> None:
        """Keep codes, and let others go for them."""
        self._bytes += len(codes) - len(self._codes.pop(key, b""))
        self._codes[key] = codes
        while self._bytes > self._limit:
            _, gone = self._codes.popitem(last=False)
            self._bytes -= len(gone)
