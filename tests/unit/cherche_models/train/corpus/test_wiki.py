from __future__ import annotations

import bz2
import html
from pathlib import Path

from cherche_models.train.corpus import wiki

MARKUP = """'''Ducks''' are [[bird|birds]].<ref>Who?</ref>
* A list
== Food ==
{{Main|Food}}They eat [[fish]].
== References ==
Books about ducks."""
PAGES = (
    f"<page><title>Duck</title><revision><text>{html.escape(MARKUP)}</text></revision></page>"
    "<page><title>Drake</title><revision><text>#REDIRECT [[Duck]]</text></revision></page>"
    "<page><title>Talk:Duck</title><revision><text>Quack</text></revision></page>"
)
DUMP = bz2.compress(f"<mediawiki xmlns='urn:dump'>{PAGES}</mediawiki>".encode())


def test_articles_without_redirects_and_other_spaces(tmp_path: Path) -> None:
    (tmp_path / "dump.bz2").write_bytes(DUMP)
    ((title, markup),) = wiki.articles(tmp_path / "dump.bz2")
    assert (title, markup) == ("Duck", MARKUP)


def test_paragraphs_without_lists_and_appendices() -> None:
    found = [(section, " ".join(text.split())) for section, text in wiki.paragraphs(wiki.plain(MARKUP))]
    assert found == [("", "Ducks are birds."), ("Food", "They eat fish.")]
