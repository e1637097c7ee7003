"""Term weights of texts."""

from __future__ import annotations

import json

from tests.unit.sidecar.cli.conftest import Command


def test_encode_takes_words_files_and_stdin(command: Command) -> None:
    path = command.write("texts.txt", [b"ducks swim", b"", b"snow falls"])
    encoded = command.json("encode", "aspirin helps", path, "-", stdin=b"from stdin\n")
    assert [item["text"] for item in encoded] == ["aspirin helps", "ducks swim", "snow falls", "from stdin"]
    assert all(len(item["terms"]) == 2 for item in encoded)
    assert "weight" in command("encode", "--query", "aspirin").stdout


def test_encode_names_the_text_that_failed_and_prints_the_others(command: Command) -> None:
    result = command("encode", "good words", "poison here", "--json", code=1)
    good, bad = json.loads(result.stdout)
    assert good["terms"]
    assert bad["error"]["code"] == "INTERNAL"
