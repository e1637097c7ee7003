from __future__ import annotations

from cherche_models.train.corpus import pages
from tests.unit.cherche_models.train.corpus.packages import MAN


def test_passages_of_html_are_titled_by_page_and_section_and_grouped_by_page() -> None:
    text = "Eight words are enough for a whole passage."
    page = f"<h1>Ducks</h1><p>{text}</p><h2>Food</h2><p>{text}</p><h2>See also</h2><p>{text}</p><p>© Somebody</p>"
    found = list(pages.of_html([("usr/html/a/ducks.html", page)], "birds"))
    assert [document.title for document in found] == ["Ducks", "Ducks: Food"]
    assert {document.group for document in found} == {"birds a/ducks.html"}
    single = pages.of_html([("birds.html", page)], "birds", by_section=True)
    assert [document.group for document in single] == ["birds Ducks", "birds Ducks: Food"]


def test_the_first_passage_of_a_manual_page_is_introduced_by_its_name_line() -> None:
    first, second = pages.of_man([("man1/duck.1", MAN)], "man")
    assert (first.title, first.summary, first.group) == ("duck", "make a noise", "man duck.1")
    assert (second.title, second.summary) == ("duck: Options in detail", "")
