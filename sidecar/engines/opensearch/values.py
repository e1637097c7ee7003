"""JSON of others: a value whose shape the cluster or the caller decides."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
