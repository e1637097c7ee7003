"""``cherche.json``: damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models.errors import CheckpointError
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"sparse_boost": "much"}', "sparse_boost is 'much'"),
        ('{"document": {"lenght": 3}}', "unknown settings lenght"),
        ('{"sparse_bost": 2}', "unknown settings sparse_bost"),
        ("[]", "no JSON object"),
        ("{", "not JSON"),
    ],
)
def test_damaged_settings(text: str, reason: str, tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "cherche.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)
