"""The reference of the command is what the program says."""

from __future__ import annotations

from sidecar.cli import reference


def test_the_reference_is_fresh() -> None:
    assert reference.FILE.read_text(encoding="utf-8") == reference.render(), "run: python -m sidecar.cli.reference"
