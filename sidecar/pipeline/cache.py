"""What was encoded for a search, kept for the next one: token codes of texts, and queries."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.pipeline.fingerprint import sha256_of
from sidecar.values.bounded import ByBytes
from sidecar.values.model import Encoded, ModelDescription

CACHE_BYTES = 64 << 20
_A_QUERY = 500  # bytes of a query beside its arrays: objects, and the texts of its tokens


class CodesCache(ByBytes[str, bytes]):
    """Codes by what they were made of.

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
        super().__init__(limit)

    @staticmethod
    def key(model: ModelDescription, lengths: Sequence[int], shares: Sequence[float], texts: Sequence[str]) -> str:
        """What decides the codes of a document given as one text per field; `lengths` is how it is cut."""
        return sha256_of([model.digest, list(lengths), list(shares), list(texts)])

    def put(self, key: str, codes: bytes) -> None:
        """Keep codes, and let others go for them."""
        self.keep(key, codes, len(codes))


QueryKey = tuple[str, str, str]


class QueryCache(ByBytes[QueryKey, Encoded]):
    """Encoded queries by model and text.

    Not keyed by identity: a caller gets the encoding of a text that it brought itself. What it may learn is that
    somebody asked the same lately, from how long the answer takes; a limit of 0 keeps nothing.

    Parameters
    ----------
    limit : int
        Bytes that are kept, about.
    """

    def __init__(self, limit: int = 0) -> None:
        super().__init__(limit)

    @staticmethod
    def key(model: ModelDescription, text: str) -> QueryKey:
        """What decides the encoding of a query."""
        return model.name, model.digest, text

    def put(self, key: QueryKey, encoded: Encoded) -> None:
        """Keep an encoded query, and let others go for it."""
        weights, embeddings = encoded.encoding.weights, encoded.encoding.embeddings
        arrays = () if weights is None else (weights.ids, weights.weights)
        arrays = arrays if embeddings is None else (*arrays, embeddings.vectors)
        self.keep(key, encoded, sum(array.nbytes for array in arrays) + 2 * len(key[-1]) + _A_QUERY)
