"""What a cluster says when it refuses, as errors that name the item and the next step. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, invalid, not_found, overloaded, precondition, unavailable

# Seconds: a cluster that rejects a request does not say when to come back.
RETRY_AFTER = 1.0

NAME_ONE = "name an index or an alias that exists; one that is to be made has no capitals and at most 255 bytes"
_LONGEST_NAME = 255  # bytes

_REJECTED = (
    "rejected_execution_exception",
    "opensearch_rejected_execution_exception",
    "es_rejected_execution_exception",
    "circuit_breaking_exception",
)
_BAD_DOCUMENT = (
    "mapper_parsing_exception",
    "strict_dynamic_mapping_exception",
    "document_parsing_exception",
    "illegal_argument_exception",
)
_BLOCKS = (
    # In order: "index read" would match "index read-only" too.
    ("read-only-allow-delete", "index.blocks.read_only_allow_delete", "free disk space, then set {} to null"),
    ("index read-only", "index.blocks.read_only", "set {} to null"),
    ("index write", "index.blocks.write", "set {} to null"),
    ("index metadata", "index.blocks.metadata", "set {} to null"),
    ("index read", "index.blocks.read", "set {} to null"),
    ("cluster read-only-allow-delete", "cluster.blocks.read_only_allow_delete", "set {} to null"),
    ("cluster read-only", "cluster.blocks.read_only", "set {} to null"),
    # The cluster sets it by itself while the disks of all nodes are beyond the high watermark.
    ("create-index", "cluster.blocks.create_index", "free disk space on the data nodes, then set {} to null"),
)
_BLOCKED = ("cluster_block_exception", "index_create_block_exception")


# A copy that did not answer may do so later, whatever the status, which a part of a reply has not.
_UNREACHED = (
    "no_shard_available_action_exception",
    "unavailable_shards_exception",
    "primary_missing_action_exception",
    "illegal_index_shard_state_exception",
    "index_shard_closed_exception",
    "already_closed_exception",
    "shard_not_found_exception",
    "node_closed_exception",
    "node_disconnected_exception",
    "node_not_connected_exception",
    "connect_transport_exception",
    "receive_timeout_transport_exception",
)
_NO_SCRIPTS = ("script_lang not supported", "cannot execute [inline] scripts", "cannot execute scripts using")


def may_be_made(index: str) -> bool:
    """Whether the cluster would make an index of a name, or of a pattern, that can stand in a path.

    >>> may_be_made("books"), may_be_made("Books")
    (True, False)
    """
    return index == index.lower() and len(index.encode()) <= _LONGEST_NAME


class TooManyClauses(ChercheError):
    """The query has more clauses than ``indices.query.bool.max_clause_count`` allows."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Code.INVALID_ARGUMENT, reason, "shorten the query or raise indices.query.bool.max_clause_count"
        )


class BadRequestShape(ChercheError):
    """A whole bulk was refused because of one of its items, or because of its size."""


