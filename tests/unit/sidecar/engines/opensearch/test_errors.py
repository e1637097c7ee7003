"""Replies of a cluster that refuses, as typed errors."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch.errors import (
    BadRequestShape,
    NoScripts,
    TooManyClauses,
    classify,
    of_item,
    of_part,
    of_reply,
)
from sidecar.errors import Code


@pytest.mark.parametrize(
    ("status", "kind", "reason", "code"),
    [
        (429, "rejected_execution_exception", "queue full", Code.RESOURCE_EXHAUSTED),
        (429, "circuit_breaking_exception", "heap", Code.RESOURCE_EXHAUSTED),
        (429, "", "slow down", Code.RESOURCE_EXHAUSTED),
        (404, "index_not_found_exception", "no such index [x]", Code.NOT_FOUND),
        (400, "routing_missing_exception", "routing is required for [x]/[1]", Code.INVALID_ARGUMENT),
        (404, "search_context_missing_exception", "gone", Code.FAILED_PRECONDITION),
        (400, "mapper_parsing_exception", "bad", Code.INVALID_ARGUMENT),
        (400, "strict_dynamic_mapping_exception", "bad", Code.INVALID_ARGUMENT),
        (
            400,
            "mapper_parsing_exception",
            "field [cherche_weights] of type [rank_features] doesn't support synthetic source",
            Code.FAILED_PRECONDITION,
        ),
        (503, "cluster_block_exception", "[SERVICE_UNAVAILABLE/1/state not recovered]", Code.UNAVAILABLE),
        (403, "cluster_block_exception", "[FORBIDDEN/13/cluster read-only]", Code.FAILED_PRECONDITION),
        (403, "security_exception", "no permissions", Code.PERMISSION_DENIED),
        (403, "security_exception", "current license is non-compliant for [x]", Code.FAILED_PRECONDITION),
        (401, "security_exception", "who", Code.UNAUTHENTICATED),
        (302, "", "Found", Code.FAILED_PRECONDITION),
        (409, "version_conflict_engine_exception", "newer", Code.ABORTED),
        (404, "x", "no", Code.NOT_FOUND),
        (504, "x", "gateway", Code.UNAVAILABLE),
        (503, "too_many_buckets_exception", "Trying to create too many buckets", Code.INVALID_ARGUMENT),
        (500, "x", "bug", Code.INTERNAL),
    ],
)
def test_refusals_have_a_kind_and_name_the_item(status: int, kind: str, reason: str, code: Code) -> None:
    error = classify(status, kind, reason, 'index "books"')
    assert error.code == code
    assert error.reason.startswith('index "books"')


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("no_shard_available_action_exception", Code.UNAVAILABLE),
        ("illegal_argument_exception", Code.INVALID_ARGUMENT),
        ("index_closed_exception", Code.FAILED_PRECONDITION),
        ("invalid_index_name_exception", Code.INTERNAL),
    ],
)
def test_only_a_copy_that_does_not_answer_is_waited_for(kind: str, code: Code) -> None:
    assert of_part({"type": kind, "reason": "r"}, "document 1").code == code


@pytest.mark.parametrize("body", [None, "<html>", {}, {"error": "text"}, {"error": {"root_cause": []}}, 3])
def test_a_reply_of_any_shape_is_an_error(body: Any) -> None:
    assert of_reply(502, body, "x").code == Code.UNAVAILABLE
    assert of_item(500, body, "x").code == Code.INTERNAL


@pytest.mark.parametrize(
    ("breaker", "durability", "code"),
    [
        ("fielddata", "PERMANENT", Code.FAILED_PRECONDITION),
        ("request", "TRANSIENT", Code.RESOURCE_EXHAUSTED),
        ("parent", "PERMANENT", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_breaker_is_waited_for_where_waiting_frees_memory(breaker: str, durability: str, code: Code) -> None:
    cause = {"type": "circuit_breaking_exception", "reason": f"[{breaker}] Data too large", "durability": durability}
    assert of_item(429, cause, "x").code == code
    reply = {"error": {"root_cause": [cause], "type": "search_phase_execution_exception", "reason": "all failed"}}
    error = of_reply(429, reply, "x")
    assert (error.code, bool(error.retry_after)) == (code, code is Code.RESOURCE_EXHAUSTED)


def test_a_reason_is_found_where_the_reply_gives_it_in_a_cause_alone() -> None:
    cause = {"type": "too_many_buckets_exception", "reason": "Trying to create too many buckets", "max_buckets": 5}
    reply = {"error": {"root_cause": [], "type": "search_phase_execution_exception", "reason": "", "caused_by": cause}}
    error = of_reply(503, reply, "x")
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "x: Trying to create too many buckets")
    assert "search.max_buckets" in error.next_step


def test_the_step_after_a_refused_search_is_about_the_search() -> None:
    reply = {"error": {"root_cause": [{"type": "illegal_argument_exception", "reason": "no sort by text"}]}}
    assert "what was asked for" in of_reply(400, reply, "x").next_step
    assert "the document" in of_item(400, reply["error"]["root_cause"][0], "x").next_step


def test_a_nested_clause_limit_is_recognised() -> None:
    caused = {"type": "query_shard_exception", "caused_by": {"type": "too_many_clauses"}}
    reply = {"error": {"root_cause": [{"type": "q", "reason": "r"}], "failed_shards": [{"reason": caused}]}}
    assert isinstance(of_reply(400, reply, "x"), TooManyClauses)


@pytest.mark.parametrize(
    ("block", "setting"),
    [
        ("index write (api)", "index.blocks.write"),
        ("index read-only (api)", "index.blocks.read_only"),
        ("disk usage exceeded flood-stage watermark, index has read-only-allow-delete block", "read_only_allow_delete"),
        ("create-index blocked (api)", "cluster.blocks.create_index"),
    ],
)
def test_a_block_names_the_setting_that_lifts_it(block: str, setting: str) -> None:
    error = classify(403, "cluster_block_exception", f"index [books] blocked by: [FORBIDDEN/8/{block}];", "x")
    assert error.code == Code.FAILED_PRECONDITION
    assert setting in error.next_step
    assert "to null" in error.next_step


@pytest.mark.parametrize("status", [500, 503])
def test_a_node_that_is_killed_is_no_defect(status: int) -> None:
    cause = {"type": "node_disconnected_exception", "reason": "[node-3][127.0.0.1:9300] disconnected"}
    reply = {
        "error": {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": [cause]}
    }
    error = of_reply(status, reply, "books")
    assert error.code == Code.UNAVAILABLE
    assert "try again" in error.next_step


def test_a_cluster_that_makes_no_index_says_which_setting_lifts_that() -> None:
    reason = "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];"
    error = classify(403, "index_create_block_exception", reason, 'index "books"')
    assert error.code == Code.FAILED_PRECONDITION
    assert "cluster.blocks.create_index" in error.next_step


def test_an_index_with_too_many_fields_is_told_which_setting_to_raise() -> None:
    reason = "Limit of total fields [1000] has been exceeded"
    error = classify(400, "illegal_argument_exception", reason, 'index "books"')
    assert (error.code, error.next_step) == (
        Code.INVALID_ARGUMENT,
        "raise index.mapping.total_fields.limit of the index",
    )


def test_a_missing_index_names_the_command_that_makes_it() -> None:
    error = classify(404, "index_not_found_exception", "no such index [books]", 'index "alias"')
    assert error.next_step == "run: cherche setup books"


@pytest.mark.parametrize("reason", ["script_lang not supported [painless]", "cannot execute [inline] scripts"])
def test_a_cluster_without_scripts_is_recognised_in_replies_and_items(reason: str) -> None:
    cause = {"type": "illegal_argument_exception", "reason": reason}
    assert isinstance(of_reply(400, {"error": {"root_cause": [cause]}}, "x"), NoScripts)
    item = {"type": "illegal_argument_exception", "reason": "failed to execute script", "caused_by": cause}
    assert isinstance(of_item(400, item, "x"), NoScripts)


@pytest.mark.parametrize(("status", "kind"), [(413, ""), (400, "action_request_validation_exception")])
def test_a_bulk_that_is_refused_whole_can_be_cut(status: int, kind: str) -> None:
    assert isinstance(of_reply(status, {"error": {"type": kind, "reason": "no"}}, "x"), BadRequestShape)
