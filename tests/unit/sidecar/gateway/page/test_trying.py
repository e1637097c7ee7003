"""Which clusters the page may try."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.gateway.page.trying import Visitor, check_clusters, check_permitted
from sidecar.maintenance.codes_writer import CodesWriter
from sidecar.models.registry import Registry
from sidecar.pipeline import Context, PageSigner
from sidecar.services import Services
from sidecar.testing import FakeModel
from sidecar.values.index import Identity
from tests.unit.sidecar.conftest import FakeEncoders


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


async def test_a_try_of_another_cluster_has_nothing_written_here(tmp_path: Path) -> None:
    own = EmbeddedEngine(tmp_path / "own.db")
    base = Context(own, FakeEncoders([]), PageSigner(b"k" * 16))
    base = replace(base, wanted=CodesWriter(base, has_account=True, most=1))
    services = Services(
        base,
        Registry(lambda name, source: FakeModel(name), "m"),
        open_cluster=lambda url: EmbeddedEngine(tmp_path / "other.db"),
    )
    async with Visitor(services, ("*",), Identity(), 30.0).at("http://other.example:9200") as context:
        assert context.engine is not own
        assert context.wanted is None
    await own.aclose()
