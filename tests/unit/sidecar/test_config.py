from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from sidecar import config
from sidecar.config import Settings
from sidecar.errors import ChercheError, Code


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failure(**flags: object) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        config.load(flags)
    assert caught.value.code is Code.INVALID_ARGUMENT
    return caught.value


def test_flags_beat_variables_beat_file_beats_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("cherche.toml").write_text('port = 1\nhost = "::1"\nlog_level = "error"\n[limits]\nitems = 7\nwindow = 9\n')
    monkeypatch.setenv("CHERCHE_PORT", "2")
    monkeypatch.setenv("CHERCHE_LIMITS__ITEMS", "8")
    settings = config.load({"port": 3, "host": None})
    assert (settings.port, settings.host, settings.log_level) == (3, "::1", "error")
    assert (settings.limits.items, settings.limits.window) == (8, 9)
    assert settings.limits.document_bytes == 1 << 20
    assert config.load().port == 2


def test_models_of_a_better_source_replace_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("cherche.toml").write_text('[models]\na = "x"\nb = "y"\n')
    assert config.load().default_model == "a"
    monkeypatch.setenv("CHERCHE_MODELS__C", "z")
    settings = config.load()
    assert settings.served_models == {"c": "z"}
    assert config.load({"models": {"d": "w"}}).served_models == {"d": "w"}


def test_models_as_one_json_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_MODELS", '{"a-b": "x"}')
    assert config.load().served_models == {"a-b": "x"}
    monkeypatch.setenv("CHERCHE_MODELS", "{")
    assert "as JSON" in failure().next_step


def test_the_shipped_model_is_served_where_none_is_named() -> None:
    settings = config.load()
    assert settings.default_model == "cherche-small"
    assert settings.served_models["cherche-small"].endswith("cherche_models/pretrained/cherche-small")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("CHERCHE_PROT", "CHERCHE_PORT"), ("CHERCHE_LIMITS__DOCUMENT_BYTE", "CHERCHE_LIMITS__DOCUMENT_BYTES")],
)
def test_unknown_variables_are_refused(name: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    error = failure()
    assert name in error.reason
    assert nearest in error.next_step


@pytest.mark.parametrize("name", sorted(config.FOR_TESTS))
def test_variables_of_the_tests_are_tolerated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "anything")
    config.load()


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("prot = 1", "prot", "port"),
        ("[limits]\nitem = 1", "limits.item", "limits.items"),
        ("[tsl]\nca = 'x'", "tsl", "t"),
    ],
)
def test_unknown_keys_of_the_file_are_refused(text: str, key: str, nearest: str) -> None:
    Path("cherche.toml").write_text(text)
    error = failure()
    assert f"key {key} in cherche.toml" in error.reason
    assert nearest in error.next_step


def test_unknown_flags_are_refused() -> None:
    assert "nearest known one is port" in failure(prot=1).next_step


def test_values_of_the_wrong_kind_name_key_and_variable() -> None:
    error = failure(limits={"items": "many"})
    assert error.reason.startswith("setting limits.items: ")
    assert "CHERCHE_LIMITS__ITEMS" in error.next_step


def test_the_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_CONFIG", "other.toml")
    assert "other.toml is not there" in failure().reason
    Path("other.toml").write_text("port = 5")
    assert config.load().port == 5


def test_a_file_that_is_no_toml_is_refused() -> None:
    Path("cherche.toml").write_text("port =")
    assert "is not TOML" in failure().reason


def test_secrets_come_from_variables_and_files_never_from_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CHERCHE_TOKEN or token_file" in failure(token="abc").next_step
    Path("secret").write_text("from a file\n")
    assert config.load({"token_file": "secret"}).secret("token") == "from a file"
    monkeypatch.setenv("CHERCHE_TOKEN", "from a variable")
    settings = config.load()
    assert settings.secret("token") == "from a variable"
    assert "from a variable" not in repr(settings)
    assert "from a variable" not in str(config.shown(settings))
    assert settings.secret("authorization") == ""


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read"), ("", "is empty"), (b"\xff", "is not text")])
def test_secret_files_must_hold_one(content: str | bytes | None, reason: str) -> None:
    path = Path("secret")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    settings = config.load({"token_file": "secret"})
    with pytest.raises(ChercheError, match=reason):
        settings.secret("token")


def test_short_page_token_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_PAGE_TOKEN_KEY", "short")
    error = failure()
    assert "16 bytes" in error.reason
    assert "short" not in str(error)


@pytest.mark.parametrize(
    ("host", "allow", "expected"),
    [("127.0.0.1", None, True), ("0.0.0.0", None, False), ("0.0.0.0", True, True), ("::1", False, False)],
)
def test_loading_is_for_loopback_unless_told(host: str, allow: bool | None, expected: bool) -> None:
    assert config.load({"host": host, "allow_load": allow}).may_load is expected


def test_every_setting_says_what_it_is_for() -> None:
    assert [key for key, meaning in dict(config.keys()).items() if not meaning] == []


def test_a_value_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_PORT", "2")
    assert config.Settings().port == 50551


def test_reading_settings_imports_nothing_heavy() -> None:
    code = (
        "import sys, sidecar.config as c; c.load(); print([m for m in ('torch', 'grpc', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_credentials_within_addresses_are_not_shown() -> None:
    settings = Settings(
        url="https://ada:hunter2@cluster:9200",
        server="ada:hunter2@sidecar:50551",
        models={"a": "https://ada:hunter2@hub/a"},
        token=SecretStr("hunter2"),
    )
    assert "hunter2" not in str(config.shown(settings))
    assert config.shown(settings)["url"] == "https://***@cluster:9200"


def test_aliases_are_names_of_the_users_and_none_is_a_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_ALIASES", '{"rerank-v3.5": "cherche-small"}')
    assert config.load().aliases == {"rerank-v3.5": "cherche-small"}
    monkeypatch.setenv("CHERCHE_ALIASES", '{"cherche-small": "other"}')
    with pytest.raises(ChercheError, match="alias 'cherche-small' is the name of a served model"):
        config.load()
