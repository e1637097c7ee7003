"""Values that are kept as long as there is room for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByBytes(Generic[Key, Value]):
    """Values with a size; of more than `limit` bytes those not asked for longest go first.

    >>> kept = ByBytes[str, int](limit=3)
    >>> kept.keep("a", 1, size=2), kept.keep("b", 2, size=2)
    (None, None)
    >>> kept.get("a"), kept.get("b"), kept.bytes
    (None, 2, 2)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value, None where it is not kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def keep(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of so many bytes, and let others go for it."""
        self.drop(key)
        self._values[key] = value, size
        self.bytes += size
        while self.bytes > self.limit:
            _, (_, gone) = self._values.popitem(last=False)
            self.bytes -= gone

    def drop(self, key: Key) -> None:
        """Forget one value, if it is kept."""
        _, size = self._values.pop(key, (None, 0))
        self.bytes -= size

    def drop_where(self, is_gone: Callable[[Key], bool]) -> None:
        """Forget all values whose keys are so."""
        for key in [key for key in self._values if is_gone(key)]:
            self.drop(key)
