"""How `make test` divides the suite among processes: what shares a server stays together, the longest begins first."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

PLUGIN, OPENSEARCH, ELASTICSEARCH = "a node with the plugin", "an OpenSearch", "an Elasticsearch"
_ALONE = ("tests/e2e/test_docs.py", "tests/e2e/test_readme.py")
_OWN_NODES = re.compile(r"tests/integration/(?:cluster/|nodes/|plugin/test_(?:security|three_nodes|tls)\.py)")
_NO_NODE = re.compile(r"tests/integration/(?:gateway/|rpc/|test_)")
_LONGEST = (PLUGIN, OPENSEARCH, ELASTICSEARCH, "tests/integration/plugin", "tests/e2e", "tests/integration", "tests")


def part(test: str) -> str:
    """What a test is run together with: in one process, in the order of collection.

    A file is a part. Files that share a node are one, so that it is started once; the pages that are executed are
    one for each page.

    Parameters
    ----------
    test : str
        Id of the test.
    """
    file, _, name = test.partition("::")
    if file in _ALONE:
        return test
    if not file.startswith("tests/integration/") or _OWN_NODES.match(file) or _NO_NODE.match(file):
        return file
    if file.startswith("tests/integration/plugin/"):
        return PLUGIN
    return ELASTICSEARCH if "elasticsearch" in name.partition("[")[2] else OPENSEARCH


def rank(test: str) -> int:
    """When a test's part begins: a long one that begins last would be waited for by all other processes."""
    own = part(test)
    return next(place for place, beginning in enumerate(_LONGEST) if own.startswith(beginning))


class Parts(LoadScopeScheduling):
    """Hands parts to processes in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)
