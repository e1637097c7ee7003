"""How documents longer than a model reads are cut. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cherche_models.chunks import MAX, RMS
from sidecar.values.documents import Json

MOST_CHUNKS = 64
DEFAULT_CHUNKS = 16  # windows: long documents gain as much as from all of theirs
DEFAULT_OVERLAP = 16  # tokens


@dataclass(frozen=True, slots=True)
class Chunks:
    """How documents longer than `max_length` are cut: into at most `most` windows that share `overlap` tokens.

    One window is no cut at all: what lies beyond it is not encoded. `pooling` makes one weight of a term's weights
    in all windows.
    """

    most: int = 1
    overlap: int = 0
    pooling: str = RMS

    @classmethod
    def default(cls, max_length: int, most: int = DEFAULT_CHUNKS) -> Chunks:
        """Windows of `max_length` tokens as a new index has them; short ones share less."""
        return cls(most, min(DEFAULT_OVERLAP, max_length // 4))

    def to_json(self) -> dict[str, Any]:
        """As ``_meta.cherche`` holds it."""
        pooling = {"pooling": self.pooling} if self.most > 1 else {}
        return {"most": self.most, "overlap": self.overlap, **pooling}

    @classmethod
    def from_json(cls, data: Json) -> Chunks:
        """Read `to_json`'s object back; earlier releases cut nothing, or took the maximum and did not say so."""
        most = int(data.get("most", 1))
        return cls(most, int(data.get("overlap", 0)), str(data.get("pooling", MAX)) if most > 1 else RMS)
