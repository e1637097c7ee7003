"""Bulk writes against a scripted cluster: what is retried, and what is never called a success."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import ConnectionTimeout

from sidecar.engines.opensearch.bulk import ATTEMPTS, Writer, batches, item
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument, WriteResult
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Naps, Sent, failed, http, refusal, written

BUSY = "rejected_execution_exception"


def documents(*ids: str) -> list[StoredDocument]:
    return [StoredDocument(id_, {"title": id_}, "hash", "ok", features={"a": 1.0}, terms=b"t") for id_ in ids]


async def write(
    transport: FakeTransport, *ids: str, max_bytes: int = 10**6, naps: Naps | None = None
) -> list[WriteResult]:
    return await Writer(http(transport), "books", sleep=naps or Naps(), max_bytes=max_bytes).write(documents(*ids))


def codes(results: list[WriteResult]) -> dict[str, Code | None]:
    return {result.id: result.error.code if result.error else None for result in results}


async def test_only_what_was_refused_for_load_is_sent_again() -> None:
    def answer(request: Sent) -> Any:
        busy = {"b", "d"} if len(transport.sent) == 1 else {"d"} if len(transport.sent) == 2 else set()
        return {"items": [failed(i, 429, BUSY) if i in busy else written(i) for i in request.ids]}

    transport, naps = FakeTransport(answer), Naps()
    results = await write(transport, "a", "b", "c", "d", naps=naps)
    assert codes(results) == {"a": None, "b": None, "c": None, "d": None}
    assert [sent.ids for sent in transport.sent] == [["a", "b", "c", "d"], ["b", "d"], ["d"]]
    assert naps.seconds == [0.25, 0.5]


async def test_a_whole_request_refused_for_load_is_sent_again() -> None:
    def answer(request: Sent) -> Any:
        if len(transport.sent) < 3:
            return refusal(429, "circuit_breaking_exception", "data too large")
        return {"items": [written(i) for i in request.ids]}

    transport = FakeTransport(answer)
    assert codes(await write(transport, "a", "b")) == {"a": None, "b": None}


async def test_patience_ends_with_an_error_that_says_so() -> None:
    transport, naps = FakeTransport(lambda request: {"items": [failed(i, 429, BUSY) for i in request.ids]}), Naps()
    [result] = await write(transport, "a", naps=naps)
    assert len(transport.sent) == ATTEMPTS
    assert len(naps.seconds) == ATTEMPTS - 1
    assert result.error is not None
    assert result.error.code == Code.RESOURCE_EXHAUSTED
    assert result.error.retry_after == 1.0


async def test_a_flood_block_is_not_mistaken_for_load() -> None:
    reason = "index [books] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, " + (
        "index has read-only-allow-delete block];"
    )
    transport = FakeTransport(
        lambda request: {"items": [failed(i, 429, "cluster_block_exception", reason) for i in request.ids]}
    )
    [result] = await write(transport, "a")
    assert len(transport.sent) == 1
    assert result.error is not None
    assert result.error.code == Code.FAILED_PRECONDITION
    assert "index.blocks.read_only_allow_delete" in result.error.next_step


@pytest.mark.parametrize("status", [400, 413])
async def test_a_document_that_spoils_the_request_is_found(status: int) -> None:
    def answer(request: Sent) -> Any:
        if "bad" in request.ids:
            return refusal(status, "action_request_validation_exception", "no")
        return {"items": [written(i) for i in request.ids]}

    results = await write(FakeTransport(answer), "a", "b", "bad", "c", "d")
    assert codes(results) == {"a": None, "b": None, "bad": Code.INVALID_ARGUMENT, "c": None, "d": None}


async def test_what_was_acknowledged_before_a_failure_stays_acknowledged() -> None:
    def answer(request: Sent) -> Any:
        if "a" in request.ids:
            return {"items": [written(i) for i in request.ids]}
        return NoConnection("N/A", "refused", OSError("refused"))

    results = await write(FakeTransport(answer), "a", "b", "c", max_bytes=1)
    assert codes(results) == {"a": None, "b": Code.UNAVAILABLE, "c": Code.UNAVAILABLE}
    assert "http://cluster:9200" in str(results[1].error)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ({}, Code.UNAVAILABLE),
        ([], Code.UNAVAILABLE),
        (None, Code.UNAVAILABLE),
        ("ok", Code.UNAVAILABLE),
        ({"items": None}, Code.UNAVAILABLE),
        ({"items": []}, Code.UNAVAILABLE),
        ({"items": [written("a")]}, Code.UNAVAILABLE),
        ({"items": [written("b"), written("a")]}, Code.UNAVAILABLE),
        ({"items": [written("a"), None]}, Code.UNAVAILABLE),
        ({"items": [written("a"), {"index": {"_id": "b"}}]}, Code.UNAVAILABLE),
        ({"items": [written("a"), {"index": {"_id": "b", "status": 0}}]}, Code.UNAVAILABLE),
        ({"items": [written("a"), {"index": {"_id": "b", "status": 200, "error": "odd"}}]}, Code.UNAVAILABLE),
        (ConnectionTimeout("TIMEOUT", "slow", TimeoutError()), Code.DEADLINE_EXCEEDED),
        (refusal(401, "security_exception", "missing credentials"), Code.UNAUTHENTICATED),
        (refusal(403, "security_exception", "no permissions"), Code.PERMISSION_DENIED),
        (refusal(503, "x", "no cluster manager"), Code.UNAVAILABLE),
        (refusal(500, "x", "broken"), Code.INTERNAL),
    ],
)
async def test_nothing_unacknowledged_is_a_success(reply: Any, code: Code) -> None:
    results = await write(FakeTransport(lambda request: reply), "a", "b")
    assert results[1].error is not None
    assert results[1].error.code == code


@pytest.mark.parametrize("odd", [None, [], "created", {}, {"index": None}, {"index": {"_id": "b", "status": "201"}}])
async def test_an_odd_item_leaves_its_neighbours_acknowledged(odd: Any) -> None:
    transport = FakeTransport(lambda request: {"items": [written("a"), odd, written("c")]})
    results = await write(transport, "a", "b", "c")
    assert codes(results) == {"a": None, "b": Code.UNAVAILABLE, "c": None}
    assert 'document "b"' in str(results[1].error)


async def test_disk_full_and_closed_index_name_the_next_step() -> None:
    transport = FakeTransport(
        lambda request: {
            "items": [
                failed("a", 500, "i_o_exception", "No space left on device"),
                failed("b", 400, "index_closed_exception", "closed"),
            ]
        }
    )
    results = await write(transport, "a", "b")
    assert [result.error.code for result in results if result.error] == [Code.FAILED_PRECONDITION] * 2
    assert "disk" in str(results[0].error)


def test_bodies_are_cut_by_bytes_and_keep_their_order() -> None:
    items = [item(n, document) for n, document in enumerate(documents(*(f"id{n}" for n in range(20))))]
    size = len(items[0].lines)
    cut = list(batches(items, 4 * size))
    assert [each for batch in cut for each in batch] == items
    assert all(sum(len(each.lines) for each in batch) <= 4 * size for batch in cut)
    assert list(batches(items[:2], 1)) == [[items[0]], [items[1]]]
    assert list(batches([], 100)) == []


def test_a_document_is_two_lines() -> None:
    document = StoredDocument(
        "é\n1", {"title": "x\u2028y"}, "h", "ok", features={"%2E": 0.5}, terms=b"\x00\xff", codes=None
    )
    action, source, rest = item(0, document).lines.decode().split("\n")
    assert json.loads(action) == {"index": {"_id": "é\n1"}}
    assert json.loads(source) == {
        "title": "x\u2028y",
        "cherche_digest": "h",
        "cherche_status": [{"ok": 1}],
        "cherche_weights": {"%2E": 0.5},
        "cherche_terms": base64.b64encode(b"\x00\xff").decode(),
    }
    assert rest == ""


@pytest.mark.parametrize(
    "document",
    [
        StoredDocument("", {}, "h"),
        StoredDocument("é" * 257, {}, "h"),
        StoredDocument("a", {"x": float("inf")}, "h"),
        StoredDocument("a", {"x": "\udc80"}, "h"),
        StoredDocument("\udc80", {}, "h"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_itself(document: StoredDocument) -> None:
    with pytest.raises(ChercheError) as refused:
        item(0, document)
    assert refused.value.code == Code.INVALID_ARGUMENT
