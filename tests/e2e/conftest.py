"""A sidecar with its page, and a browser on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar.demo.corpus import standard_library
from sidecar.values.documents import SourceDocument
from tests.browser import Browser, axe_source, browser, violations
from tests.other_cluster import OtherCluster, other_cluster
from tests.served import Site, serving

INDEX = "python"
MODULES = ("shutil", "tempfile")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[OtherCluster]:
    """A cluster that nobody set up, with the documentation of one module."""
    entries = [entry for entry in standard_library() if entry.id.split(".")[0] == "shutil"]
    documents = {entry.id: {"title": entry.id, "text": entry.text} for entry in entries}
    with other_cluster(documents, "manuals") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, elsewhere: OtherCluster) -> Iterator[Site]:
    """The small shipped model and an index of two modules' documentation."""
    entries = [entry for entry in standard_library() if entry.id.split(".")[0] in MODULES]
    documents = [SourceDocument(entry.id, entry.to_bytes()) for entry in entries]
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, {INDEX: documents}, model="cherche-tiny", clusters=(elsewhere.url,)) as found:
        yield found


@pytest.fixture(scope="module")
def opened(
    site: Site, tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]
) -> Iterator[Browser]:
    """One browser for a module's tests."""
    with browser(site.url, tmp_path_factory.mktemp("profile"), require) as tab:
        yield tab


@pytest.fixture
def tab(opened: Browser) -> Iterator[Browser]:
    """The browser, which must have had nothing to complain about at the end."""
    opened.said.clear()
    yield opened
    assert opened.said == [], "the console is empty: no error, and nothing that the policy refused"


@pytest.fixture
def accessible(tab: Browser) -> Callable[[], Any]:
    """A check of what is open, in light and in dark colours."""
    source = axe_source()
    if source is None:
        pytest.skip("axe-core is not there: make axe")

    def check() -> None:
        for theme in ("light", "dark"):
            tab.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            assert violations(tab, source) == []

    return check
