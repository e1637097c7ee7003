"""Names that stand for several indices: where writes go, and where a document lies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.opensearch.multi_index import MultiIndex, located, resolve, write
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Naps, Sent, http

STREAM = (".ds-logs-2024.09.01-000010", ".ds-logs-2024.10.01-000009")


def uuids(*names: str) -> dict[str, Any]:
    return {name: {"settings": {"index.uuid": name}} for name in names}


def alias(**options: Any) -> FakeTransport:
    """The indices behind the alias ``books``, by their options in it."""

    def answer(request: Sent) -> Any:
        return {name: {"aliases": {"books": one}} for name, one in options.items()}

    return Named(answer, uuids(*options))


class Named(FakeTransport):
    """Answers what stands behind a name with `behind`."""

    def __init__(self, answer: Any, behind: dict[str, Any]) -> None:
        super().__init__(answer)
        self.behind = behind

    async def perform_request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        reply = await super().perform_request(method, url, *arguments, **options)
        return self.behind if "/_settings/index.uuid" in url else reply


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({"one": {}}, "one"),
        ({"one": {}, "two": {"is_write_index": True}}, "two"),
        ({"one": {}, "two": {}}, ""),
        ({"one": {"index_routing": "r"}, "two": {"is_write_index": True}}, "books"),
    ],
    ids=["one index", "a write index", "no write index", "a routing"],
)
async def test_an_alias_writes_where_its_options_say(options: dict[str, Any], target: str) -> None:
    group = await resolve(http(alias(**options)), "books")
    assert (group.target, group.is_stream) == (target, False)
    assert group.is_one == (len(options) == 1)


async def test_an_index_by_its_own_name_is_one() -> None:
    group = await resolve(http(FakeTransport(lambda _: {})), "books")
    assert group == MultiIndex("books", ("books",), "books", False)
    assert group.is_one


async def test_a_stream_writes_into_the_index_of_its_last_rollover() -> None:
    group = await resolve(http(Named(lambda _: {}, uuids(*STREAM))), "logs")
    assert group.target == ".ds-logs-2024.09.01-000010"
    assert group.names == (".ds-logs-2024.10.01-000009", ".ds-logs-2024.09.01-000010")
    assert group.is_stream
    assert not group.is_one


async def test_a_pattern_takes_no_writes() -> None:
    with pytest.raises(ChercheError, match="stands for several indices") as refused:
        await resolve(http(Named(lambda _: {}, uuids("logs-1", "logs-2"))), "logs-*")
    assert refused.value.code is Code.INVALID_ARGUMENT


GROUP = MultiIndex("books", ("old", "new"), "new", False)


def shelf(kinds: dict[str, str]) -> FakeTransport:
    """Document ``1`` lies in ``old``; `kinds` are the encodings of both indices."""

    def answer(request: Sent) -> Any:
        if request.path == "/_mget":
            return {
                "docs": [{"_id": doc["_id"], "_index": doc["_index"], **there(doc)} for doc in request.body["docs"]]
            }
        if request.path.endswith("_mapping"):
            return {name: {"mappings": {"_meta": {"cherche": {"fingerprint": kind}}}} for name, kind in kinds.items()}
        if request.path.endswith("_settings"):
            return {name: {"settings": {}} for name in kinds}
        actions = [json.loads(line) for line in request.body.splitlines()[::2]]
        return {"items": [{verb: {**line, "status": 200}} for action in actions for verb, line in action.items()]}

    def there(doc: dict[str, str]) -> dict[str, Any]:
        found = (doc["_index"], doc["_id"]) == ("old", "1")
        return {"found": True, "_seq_no": 7, "_primary_term": 2, "_routing": "r"} if found else {"found": False}

    return FakeTransport(answer)


async def test_a_document_is_written_where_it_lies_and_a_new_one_where_new_ones_go() -> None:
    transport = shelf({"old": "a", "new": "a"})
    results = await write(http(transport), GROUP, [StoredDocument("1", {}), StoredDocument("2", {})], sleep=Naps())
    assert [result.error for result in results] == [None, None]
    actions = [json.loads(line) for line in transport.sent[-1].body.splitlines()[::2]]
    guard = {"if_seq_no": 7, "if_primary_term": 2, "routing": "r"}
    assert actions == [{"index": {"_index": "old", "_id": "1", **guard}}, {"index": {"_id": "2"}}]


async def test_a_document_in_an_index_of_another_encoding_is_refused_by_itself() -> None:
    results = await write(
        http(shelf({"old": "a", "new": "b"})), GROUP, [StoredDocument("1", {}), StoredDocument("2", {})], sleep=Naps()
    )
    assert results[0].error is not None
    assert results[0].error.code is Code.FAILED_PRECONDITION
    assert "of another encoding" in results[0].error.reason
    assert results[1].error is None


NO_SHARD = {"type": "no_shard_available_action_exception", "reason": "no shard"}


async def test_an_index_that_does_not_answer_is_not_taken_for_one_without_the_document() -> None:
    docs = [{"_index": name, "_id": "1", "error": NO_SHARD} for name in GROUP.names]
    failed = {"docs": docs}
    with pytest.raises(ChercheError, match='document "1"') as unknown:
        await located(http(FakeTransport(lambda _: failed)), GROUP, [{"_id": "1"}], {})
    assert unknown.value.code is Code.UNAVAILABLE
