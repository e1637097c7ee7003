"""What `cherche try` reads, and which cluster it asks."""

from __future__ import annotations

import pytest

from sidecar.cli.output import Output
from sidecar.cli.session import Session
from sidecar.cli.try_ import read_queries, replace_target
from sidecar.errors import ChercheError, Code


def test_queries_are_lines_with_text() -> None:
    assert read_queries(b"\xef\xbb\xbf one \n\n two\n", "q.txt") == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "reason"), [(b" \n", "q.txt holds no query"), (b"a\xff", "q.txt is not UTF-8 at byte 1")]
)
def test_a_file_without_queries_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        read_queries(data, "q.txt")
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_the_cluster_is_searched_whatever_server_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_SERVER", "127.0.0.1:1")
    settings = replace_target(Session(Output()), "http://cluster:9200").settings()
    assert (settings.server, settings.engine, settings.url) == ("", "opensearch", "http://cluster:9200")
