"""Defaults that both the settings (`sidecar.config.Limits`) and the values made of them need."""

from __future__ import annotations

DOCUMENT_BYTES = 1 << 20
QUERY_CHARACTERS = 8192
DEEPEST_HIT = 10_000
QUEUE_ITEMS = 8192
QUEUE_TOKENS = 2_000_000
COLD_DOCUMENTS = 16
WAITING_DOCUMENTS = 10_000
