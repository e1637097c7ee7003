"""Failures on the command line: message, JSON and exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche
from sidecar.cli.failures import FAILURE, UNAVAILABLE, Failure, resumable, translated
from sidecar.cli.session import Session
from sidecar.errors import ChercheError, Code, not_found
from sidecar.values.maintenance import Removal

LATER = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize("code", list(Code))
def test_only_what_may_succeed_later_exits_with_3(code: Code) -> None:
    with pytest.raises(Failure) as failed, translated(as_json=False):
        raise ChercheError(code, "reason")
    assert failed.value.exit_code == (UNAVAILABLE if code in LATER else FAILURE)


def test_a_failure_is_one_line_or_one_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = not_found("index 'a' is missing", "run: cherche setup a")
    Failure(error, as_json=False).show()
    assert capsys.readouterr() == ("", "Error: index 'a' is missing — run: cherche setup a\n")
    Failure(error, as_json=True).show()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert json.loads(printed.err) == {
        "error": {"code": "NOT_FOUND", "reason": "index 'a' is missing", "next_step": "run: cherche setup a"}
    }


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), translated(as_json=True):
        raise ZeroDivisionError
    with pytest.raises(ModuleNotFoundError), translated(as_json=True):
        raise ModuleNotFoundError("No module named 'sidecar.gone'", name="sidecar.gone")


def test_a_package_that_is_not_installed_is_named_with_both_ways_out() -> None:
    with pytest.raises(Failure) as failed, translated(as_json=False):
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert failed.value.exit_code == FAILURE
    assert failed.value.error.code is Code.FAILED_PRECONDITION
    assert "'torch'" in failed.value.error.reason
    assert "--server" in failed.value.error.next_step
    assert "pip install cherche-sidecar" in failed.value.error.next_step


def test_ctrl_c_says_what_is_done_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, resumable(lambda: "3 documents are stored"):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert "3 documents are stored; the same command goes on from there: cherche" in said


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        (["feed", "si", "my corpus.jsonl"], "the same command goes on from there: cherche feed si 'my corpus.jsonl'"),
        (["feed", "si", "-"], "the same command on the same lines goes on from there: cherche feed si -"),
        (["feed", "a", "b", "--url", "https://ada:p'w@h:9200"], "cherche feed a b --url 'https://***@h:9200'"),
        (["feed", "a", "b", "--url=ada:pw@h:9200"], "cherche feed a b '--url=***@h:9200'"),
        (["feed", "a", "https://ada:pw@h/b"], "cherche feed a 'https://***@h/b'"),
    ],
)
def test_the_command_that_goes_on_can_be_pasted_and_shows_no_password(
    given: list[str], printed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["cherche", *given])
    with pytest.raises(SystemExit), resumable(lambda: "done"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith(f"{printed}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("feed articles corpus.jsonl", "0 documents are stored"),
        ("backfill articles", "0 documents were encoded"),
        ("backfill articles --shadow", "0 documents were encoded by this step"),
        ("upgrade articles --model m", "0 documents were encoded by this step"),
        ("upgrade articles --rollback", "0 documents were encoded by this step"),
        ("remove articles --yes", "what was taken out so far stays out"),
    ],
)
def test_whatever_writes_for_long_says_how_to_go_on(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.jsonl").touch()
    planned = iter([Removal(3)] if line.startswith("remove") else [])

    def stopped(*_: object, **__: object) -> Removal:
        for plan in planned:
            return plan
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "run", stopped)
    result = CliRunner().invoke(cherche, line.split())
    assert result.exit_code == 130
    assert f"interrupted: {said}" in result.stderr
