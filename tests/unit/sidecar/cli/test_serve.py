from __future__ import annotations

from pathlib import Path

import click
import pytest

from sidecar import config
from sidecar.cli.serve import serve, serve_flags
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError
from sidecar.observe.metrics import Metrics
from sidecar.serve import open_engine

ABSENT = {
    parameter.name or "": None for parameter in serve.params if parameter.name not in ("models", "as_json", "quiet")
}


def test_flags_that_were_not_given_change_nothing() -> None:
    assert config.load(serve_flags((), ABSENT)) == config.load()


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHERCHE_PORT", "1")
    monkeypatch.setenv("CHERCHE_METRICS__PORT", "2")
    certificate = tmp_path / "cert.pem"
    flags = {
        **ABSENT,
        "port": 3,
        "metrics_port": 4,
        "gateway_port": 5,
        "tls_cert": certificate,
        "url": "https://cluster:9200",
    }
    settings = config.load(serve_flags(("a=hub/id", f"b={tmp_path}"), flags))
    assert (settings.port, settings.metrics.port, settings.tls.cert) == (3, 4, certificate)
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 5)
    assert settings.models == {"a": "hub/id", "b": str(tmp_path.resolve())}
    assert settings.engine == "opensearch"


@pytest.mark.parametrize("name", ["cherche-small", "cherche-tiny"])
def test_a_model_that_ships_is_served_by_its_name(name: str) -> None:
    settings = config.load(serve_flags((name,), ABSENT))
    assert settings.models == {name: str(Path(config.shipped_model()).with_name(name))}


@pytest.mark.parametrize("model", ["splade", "=path", "name=", "", "."])
def test_a_model_needs_a_name_and_a_source(model: str) -> None:
    with pytest.raises(click.UsageError, match="NAME=PATH"):
        serve_flags((model,), ABSENT)


@pytest.mark.parametrize("name", ["opensearch", "elasticsearch"])
async def test_either_name_of_a_cluster_opens_its_engine(name: str) -> None:
    with pytest.raises(ChercheError, match=f"the {name} engine needs the address") as refused:
        open_engine(config.load({"engine": name}))
    assert "CHERCHE_URL" in refused.value.next_step
    opened = open_engine(config.load({"engine": name, "url": "https://cluster:9200"}))
    assert isinstance(opened, OpenSearchEngine)
    await opened.aclose()


@pytest.mark.parametrize("limit", [0, 1000])
async def test_only_what_searches_keeps_codes_of_hits_and_as_many_as_it_may(limit: int) -> None:
    settings = config.load({"engine": "opensearch", "url": "https://c:9200", "limits": {"codes_cache_bytes": limit}})
    for metrics, expected in ((None, 0), (Metrics(), limit)):
        opened = open_engine(settings, metrics)
        assert isinstance(opened, OpenSearchEngine)
        assert opened._codes.limit == expected
        await opened.aclose()
