from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.cli import VERBS, output
from sidecar.cli.output import Output, program, runnable, table

COLOR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
SCRIPT = """
from sidecar.cli.output import Output, table
table(("name", "score"), [("a", "1.5"), ("[b]", "20.5"), ("i" * 300, "1")], "title")
Output().note("a message")
progress = Output().progress()
progress("half way")
progress.close()
"""


HITS = """
from sidecar.cli.output import hits_table
columns = ("rank", "score", "lexical", "sparse", "maxsim", "was", "id")
numbers = ("0.9812", "12.2831", "4.4952", "5.761", "3")
text = "Sleep and memory Slow-wave sleep strengthens what was learned during…"
ids = ("https://example.org/a/very/long/path/of/segments/which/goes/on/document-000123.html", "42")
hits_table(columns, [(rank, *numbers, id) for rank, id in enumerate(ids, 1)], [text, ""])
"""


def on_a_terminal(script: str = SCRIPT, **variables: str) -> str:
    """What a script writes where both streams are a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **variables}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert process.wait() == 0
    return written.decode()


def test_a_terminal_gets_a_drawn_table_and_progress() -> None:
    written = on_a_terminal()
    assert "─" in written
    assert "half way" in written
    assert COLOR.search(written)
    assert "[b]" in written  # no markup of rich's


def test_no_color_is_obeyed() -> None:
    written = on_a_terminal(NO_COLOR="1")
    assert "─" in written
    assert not COLOR.search(written)


def test_elsewhere_columns_are_aligned_and_progress_is_silent() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == f"title\nname  score\na     1.5\n[b]   20.5\n{'i' * 300}  1\n"
    assert done.stderr == "a message\n"


def test_json_is_one_value_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).data({"text": "é"}, lambda: table(("a",), []))
    assert json.loads(capsys.readouterr().out) == {"text": "é"}


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Output(quiet=True).note("a message")
    assert capsys.readouterr() == ("", "")


def test_a_long_id_takes_two_lines_of_a_terminal_at_most() -> None:
    drawn = [line for line in on_a_terminal().splitlines() if "iii" in line]
    assert 1 <= len(drawn) <= 2
    assert "…" in "".join(drawn)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_hit_has_its_text_below_it_and_a_long_id_breaks_no_row(width: int) -> None:
    written = on_a_terminal(HITS, COLUMNS=str(width), NO_COLOR="1")
    header, first, text, second = re.sub(r"\x1b\[[0-9;]*m", "", written).replace("\r", "").splitlines()
    assert header.split() == ["rank", "score", "lexical", "sparse", "maxsim", "was", "id"]
    assert header.index("sparse") + len("sparse") == first.index("4.4952") + len("4.4952")
    assert max(map(len, (header, first, text, second))) <= width
    assert ("…" in first) is (width < 200)
    assert first.startswith("   1  0.9812")
    assert first.endswith(".html")
    assert text.startswith("      Sleep and memory Slow-wave")
    assert second.split()[-1] == "42"


def test_a_line_of_progress_is_no_wider_than_the_terminal() -> None:
    script = """
from sidecar.cli.output import Output
progress = Output().progress()
progress("x" * 200)
"""
    assert on_a_terminal(script).count("x") == 79


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command of an environment in this folder that is not activated."""
    own = tmp_path / ".venv" / "bin" / "cherche"
    own.parent.mkdir(parents=True)
    own.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(own)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    return own


def test_commands_of_a_message_can_be_pasted(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "index 'a' is not set up for cherche — run: cherche setup a, then cherche print-connector"
    assert runnable(said) == (
        "index 'a' is not set up for cherche — run: .venv/bin/cherche setup a, then .venv/bin/cherche print-connector"
    )
    assert runnable(runnable(said)) == runnable(said), "a command that has its path keeps it"
    monkeypatch.setenv("PATH", str(own.parent))
    assert runnable(said) == said


def test_an_environment_that_is_not_activated_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program() == ".venv/bin/cherche"
    monkeypatch.setenv("PATH", str(own.parent))
    assert program() == "cherche"


def test_commands_are_those_that_there_are() -> None:
    assert sorted(VERBS) == output._VERBS
