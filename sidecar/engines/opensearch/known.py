"""What is known of a cluster and of its indices, kept for all callers so that a search need not ask again."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sidecar.engines.opensearch import mapping
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.values.index import Identity, IndexGroup

_NAMES = 256  # for each caller a name is asked for by, since one may see what another may not
_COUNTED_NAMES = 16
_FEATURES = 1 << 14
# Beyond it the counts of an index are of another collection. An idf changes by less than .05 before that.
_DRIFT = 0.05

Value = TypeVar("Value")
Key = tuple[str, str]
"""A digest of the caller's credentials and a name of an index."""


def key_of(identity: Identity, index: str) -> Key:
    """Key of what a caller may know of an index; credentials themselves are not kept.

    >>> key_of(Identity("Basic one"), "books") == key_of(Identity("Basic two"), "books")
    False
    """
    return hashlib.sha256((identity.authorization or "").encode()).hexdigest(), index


Count = Callable[[Sequence[str]], Awaitable[tuple[dict[str, int], int]]]
"""Counts the documents with each feature, and in all."""


class Kept(Generic[Value]):
    """Values by key; of more than `limit` those that were put first go.

    >>> kept = Kept[int](limit=2)
    >>> for number, name in enumerate("abc"):
    ...     kept.put(("", name), number)
    >>> kept.get(("", "a")), kept.get(("", "c"))
    (None, 2)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, None where it is not kept."""
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value as the newest."""
        self._values.pop(key, None)
        self._values[key] = value
        while len(self._values) > self._limit:
            self._values.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget one value, if it is kept."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._values.clear()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The indices behind a name at one time; `uuids` tells one that was created again from the one before."""

    groups: tuple[IndexGroup, ...]
    uuids: tuple[str, ...]
    asked: float
    is_lean: bool


@dataclass(slots=True)
class Frequencies:
    """Document frequencies of an index by feature, each with the time it was asked for.

    Attributes
    ----------
    total : int
        Documents in all, as last counted.
    """

    total: int = 0
    _counts: dict[str, tuple[int, float]] = field(default_factory=dict)

    def since(self, names: Sequence[str], earliest: float) -> dict[str, int]:
        """Counts of those names that were asked for after `earliest`."""
        found = {name: self._counts[name] for name in names if name in self._counts}
        return {name: count for name, (count, asked) in found.items() if asked > earliest}

    def has_drifted(self, total: int) -> bool:
        """Whether the index has so many more or fewer documents that its counts are to be taken anew."""
        return abs(total - self.total) > _DRIFT * self.total

    async def counted(self, names: Sequence[str], count: Count, now: float, max_age: float) -> tuple[list[int], int]:
        """Documents with each feature, and in all; `count` asks for those that are not known well enough."""
        counts = self.since(names, now - max_age) if max_age else {}
        missing = [name for name in names if name not in counts]
        if missing or not names:
            found, total = await count(missing)
            if counts and self.has_drifted(total):
                counts = {}
                found, total = await count(names)
            self.add(found, total, now)
            counts |= found
        # A count that is older than the total may be of documents that were deleted since.
        return [min(counts[name], self.total) for name in names], self.total

    def add(self, counts: Mapping[str, int], total: int, asked: float) -> None:
        """Keep counts, which were taken when the index had `total` documents."""
        if self.has_drifted(total) or len(self._counts) + len(counts) > _FEATURES:
            self._counts.clear()
        self.total = total
        self._counts.update({name: (count, asked) for name, count in counts.items()})


@dataclass(slots=True)
class Known:
    """Facts about a cluster.

    Attributes
    ----------
    dialect, max_clauses
        Read once.
    weights : dict
        Type of the field that holds the weights, by name of an index.
    hidden : set of str
        Indices whose mapping has all fields of ours.
    clock : callable
        Monotonic seconds.
    """

    dialect: Dialect | None = None
    max_clauses: int | None = None
    weights: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    clock: Callable[[], float] = time.monotonic
    _seen: Kept[_Seen] = field(default_factory=lambda: Kept(_NAMES))
    _frequencies: Kept[Frequencies] = field(default_factory=lambda: Kept(_COUNTED_NAMES))

    def groups(self, key: Key, max_age: float) -> tuple[IndexGroup, ...] | None:
        """What stands behind a name, None where that was not asked within `max_age` seconds."""
        seen = self._seen.get(key)
        return seen.groups if seen is not None and self.clock() - seen.asked < max_age else None

    def is_lean(self, key: Key) -> bool:
        """Whether sources behind a name were without weights, terms and codes when that was last asked.

        Where that changes, more is read than need be until it is asked again.
        """
        seen = self._seen.get(key)
        return seen is not None and seen.is_lean

    def see(self, key: Key, found: Sequence[mapping.IndexFacts], asked: float) -> tuple[IndexGroup, ...]:
        """Keep what stands behind a name; counts of documents are forgotten where it is something else than before."""
        before = self._seen.get(key)
        uuids = tuple(str(each.settings.get("index.uuid", each.name)) for each in found)
        is_lean = bool(found) and all(each.source_is_lean for each in found)
        seen = _Seen(mapping.groups(found), uuids, asked, is_lean)
        if before is not None and (before.groups, before.uuids) != (seen.groups, seen.uuids):
            self._frequencies.drop(key)
        self._seen.put(key, seen)
        return seen.groups

    def frequencies(self, key: Key) -> Frequencies:
        """Document frequencies of a name, none yet for one that is new."""
        found = self._frequencies.get(key)
        if found is None:
            found = Frequencies()
            self._frequencies.put(key, found)
        return found

    def forget(self) -> None:
        """Forget everything about indices: one of them was changed from here, under whatever name."""
        self._seen.clear()
        self._frequencies.clear()
        self.weights.clear()
