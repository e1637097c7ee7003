"""Real clusters for the whole run: OPENSEARCH_URL and ELASTICSEARCH_URL, or such as are started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sidecar.cluster import running_cluster
from sidecar.cluster.parts import ELASTICSEARCH, OPENSEARCH, Server
from sidecar.errors import ChercheError, Code
from tests.brief import brief

_URLS = {server.name: os.environ.get(server.variable) for server in (OPENSEARCH, ELASTICSEARCH)}


@pytest.fixture(scope="session")
def opensearch_url(require: Callable[[str, str], None]) -> Iterator[str]:
    """URL of a cluster in which tests may do what they like to indices of their own."""
    yield from _running(OPENSEARCH, "768m", require)


@pytest.fixture(scope="session")
def elasticsearch_url(require: Callable[[str, str], None]) -> Iterator[str]:
    """The same of an Elasticsearch."""
    yield from _running(ELASTICSEARCH, "512m", require)


def _running(server: Server, heap: str, require: Callable[[str, str], None]) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            yield _URLS[server.name] or stack.enter_context(running_cluster(heap=heap, server=brief(server)))[0]
        except ChercheError as error:
            if error.code != Code.FAILED_PRECONDITION:
                raise
            require("java", str(error))
