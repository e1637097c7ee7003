"""What the indices behind a name look like, and how their documents are counted."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.values.index import IndexStats
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine


async def test_a_name_that_is_switched_between_two_requests_is_resolved_again() -> None:
    names = iter(["old", "new", "new", "new"])

    def answer(request: Sent) -> Any:
        return {next(names): {"mappings": {}, "settings": {}}}

    [group] = await engine(FakeTransport(answer)).groups("books")
    assert group.names == ("new",)


async def test_a_name_that_is_switched_again_and_again_is_unavailable() -> None:
    names = iter(map(str, range(100)))
    with pytest.raises(ChercheError, match="again and again") as restless:
        await engine(FakeTransport(lambda _: {next(names): {"mappings": {}, "settings": {}}})).groups("books")
    assert restless.value.code is Code.UNAVAILABLE


async def test_documents_that_failed_are_not_pending() -> None:
    def answer(request: Sent) -> Any:
        buckets = [{"doc_count": count} for count in (5, 9, 1)]  # encoded, touched, failed
        return {"hits": {"total": {"value": 20}}, "aggregations": {"counts": {"buckets": buckets}}}

    assert await engine(FakeTransport(answer)).stats("books") == IndexStats(documents=20, encoded=5, pending=3)


async def test_a_pattern_that_fits_no_index_names_the_command() -> None:
    with pytest.raises(ChercheError, match=r"no index fits 'logs-\*'") as absent:
        await engine(FakeTransport(lambda _: {})).groups("logs-*")
    assert (absent.value.code, absent.value.next_step) == (
        Code.NOT_FOUND,
        "run: cherche setup 'logs-*' for those to come",
    )
