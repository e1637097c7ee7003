from __future__ import annotations

from cherche_models.train.corpus import obo


def test_terms_without_definition_or_out_of_use_are_left_out() -> None:
    text = (
        '[Term]\nid: A:1\nname: duck\n\n[Term]\nid: A:2\nname: dodo\ndef: "A bird." []\nis_obsolete: true\n\n'
        '[Term]\nid: A:3\nname: water\ndef: "A liquid." []\nsynonym: "H2O" EXACT []\nsynonym: "aqua" EXACT []\n'
    )
    (only,) = obo.terms(text)
    assert (only.title, only.names) == ("water", ("water", "aqua"))
