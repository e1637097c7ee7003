from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cluster import parts, places
from sidecar.errors import ChercheError, Code

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


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
