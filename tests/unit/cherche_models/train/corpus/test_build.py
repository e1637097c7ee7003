from __future__ import annotations

from dataclasses import replace

from cherche_models.train.corpus.base import HELD_OUT_EVERY, Document, Source
from cherche_models.train.corpus.build import Gatherer, screen
from cherche_models.train.corpus.exclusions import Exclusions

BIRDS = Source("birds", "birds", "CC0-1.0", (), lambda _: iter(()), long="long-manuals", every=1)


def test_duplicates_and_what_is_no_prose_are_counted() -> None:
    text = "The duck swims on the pond, and it is seen by many."
    gatherer = Gatherer()
    documents = [
        Document("a", text),
        Document("b", text.upper()),
        Document("c", "Short."),
        Document("d", "01 02 03 04 05 06 07 08 09 10"),
        Document("secret.name", "The duck is not on the pond, and it is seen by nobody."),
    ]
    gatherer.add(BIRDS, screen(documents, Exclusions(["secret.name"])))
    found = gatherer.result
    assert len(found.fields["birds"].training) + len(found.fields["birds"].held_out) == 1
    assert found.dropped["birds"] == {"duplicate": 1, "short or long": 1, "no prose": 1, "excluded name": 1}


def test_a_held_out_chapter_is_whole_but_for_what_is_excluded() -> None:
    parts = [
        Document("Birds: one", "Short.", group="birds"),
        Document("secret.name", "The duck is not on the pond.", group="birds"),
        Document("Birds: two", "The duck is on the pond, and it is seen by many.", group="birds"),
    ]
    gatherer = Gatherer()
    gatherer.add(BIRDS, screen(parts, Exclusions(["secret.name"])))
    assert gatherer.result.long["long-manuals"] == {"birds": [parts[0], parts[2]]}
    assert gatherer.result.fields["birds"].held_out == [("birds", parts[2])]


def test_a_held_out_document_that_ends_like_a_training_document_is_left_out() -> None:
    ending = "and that is how all the ducks and all the geese of the village came to live on the very same pond."
    documents = [Document("", f"Story number {number} is told by the baker, {ending}") for number in range(40)]
    held_out = sum(document.held_out() for document in documents)
    gatherer = Gatherer()
    gatherer.add(replace(BIRDS, long="", every=HELD_OUT_EVERY), screen(documents, Exclusions()))
    found = gatherer.finish()
    assert held_out > 0
    assert found.fields["birds"].held_out == []
    assert found.dropped["birds"]["held out, but like a training document"] == held_out
