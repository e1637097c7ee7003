from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from sidecar.cluster import node, parts
from sidecar.cluster.node import NodeSpec

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


def spec(number: int, folder: Path = Path("/x")) -> NodeSpec:
    return NodeSpec(number, folder / f"node-{number}", 9000 + number, 9100 + number)


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


def test_a_process_that_replaces_its_program_is_not_taken_for_ended(tmp_path: Path) -> None:
    """For a moment it has no command line; a zombie never has one again."""
    (tmp_path / "cmdline").touch()
    (tmp_path / "stat").write_text("7 (a name) ) Z 1 7 7 0")
    assert node._command_line(tmp_path) == b""
    (tmp_path / "stat").write_text("7 (java) R 1 7 7 0")
    replaced = threading.Timer(0.05, (tmp_path / "cmdline").write_bytes, [b"java"])
    replaced.start()
    assert node._command_line(tmp_path) == b"java"
    replaced.join()


def test_free_ports_differ() -> None:
    ports = node.free_ports(6)
    assert len(set(ports)) == 6
    assert max(ports) < 32_768, "from there on Linux gives ports to outgoing connections"
