"""The Helm chart: lint and rendering by helm itself where it is installed, and what it renders to always.

``make chart`` gets helm and runs this; ``python -m tests.contract.test_chart`` writes the renderings anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from sidecar import config
from sidecar.client.channel import is_balanced
from sidecar.cluster.places import cache_folder
from sidecar.observe.metrics import Metrics
from sidecar.services import SERVICES

ROOT = Path(__file__).parents[2]
CHART = ROOT / "sidecar" / "chart"
FOLDER = Path(__file__).parent / "chart"
RENDERINGS = ("secured", "closed")
KUBERNETES = ("1.27", "1.31", "1.37")
CUSTOM = {"ServiceMonitor"}

Objects = dict[str, dict[str, Any]]


def helm() -> str | None:
    """Path of helm: installed, or where ``make chart`` puts it."""
    cached = cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home()) / "bin" / "helm"
    return shutil.which("helm") or (str(cached) if cached.exists() else None)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = helm()
    assert path
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False)


def rendered(name: str) -> str:
    done = run(
        "template",
        "search",
        str(CHART),
        "--kube-version",
        "1.31",
        "--namespace",
        "shop",
        "-f",
        str(FOLDER / f"{name}.values.yaml"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def with_helm(require: Callable[[str, str], None]) -> None:
    if helm() is None:
        require("helm", "helm is not installed: run make chart")


@pytest.fixture(params=RENDERINGS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(name: str) -> Objects:
    """What the chart renders to, by kind and name."""
    documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents if each}


def pod(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Deployment/search-cherche-sidecar"]["spec"]["template"]["spec"]
    return spec


def container(objects: Objects) -> dict[str, Any]:
    [only] = pod(objects)["containers"]
    return dict(only)


@pytest.mark.usefixtures("with_helm")
def test_helm_finds_no_fault(name: str) -> None:
    done = run("lint", "--strict", str(CHART), "-f", str(FOLDER / f"{name}.values.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("with_helm")
def test_the_renderings_are_fresh(name: str) -> None:
    assert rendered(name) == (FOLDER / f"{name}.yaml").read_text()


@pytest.mark.usefixtures("with_helm")
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "needs TLS and a token"),
        (["secretName=a"], "needs TLS and a token"),
        (["insecure=true", "secretName=a"], "set insecure to false"),
        (["insecure=true", "replica=2"], "replica"),
        (["insecure=true", "settings.URL=x"], "URL"),
        (["insecure=true", "settings.CHERCHE_PORT=1"], "got number, want string"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: list[str], reason: str) -> None:
    done = run(
        "template",
        "search",
        str(CHART),
        "--kube-version",
        "1.31",
        *(part for value in values for part in ("--set", value)),
    )
    assert done.returncode != 0
    assert reason in done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(objects: Objects, version: str) -> None:
    for each in objects.values():
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_its_variables_are_settings(objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = dict(objects["ConfigMap/search-cherche-sidecar"]["data"])
    for key in [key for key in given if key.endswith("_FILE")]:
        (tmp_path / key).write_text("sixteen bytes or more")
        given[key] = str(tmp_path / key)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = config.load()
    assert settings.engine == "opensearch"
    assert settings.insecure != bool(settings.tls.cert and settings.secret("token"))
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert ports == {"grpc": settings.port, "metrics": settings.metrics.port, "http": settings.gateway.port}
    assert not settings.is_loopback
    assert not config.is_loopback(settings.gateway.host)
    assert pod(objects)["terminationGracePeriodSeconds"] > settings.notice + settings.drain
    if settings.tls.cert:
        assert settings.secret("page_token_key")


def test_a_pod_may_do_nothing_but_serve(objects: Objects) -> None:
    spec, only = pod(objects), container(objects)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False  # a Service called cherche would set CHERCHE_PORT
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {spec['securityContext']['runAsUser']} cherche" in (ROOT / "sidecar" / "Dockerfile").read_text()
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["name"]: mount for mount in only["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in spec["volumes"]}
    assert [name for name, mount in mounted.items() if not mount.get("readOnly")] == ["scratch"]


def test_probes_ask_what_answers(objects: Objects, name: str) -> None:
    only = container(objects)
    for probe in (only["startupProbe"], only["readinessProbe"]):
        # The kubelet's gRPC probe speaks no TLS.
        assert ("grpc" in probe) == (name == "closed")
        assert (
            probe.get("httpGet", {"path": "/healthz", "scheme": "HTTPS"}).items()
            >= {
                "path": "/healthz",
                "scheme": "HTTPS",
            }.items()
        )
    service = only["livenessProbe"].get("grpc", {}).get("service")
    assert service is None or service in SERVICES


def test_it_scales_on_a_metric_that_there_is() -> None:
    metrics = {name for family in Metrics().registry.collect() for name in [family.name]}
    adapter = yaml.safe_load((CHART / "prometheus-adapter.yaml").read_text())
    [rule] = adapter["rules"]["custom"]
    queried = set(re.findall(r"cherche_\w+", rule["metricsQuery"] + rule["seriesQuery"]))
    documents = yaml.safe_load_all((FOLDER / "secured.yaml").read_text())
    [scaler] = [each for each in documents if each and each["kind"] == "HorizontalPodAutoscaler"]
    [metric] = scaler["spec"]["metrics"]
    assert queried == {metric["pods"]["metric"]["name"]} == {rule["name"]["as"]}
    assert queried <= metrics


def test_a_grpc_client_sees_every_sidecar(objects: Objects) -> None:
    headless = objects["Service/search-cherche-sidecar"]["spec"]
    assert headless["clusterIP"] == "None"
    assert "clusterIP" not in objects["Service/search-cherche-sidecar-gateway"]["spec"]
    assert is_balanced("dns:///search-cherche-sidecar.shop:50551")
    assert is_balanced("https://dns:///search-cherche-sidecar.shop:50551")


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    assert chart["version"] == chart["appVersion"]


if __name__ == "__main__":
    for each in RENDERINGS:
        (FOLDER / f"{each}.yaml").write_text(rendered(each))
