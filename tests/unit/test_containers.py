"""The compose file is valid and names what is there; the image's steps run without Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cherche_models.kernel import library
from sidecar import config
from sidecar.testing import FakeModel
from tests.unit.sidecar.cli.conftest import serving
from tests.unit.sidecar.demo.test_example import answering

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "sidecar" / "Dockerfile"


def compose() -> dict[str, dict[str, dict[str, object]]]:
    loaded: dict[str, dict[str, dict[str, object]]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def instructions(stage: int = -1) -> list[tuple[str, str]]:
    """What a stage of the Dockerfile does, by default the last one, which is the image."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in text.splitlines() if not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for name, words in (line.split(None, 1) for line in lines if line):
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, words))
    return stages[stage]


def test_docker_compose_accepts_it() -> None:
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed (Debian's package docker-compose)")
    done = subprocess.run(["docker-compose", "config", "-q"], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_builds_both_images_and_listens_on_loopback_only() -> None:
    services = compose()["services"]
    engine = services["opensearch"]["build"]
    arguments = {"OPENSEARCH_VERSION": "${OPENSEARCH_VERSION:-3.8.0}"}
    assert engine == {"context": ".", "dockerfile": "opensearch/Dockerfile", "args": arguments}
    build = services["sidecar"]["build"]
    assert build == {"context": ".", "dockerfile": "sidecar/Dockerfile"}
    for service in services.values():
        ports = service.get("ports", [])
        assert isinstance(ports, list)
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = dict(part.split("=") for name, text in instructions() if name == "ENV" for part in text.split())
    service = compose()["services"]["sidecar"]["environment"]
    assert isinstance(service, dict)
    for name, value in {**variables, **service}.items():
        monkeypatch.setenv(name, value)
    settings = config.load()
    assert (settings.engine, settings.url, settings.host) == ("opensearch", "http://opensearch:9200", "0.0.0.0")
    assert settings.insecure
    assert (settings.gateway.host, settings.gateway.port) == ("0.0.0.0", 50552)
    ports = compose()["services"]["sidecar"]["ports"]
    assert isinstance(ports, list)
    assert "127.0.0.1:50552:50552" in ports


def test_the_example_is_made_once_the_sidecar_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its command is run, in a folder without sources, beside a sidecar and a cluster that takes everything."""
    services = compose()["services"]
    service = services["example"]
    assert service["build"] == services["sidecar"]["build"]
    assert service["depends_on"] == {"sidecar": {"condition": "service_healthy"}}
    assert "restart" not in service
    entrypoint, volumes, variables = service["entrypoint"], service["volumes"], service["environment"]
    assert isinstance(entrypoint, list)
    assert isinstance(volumes, list)
    assert isinstance(variables, dict)
    python, *command = entrypoint
    [(here, there, mode)] = [volume.split(":") for volume in volumes]
    assert (python, command[-1], mode) == ("python", there, "ro")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = config.load()
    assert (settings.server, settings.url, settings.insecure) == ("sidecar:50551", "http://opensearch:9200", True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with serving(tmp_path, [FakeModel()]) as address, answering() as cluster:
        for name, value in (("CHERCHE_SERVER", address), ("CHERCHE_URL", cluster.url)):
            monkeypatch.setenv(name, value)
        arguments = [*command[:-1], str(ROOT / here)]
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "documents, 0 failed" in done.stdout
    paths = [f"{method} {path}" for method, path, _, _ in cluster.requests]
    assert paths[:3] == ["PUT /_ingest/pipeline/cherche", "PUT /_search/pipeline/cherche", "PUT /python/_settings"]
    assert set(paths[3:]) == {"POST /python/_bulk?refresh=true"}


def test_prometheus_reads_the_sidecar_and_grafana_reads_prometheus() -> None:
    services = compose()["services"]
    folder = ROOT / "opensearch" / "dashboards"
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())
    [job] = prometheus["scrape_configs"]
    ports = services["sidecar"]["ports"]
    assert isinstance(ports, list)
    for target in job["static_configs"][0]["targets"]:
        name, port = target.split(":")
        assert f"127.0.0.1:{port}:{port}" in ports
        assert name in services
    assert all((folder / name).is_file() for name in prometheus["rule_files"])
    [source] = yaml.safe_load((folder / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["observe"]
        volumes = services[name]["volumes"]
        assert isinstance(volumes, list)
        assert all((ROOT / volume.split(":")[0]).exists() for volume in volumes)


def test_the_image_alone_refuses_to_listen_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in instructions():
        if name == "ENV":
            for part in text.split():
                monkeypatch.setenv(*part.split("=", 1))
    settings = config.load()
    assert not settings.is_loopback
    assert not settings.insecure
    assert not settings.secret("token")


def test_the_wheels_stage_makes_what_the_image_installs(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    source, wheels, target = tmp_path / "src", tmp_path / "wheels", tmp_path / "site"
    source.mkdir()
    stage, image = instructions(0), instructions()
    assert stage[0][1] == f"{image[0][1]} AS wheel"
    assert ("RUN", "pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .") in stage
    assert ("COPY", "--from=wheel /wheels /wheels") in image
    assert ("RUN", "pip install --no-cache-dir /wheels/*.whl") in image
    for name, text in stage:
        if name == "COPY":
            _copy(text.split(), source)
    make = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), "."]
    subprocess.run([sys.executable, "-m", *make], cwd=source, check=True)
    (wheel,) = wheels.glob("*.whl")
    install = ["pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-c", "import sidecar.cli as c; print(c.__file__); c.main()", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    file, version = done.stdout.splitlines()
    assert file.startswith(str(target))
    assert version.startswith("cherche, version ")
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        require("compiler", "there is no C compiler")
    assert ("RUN", "apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev") in stage
    assert library.load(target / "cherche_models" / "kernel" / "kernel.so").kernels


def test_pytorch_is_installed_before_for_cpus_unless_told_otherwise(tmp_path: Path) -> None:
    lines = instructions()
    (step,) = [text for name, text in lines if name == "RUN" and "TORCH_INDEX_URL" in text]
    assert lines.index(("RUN", step)) < lines.index(("RUN", "pip install --no-cache-dir /wheels/*.whl"))
    arguments = dict(text.partition("=")[::2] for name, text in lines if name == "ARG")
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$@"\n')
    pip.chmod(0o755)
    for index, said in ((arguments["TORCH_INDEX_URL"], "/whl/cpu\n"), ("", "")):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH_INDEX_URL": index}
        done = subprocess.run(["sh", "-c", step], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.endswith(said)
        assert bool(done.stdout) == bool(said)


def _copy(words: list[str], source: Path) -> None:
    *names, into = words
    for name in names:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / into)