class NoScripts(ChercheError):
    """The cluster runs no scripts of this kind: they are switched off, or Painless is not installed."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.FAILED_PRECONDITION, reason, "allow inline scripts: script.allowed_types")


def of_reply(status: int, body: JsonValue, what: str) -> ChercheError:
    """Error of a request that the cluster refused; `what` names the index or the call."""
    kind, reason = root_cause(body)
    if _stays_full(body):
        return _breaker(reason, what)
    # Lucene 9 counts nested clauses of the whole query (LUCENE-8811), and its error has another name.
    if _mentions(body, "too_many_clauses") or _mentions(body, "too_many_nested_clauses"):
        return TooManyClauses(f"{what}: {reason}")
    if any(phrase in reason for phrase in _NO_SCRIPTS):
        return NoScripts(f"{what}: {reason}")
    if kind == "action_request_validation_exception" or status == 413:
        return BadRequestShape(Code.INVALID_ARGUMENT, f"{what}: {reason}", "send smaller, valid documents")
    return classify(status, kind, reason, what, "change what was asked for as the reason says")


def of_item(status: int, error: JsonValue, what: str) -> ChercheError:
    """Error of one document of a bulk; `what` names it."""
    kind, reason = root_cause({"error": error})
    if _stays_full({"error": error}):
        return _breaker(reason, what)
    cause = _with_cause(reason, error)
    if any(phrase in cause for phrase in _NO_SCRIPTS):
        return NoScripts(f"{what}: {cause}")
    return classify(status, kind, cause, what)


def of_part(error: JsonValue, what: str) -> ChercheError:
    """Error of one document of a read, which has no status."""
    kind, _ = root_cause({"error": error})
    return of_item(503 if kind in _UNREACHED else 500, error, what)


def classify(
    status: int, kind: str, reason: str, what: str, step: str = "mend the document or the mapping"
) -> ChercheError:
    """Turn a status, an error type and a reason into a typed error; `step` is for what is refused as it is."""
    text = f"{what}: {reason}"
    # Before 429 is read as overload: the flood-stage block answers 429, and no retry helps until disk is free.
    if kind in _BLOCKED:
        return _blocked(reason, text)
    if kind == "too_many_buckets_exception":  # of which OpenSearch says 503
        return invalid(text, "narrow the aggregations, or raise search.max_buckets")
    if kind in _REJECTED or status == 429:
        return overloaded(f"{what}: the cluster is overloaded: {reason}", RETRY_AFTER)
    if kind in _UNREACHED:  # 500 where a connection broke: a node that was killed
        return unavailable(text, "try again: a node or a copy of a shard did not answer")
    if kind == "index_not_found_exception":
        name = _index_of(reason)
        return not_found(f"{what}: {reason}", f"run: cherche setup {name}" if may_be_made(name) else NAME_ONE)
    if kind == "search_context_missing_exception":
        return precondition(f"{what}: the point in time has expired", "search again from the first page")
    if kind == "resource_already_exists_exception":
        return ChercheError(Code.ALREADY_EXISTS, text, "run the command again: it adds to what is there")
    if kind == "index_closed_exception":
        return precondition(text, "open the index")
    if "no space left" in reason.lower():
        return precondition(f"{what}: the cluster's disk is full", "free disk space on the data nodes")
    if "synthetic source" in reason:
        return precondition(text, "reindex into an index whose index.mapping.source.mode is stored")
    if "Limit of total fields" in reason:  # of setup too, which adds five
        return invalid(text, "raise index.mapping.total_fields.limit of the index")
    if kind == "routing_missing_exception":
        return invalid(text, "give its routing value, in _routing of its line")
    if "license is non-compliant" in reason:
        return precondition(text, "this needs another licence of the cluster, or a call without that feature")
    if kind == "security_exception" and status != 401:  # within a reply for several documents it has no status
        return ChercheError(Code.PERMISSION_DENIED, text, "grant that permission to the caller's role")
    if kind in _BAD_DOCUMENT:
        return invalid(text, step)
    return _by_status(status, text)


def root_cause(body: JsonValue) -> tuple[str, str]:
    """Type and reason of the innermost error that a reply names.

    >>> root_cause({"error": {"root_cause": [{"type": "parsing_exception", "reason": "unknown query"}]}})
    ('parsing_exception', 'unknown query')
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return "", str(error or body or "no reason given")[:500]
    first = _innermost(error)
    return str(first.get("type", "")), str(first.get("reason", "no reason given"))


def _innermost(error: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    causes = error.get("root_cause")
    first = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else error
    # A search that fails while shards' results are reduced says why in the cause alone (3.8.0).
    while not first.get("reason") and isinstance(cause := first.get("caused_by"), Mapping):
        first = cause
    return first


def _stays_full(body: JsonValue) -> bool:
    """Whether a circuit breaker is full of what no waiting frees, such as fielddata.

    The one of the whole heap, [parent], says so too while garbage waits to be collected.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    first = _innermost(error) if isinstance(error, Mapping) else {}
    lasts = first.get("type") == "circuit_breaking_exception" and first.get("durability") == "PERMANENT"
    return lasts and not str(first.get("reason")).startswith("[parent]")


def _breaker(reason: str, what: str) -> ChercheError:
    return precondition(f"{what}: {reason}", "clear the cache that fills this breaker, or raise its limit")


def _by_status(status: int, text: str) -> ChercheError:
    if status == 401:
        return ChercheError(Code.UNAUTHENTICATED, text, "send credentials that the cluster accepts")
    if status == 403:
        return ChercheError(Code.PERMISSION_DENIED, text, "grant that permission to the caller's role")
    if status == 404:
        return not_found(text)
    if status == 409:
        return ChercheError(Code.ABORTED, text, "run the call again")
    if status in (502, 503, 504):
        return unavailable(text, "wait until the cluster is healthy and try again")
    if 400 <= status < 500:
        return invalid(text)
    if 300 <= status < 400:  # such as to https, or to a page where people log in
        return precondition(f"{text} (status {status})", "give the URL of the cluster itself")
    if not 500 <= status < 600:
        return unavailable(f"{text} (status {status})", "look at what stands between the sidecar and the cluster")
    return ChercheError(Code.INTERNAL, text, "see the cluster's log")


def _blocked(reason: str, text: str) -> ChercheError:
    if "SERVICE_UNAVAILABLE" in reason:
        return unavailable(text, "wait until the cluster has recovered its state")
    for phrase, setting, step in _BLOCKS:
        if phrase in reason:
            return precondition(text, step.format(setting))
    return precondition(text, "remove the block")


def _with_cause(reason: str, error: JsonValue) -> str:
    cause = error.get("caused_by") if isinstance(error, Mapping) else None
    return f"{reason} ({cause['reason']})" if isinstance(cause, Mapping) and cause.get("reason") else reason


def _index_of(reason: str) -> str:
    found = re.search(r"\[([^\]]+)\]", reason)
    return found.group(1) if found else "NAME"


def _mentions(body: JsonValue, kind: str) -> bool:
    # At any depth: every shard's failure wraps it in causes of its own.
    if isinstance(body, Mapping):
        return body.get("type") == kind or any(_mentions(value, kind) for value in body.values())
    return isinstance(body, list) and any(_mentions(value, kind) for value in body)
