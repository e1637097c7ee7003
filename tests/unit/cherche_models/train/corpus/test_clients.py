from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cherche_models.train.corpus.base import Package
from cherche_models.train.corpus.clients import Fetcher, FetchError


class Client:
    """Notes the commands that are run, and leaves files."""

    def __init__(self, *files: str, output: str = "") -> None:
        self.commands: list[list[str]] = []
        self._files, self._output = files, output

    def __call__(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
        self.commands.append([*command, *(f"{name}={value}" for name, value in variables.items())])
        for name in self._files:
            (folder / name).write_text(f"{name}\n")
        return self._output


def test_pip_npm_and_maven_fetch_once(tmp_path: Path) -> None:
    pip, npm = Client("some_name-1.2-py3-none-any.whl"), Client("types-node-3.0.tgz")
    mvn = Client("lang3-3.1-sources.jar")
    for _ in range(2):
        assert Fetcher(tmp_path, pip).fetch(Package("pip", "some-name", "1.2")).version == "1.2"
        assert Fetcher(tmp_path, npm).fetch(Package("npm", "@types/node", "3.0")).path.name == "types-node-3.0.tgz"
        assert Fetcher(tmp_path, mvn).fetch(Package("mvn", "org.a:lang3", "3.1")).path.name == "lang3-3.1-sources.jar"
    folder = f"{tmp_path}/pip"
    assert pip.commands == [
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "some-name==1.2"]
    ]
    assert npm.commands == [["npm", "pack", "--silent", "--pack-destination", f"{tmp_path}/npm", "@types/node@3.0"]]
    assert mvn.commands[0][-2:] == ["-Dartifact=org.a:lang3:3.1:jar:sources", f"-DoutputDirectory={tmp_path}/mvn"]
    assert len(mvn.commands) == 1


def test_go_says_where_its_archive_is(tmp_path: Path) -> None:
    client = Client(output=json.dumps({"Zip": "/there/v1.zip"}))
    assert Fetcher(tmp_path, client).fetch(Package("go", "a.org/b", "v1")).path == Path("/there/v1.zip")
    assert client.commands[0][:5] == ["go", "mod", "download", "-json", "a.org/b@v1"]
    assert f"GOMODCACHE={tmp_path}/go" in client.commands[0]


def test_debian_has_lists_of_its_own_and_the_version_that_there_is(tmp_path: Path) -> None:
    client = Client("main_i18n_Translation-en", "a_InRelease", "git-doc_1%3a2.39_all.deb")
    archive = Fetcher(tmp_path, client).fetch(Package("apt", "git-doc"))
    assert archive.version == "1:2.39"
    assert [command[-1] for command in client.commands] == ["update", "git-doc"]
    assert f"Dir::State::lists={tmp_path}/apt-index" in client.commands[0]


def test_the_lists_of_all_suites_are_one_file(tmp_path: Path) -> None:
    client = Client("b_Translation-en", "a_Translation-en")
    archive = Fetcher(tmp_path, client).fetch(Package("apt-index", "Translation-en"))
    assert archive.path.read_text() == "a_Translation-en\n\nb_Translation-en\n"


def test_the_version_of_lists_is_that_of_their_suites(tmp_path: Path) -> None:
    client = Client("a_Translation-en")
    (tmp_path / "apt-index").mkdir()
    (tmp_path / "apt-index" / "x_InRelease").write_text("Suite: stable\nVersion: 12.1\nCodename: bookworm\n")
    assert Fetcher(tmp_path, client).fetch(Package("apt-index", "Translation-en")).version == "12.1 bookworm"


def test_a_client_that_is_missing_fails_or_leaves_nothing_is_named(tmp_path: Path) -> None:
    def missing(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
        raise FileNotFoundError(2, "No such file or directory", "npm")

    def failing(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
        raise subprocess.CalledProcessError(1, list(command), stderr="npm notice\nnpm error 404 no such package\n")

    package = Package("npm", "duck", "1")
    for client, reason in (
        (missing, "No such file"),
        (failing, "npm failed: npm error 404 no such package"),
        (Client(), "npm left no file that matches duck-1.tgz"),
    ):
        with pytest.raises(FetchError, match=f"npm package duck: .*{reason}"):
            Fetcher(tmp_path, client).fetch(package)


def test_a_folder_is_given_by_an_option(tmp_path: Path) -> None:
    package = Package("folder", "scifact")
    assert Fetcher(tmp_path, Client(), {"scifact": tmp_path}).fetch(package).path == tmp_path
    with pytest.raises(FetchError, match="give --scifact FOLDER, or --without scifact"):
        Fetcher(tmp_path, Client()).fetch(package)
