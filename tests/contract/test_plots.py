"""The pictures of the page on benchmarks show what the results say."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import plots

PAGE = plots.PICTURES.with_suffix(".md")


def words(picture: Path) -> Counter[str]:
    """The text elements of an SVG, and how often each is there."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    return Counter(html.unescape(text) for text in found)


def written(picture: plots.Picture) -> Counter[str]:
    """What has to be there, beside the numbers of the axes."""
    bars = [bar for group in picture.groups.values() for bar in group.items()]
    return Counter(
        [
            picture.title,
            picture.unit,
            *picture.groups,
            *(name for name, _ in bars),
            *(f"{value:,g}" for _, value in bars),
        ]
    )


@pytest.mark.parametrize("make", plots.PICTURED, ids=lambda make: make.__name__)
def test_a_picture_shows_the_results(make: Callable[[], plots.Picture]) -> None:
    picture = make()
    shown, wanted = words(plots.PICTURES / f"{picture.name}.svg"), written(picture)
    further = [word for word in shown - wanted if not re.fullmatch(r"[\d.]+", word)]
    assert (wanted - shown, further) == (Counter(), []), "python -m tests.benchmarks.plots draws the pictures anew"


def test_a_figure_that_changed_is_seen(tmp_path: Path) -> None:
    old, new = (
        plots.Picture("one", "title", "ms", {"group": {"PyLate": value, "ours": 1.5}}) for value in (7.25, 7.75)
    )
    plots.draw(old, tmp_path / "one.svg")
    assert not written(old) - words(tmp_path / "one.svg")
    assert written(new) - words(tmp_path / "one.svg") == Counter(["7.75"])


def test_drawing_leaves_the_settings_of_others_as_they_were(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.draw(plots.Picture("one", "title", "ms", {"group": {"ours": 1.5}}), tmp_path / "one.svg")
    assert {name: value for name, value in mpl.rcParams.items() if before[name] != value and name != "backend"} == {}


def test_the_page_shows_every_picture_and_no_other() -> None:
    shown = re.findall(r"\]\(benchmarks/([\w-]+)\.svg\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(make().name for make in plots.PICTURED)
    assert sorted(shown) == sorted(path.stem for path in plots.PICTURES.iterdir())
