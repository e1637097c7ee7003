"""How items and metadata are called."""

from __future__ import annotations

from sidecar.errors import ChercheError

CLUSTER_AUTHORIZATION = "cherche-cluster-authorization"
"""Metadata key under which a caller's cluster credentials travel."""


def item_name(what: str, index: int, id: str) -> str:
    """How messages call an item.

    >>> item_name("document", 3, ""), item_name("document", 3, "a")
    ('document 3', "document 'a'")
    """
    return f"{what} {id!r}" if id else f"{what} {index}"


def naming(error: ChercheError, name: str) -> ChercheError:
    """The same error, saying which item it is about."""
    if name in error.reason:
        return error
    return ChercheError(error.code, f"{name}: {error.reason}", error.next_step, retry_after=error.retry_after)
