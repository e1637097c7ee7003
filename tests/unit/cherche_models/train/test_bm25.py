import pytest

from cherche_models.train import BM25

DOCUMENTS = {"ducks": ["Ducks", "they swim"], "geese": ["Geese", "they fly"], "cow": ["Cow", "swims? no."]}


def test_stems_and_orders_by_score():
    found = BM25(DOCUMENTS).search("Swimming duck!", 10)
    assert [key for key, _ in found] == ["ducks", "cow"]
    assert found[0][1] > found[1][1] > 0


def test_what_is_no_word_finds_nothing_and_breaks_nothing():
    index = BM25(DOCUMENTS)
    assert index.search("", 5) == index.search('"*^ -()', 5) == []
    assert index.search("what's AND NEAR(", 5) == []


def test_ties_keep_the_order_of_the_documents_and_k_cuts():
    index = BM25({str(i): ["same text"] for i in range(5)} | {"other": ["else"]})
    assert [key for key, _ in index.search("text", 3)] == ["0", "1", "2"]


def test_fields_must_agree():
    with pytest.raises(ValueError, match=r"\[1, 2\] fields"):
        BM25({"a": ["x"], "b": ["x", "y"]})


def test_no_documents():
    assert BM25({}).search("anything", 3) == []
