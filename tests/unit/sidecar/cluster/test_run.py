from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cluster import parts, run
from sidecar.errors import ChercheError

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_named_cluster_is_used_instead(server: parts.Server, tmp_path: Path) -> None:
    environment = {f"{server.name.upper()}_URL": "http://there:9200", "XDG_CACHE_HOME": str(tmp_path)}
    assert run.up(environment=environment, server=server).urls == ("http://there:9200",)
    assert run.down(environment) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_has_one_node_or_three(tmp_path: Path) -> None:
    with pytest.raises(ChercheError, match="not 2"):
        run.up(2, environment={"XDG_CACHE_HOME": str(tmp_path)})
