"""A real cluster for the whole run: OPENSEARCH_URL, or one that is started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sidecar.cluster import running_cluster
from sidecar.errors import ChercheError, Code

_URL = os.environ.get("OPENSEARCH_URL")


@pytest.fixture(scope="session")
def opensearch_url(require: Callable[[str, str], None]) -> Iterator[str]:
    """URL of a cluster in which tests may do what they like to indices of their own."""
    with ExitStack() as stack:
        try:
            yield _URL or stack.enter_context(running_cluster(heap="768m"))[0]
        except ChercheError as error:
            if error.code != Code.FAILED_PRECONDITION:
                raise
            require("java", str(error))
