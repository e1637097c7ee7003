"""Which clusters the page may try."""

from __future__ import annotations

import pytest

from sidecar import config
from sidecar.errors import ChercheError, Code
from sidecar.gateway.page.trying import check_clusters, check_permitted


@pytest.mark.parametrize(
    ("url", "named", "permitted"),
    [
        ("https://a.example", ("https://A.example:443/",), True),
        ("https://a.example:443/es", ("https://a.example",), True),
        ("http://a.example", ("https://a.example",), False),
        ("https://a.example:9200", ("https://a.example",), False),
        ("https://a.example.evil", ("https://a.example",), False),
        ("https://a.example@evil", ("https://a.example",), False),
        ("https://evil#https://a.example", ("https://a.example",), False),
        ("http://10.0.0.1:9200", ("*",), True),
        ("http://10.0.0.1:9200", (), False),
    ],
)
def test_a_cluster_is_named_by_scheme_host_and_port(url: str, named: tuple[str, ...], permitted: bool) -> None:
    if permitted:
        check_permitted(url, named)
        return
    with pytest.raises(ChercheError) as refused:
        check_permitted(url, named)
    assert refused.value.code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("host", "token", "refused"), [("127.0.0.1", "T", False), ("127.0.0.1", "", True), ("0.0.0.0", "T", True)]
)
def test_any_cluster_is_for_one_person_at_this_machine(host: str, token: str, refused: bool) -> None:
    gateway = config.Gateway(host=host, clusters=("*",))
    if not refused:
        check_clusters(gateway, token)
        return
    with pytest.raises(ChercheError, match="any address of its network"):
        check_clusters(gateway, token)
