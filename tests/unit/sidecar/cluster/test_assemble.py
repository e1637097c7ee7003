from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.cluster import parts
from sidecar.cluster.assemble import _lay_out, home_folder, with_plugins
from sidecar.errors import ChercheError, Code

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


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


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_of_other_parts_is_assembled_anew(server: parts.Server, tmp_path: Path) -> None:
    fewer = replace(server, modules=server.modules[:-1])
    assert home_folder(tmp_path, fewer) != home_folder(tmp_path, server)
    assert home_folder(tmp_path, replace(server, flags=())) == home_folder(tmp_path, server)
