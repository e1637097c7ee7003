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
        ports = service["ports"]
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


def test_the_images_steps_install_a_working_command(tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "site"
    source.mkdir()
    for name, text in instructions():
        if name == "COPY" and not text.startswith("--from=kernel "):
            _copy(text.split(), source)
    assert ("RUN", "pip install --no-cache-dir .") in instructions()
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target), "."]
    subprocess.run([sys.executable, "-m", *install], cwd=source, check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-c", "import sidecar.cli as c; print(c.__file__); c.main()", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    file, version = done.stdout.splitlines()
    assert file.startswith(str(target))
    assert version.startswith("cherche, version ")


def test_the_kernels_stage_compiles_what_the_image_takes(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    [base, _, copied, made] = instructions(0)
    assert (base[1].split()[0], copied) == (instructions()[0][1], ("COPY", "cherche_models/kernel /kernel"))
    assert made == ("RUN", "python /kernel/build.py")
    site = "/usr/local/lib/python3.12/site-packages/cherche_models/kernel/"
    assert ("COPY", f"--from=kernel /kernel/maxsim.so {site}") in instructions()
    assert instructions()[0][1] == "python:3.12-slim"
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        require("compiler", "there is no C compiler")
    shutil.copytree(ROOT / "cherche_models" / "kernel", tmp_path / "kernel", ignore=shutil.ignore_patterns("*.so"))
    subprocess.run([sys.executable, str(tmp_path / "kernel" / "build.py")], cwd=tmp_path, check=True)
    assert library.load(tmp_path / "kernel" / "maxsim.so").kernels


def _copy(words: list[str], source: Path) -> None:
    *names, into = words
    for name in names:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / into)
