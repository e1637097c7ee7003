"""How documents are cut, as JSON and by default."""

from __future__ import annotations

import pytest

from cherche_models.chunks import MAX, RMS
from sidecar.values.chunks import Chunks


@pytest.mark.parametrize("cut", [Chunks(), Chunks(16, 16), Chunks(3, 8, MAX)])
def test_a_cut_survives_json(cut: Chunks) -> None:
    assert Chunks.from_json(cut.to_json()) == cut


def test_earlier_releases_took_the_maximum_and_did_not_say_so() -> None:
    assert Chunks.from_json({"most": 3, "overlap": 8}).pooling == MAX
    assert Chunks.from_json({}) == Chunks(1, 0, RMS)


def test_short_windows_share_less() -> None:
    assert (Chunks.default(512).overlap, Chunks.default(16).overlap) == (16, 4)
