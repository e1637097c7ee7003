"""What a node is started with, and what a machine may lack."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sidecar.cluster import node, parts, places, run
from sidecar.cluster.assemble import _lay_out, home_folder, with_plugins
from sidecar.cluster.node import NodeSpec
from sidecar.errors import ChercheError, Code

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


def spec(number: int, folder: Path = Path("/x")) -> NodeSpec:
    return NodeSpec(number, folder / f"node-{number}", 9000 + number, 9100 + number)


def jdk(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


def test_the_cache_lies_where_the_servers_user_can_read_it() -> None:
    home = Path("/home/ada")
    assert places.cache_folder({}, root=False, home=home) == home / ".cache/cherche"
    assert places.cache_folder({}, root=True, home=Path("/root")) == Path("/var/cache/cherche")
    assert places.cache_folder({"XDG_CACHE_HOME": "/c"}, root=True, home=home) == Path("/c/cherche")


def test_a_closed_cache_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    places.check_readable(closed, None)
    with pytest.raises(ChercheError, match="closed to the user nobody") as refused:
        places.check_readable(closed / "inner", places.User("nobody", 65534, 65534))
    assert refused.value.code == Code.FAILED_PRECONDITION


def test_java_home_wins_where_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, newest = (jdk(tmp_path / v, f"{v}.0.1") for v in ("17", "21", "25"))
    monkeypatch.setattr(places, "_java_homes", lambda: iter([old, new, newest]))
    assert places.java_home({"JAVA_HOME": str(new)}) == new
    assert places.java_home({"JAVA_HOME": str(old)}) == newest
    assert places.java_home({}) == newest


def test_a_missing_jdk_says_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = jdk(tmp_path / "17", "17.0.15")
    monkeypatch.setattr(places, "_java_homes", lambda: iter([old]))
    with pytest.raises(ChercheError, match=rf"{old} \(17\)") as refused:
        places.java_home({})
    assert refused.value.code == Code.FAILED_PRECONDITION
    assert "JDK 21" in refused.value.next_step


def test_a_product_takes_the_newest_java_that_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, newest = (jdk(tmp_path / v, f"{v}.0.1") for v in ("17", "21", "25"))
    monkeypatch.setattr(places, "_java_homes", lambda: iter([old, new, newest]))
    assert places.java_home({"JAVA_HOME": str(newest)}, parts.ELASTICSEARCH) == new
    assert places.java_home({"JAVA_HOME": str(old)}, parts.ELASTICSEARCH) == old
    monkeypatch.setattr(places, "_java_homes", lambda: iter([newest]))
    with pytest.raises(ChercheError, match=rf"Elasticsearch 7.17.29 needs Java 17 to 23; found: {newest} \(25\)"):
        places.java_home({}, parts.ELASTICSEARCH)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_missing_maven_is_named(server: parts.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ChercheError, match="mvn") as refused:
        places.maven(server)
    assert server.variable in refused.value.next_step


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_poms_are_xml_and_name_every_part(server: parts.Server) -> None:
    for folder, coordinates in server.layout().items():
        tree = ElementTree.fromstring(parts.pom(folder, coordinates))
        names = [element.text for element in tree.iter("{http://maven.apache.org/POM/4.0.0}artifactId")]
        assert names == [folder, *(coordinate.split(":")[1] for coordinate in coordinates)]


def test_nodes_know_each_other() -> None:
    alone = node.configuration(spec(1), [spec(1)])
    assert "discovery.type: single-node" in alone
    assert "http.port: 9001" in alone
    three = node.configuration(spec(2), [spec(1), spec(2), spec(3)])
    assert 'discovery.seed_hosts: ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103"]' in three
    assert "single-node" not in three
    assert "cluster.initial_cluster_manager_nodes: [node-1, node-2, node-3]" in three
    other = [NodeSpec(n, Path("/x"), 1, 2, parts.ELASTICSEARCH) for n in (1, 2, 3)]
    assert "cluster.initial_master_nodes: [node-1, node-2, node-3]" in node.configuration(other[0], other)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_module_never_brings_what_the_server_has(server: parts.Server, tmp_path: Path) -> None:
    build = tmp_path / "build"
    for folder in server.layout():
        jars = build / folder / "target" / "dependency"
        jars.mkdir(parents=True)
        for jar in (
            ("shared-2.0.jar", "shared-extras-2.0.jar") if folder == "lib" else ("shared-1.5.1.jar", "own-1.jar")
        ):
            (jars / jar).touch()
    home = _lay_out(build, tmp_path / "home", server)
    netty = home / "modules" / "transport-netty4"
    assert sorted(path.name for path in netty.iterdir()) == [
        "own-1.jar",
        "plugin-descriptor.properties",
        "plugin-security.policy",
    ]
    assert f"{server.name}.version={server.version}" in (netty / "plugin-descriptor.properties").read_text()
    assert "SocketPermission" in (netty / "plugin-security.policy").read_text()
    assert not (home / "modules" / "reindex" / "plugin-security.policy").exists()


def test_the_log_shows_causes_and_not_frames(tmp_path: Path) -> None:
    shown = spec(1, tmp_path)
    shown.folder.mkdir()
    shown.log.write_text("first\n" + "\tat org.Frame\n" * 50 + "Caused by: disk\n")
    assert node.log_tail(shown) == "first\nCaused by: disk"


def test_only_our_own_processes_are_ended(tmp_path: Path) -> None:
    ours = f"-Dopensearch.path.conf={tmp_path / 'config'}"
    wait = "import sys; sys.stdin.read()"
    with (
        subprocess.Popen([sys.executable, "-c", wait, ours], stdin=subprocess.PIPE) as mine,
        subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE) as other,
    ):
        assert node.stop({mine.pid: tmp_path, other.pid: tmp_path}) == 1
        assert mine.wait() < 0
        assert other.poll() is None
        other.kill()
    assert node.stop({mine.pid: tmp_path}) == 0


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_named_cluster_is_used_instead(server: parts.Server, tmp_path: Path) -> None:
    environment = {f"{server.name.upper()}_URL": "http://there:9200", "XDG_CACHE_HOME": str(tmp_path)}
    assert run.up(environment=environment, server=server).urls == ("http://there:9200",)
    assert run.down(environment) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_has_one_node_or_three(tmp_path: Path) -> None:
    with pytest.raises(ChercheError, match="not 2"):
        run.up(2, environment={"XDG_CACHE_HOME": str(tmp_path)})


def test_a_zip_that_is_no_plugin_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(ChercheError, match=r"plain\.zip") as refused:
        with_plugins(home, [plain], tmp_path / "first")
    assert refused.value.code == Code.INVALID_ARGUMENT
    plugin = tmp_path / "plugin.zip"
    with zipfile.ZipFile(plugin, "w") as archive:
        archive.writestr("plugin-descriptor.properties", "description=x\nname=mine\n")
        archive.writestr("mine.jar", "x")
    built = with_plugins(home, [plugin], tmp_path / "second")
    assert sorted(path.name for path in (built / "plugins" / "mine").iterdir()) == [
        "mine.jar",
        "plugin-descriptor.properties",
    ]
    assert list((home / "plugins").iterdir()) == []


def test_free_ports_differ() -> None:
    ports = node.free_ports(6)
    assert len(set(ports)) == 6
    assert max(ports) < 32_768, "from there on Linux gives ports to outgoing connections"


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_of_other_parts_is_assembled_anew(server: parts.Server, tmp_path: Path) -> None:
    fewer = replace(server, modules=server.modules[:-1])
    assert home_folder(tmp_path, fewer) != home_folder(tmp_path, server)
    assert home_folder(tmp_path, replace(server, flags=())) == home_folder(tmp_path, server)
