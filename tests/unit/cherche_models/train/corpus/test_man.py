from __future__ import annotations

from cherche_models.train.corpus import man
from tests.unit.cherche_models.train.corpus.packages import MAN, MDOC


def test_an_escaped_space_joins_an_argument() -> None:
    found = man.page(".SH RETURN VALUE\nOr\n.I (size_t)\\ \\-1\nis returned.\n")
    assert found.sections[0].paragraphs == ["Or (size_t) -1 is returned."]


def test_a_manual_page_in_either_markup() -> None:
    found = man.page(MAN)
    assert (found.name, found.description) == ("duck", "make a noise")
    assert found.sections[1].paragraphs == ["The bird makes a noise that everybody can hear."]
    assert found.sections[2].paragraphs == ["-q Be quiet(1) for as long as you can be quiet."]
    found = man.page(MDOC)
    assert (found.name, found.description) == ("duck", "make a noise")
    assert found.sections[0].paragraphs == ["The duck utility makes noise unless -q is given see goose 1."]
