from __future__ import annotations

from dataclasses import replace

from cherche_models.train.corpus.base import HELD_OUT_EVERY, Document


def test_a_group_is_held_out_as_a_whole() -> None:
    for number in range(20):
        parts = {Document(f"t{part}", f"Text {part}.", group=f"chapter {number}").held_out() for part in range(5)}
        assert len(parts) == 1


def test_about_one_in_so_many_is_held_out_whatever_its_title_says() -> None:
    documents = [Document("", f"Text number {number}, and more of it.") for number in range(4000)]
    assert all(one.held_out() == replace(one, title="Another").held_out() for one in documents)
    assert 0.8 < sum(one.held_out() for one in documents) * HELD_OUT_EVERY / 4000 < 1.2


def test_the_choice_stays_what_it_was() -> None:
    # A model that was trained on an earlier mixture has not seen the held-out sets of a later one.
    held_out = [number for number in range(40) if Document("", "", group=f"chapter {number}").held_out()]
    assert held_out == [1, 14, 28, 29, 32]
