"""Terms of a custom analyzer."""

from cherche_models.retrieve import BM25


def test_an_analyzer_of_ones_own() -> None:
    stems = BM25("id", "text", analyzer=lambda text: [word.rstrip("s") for word in text.lower().split()])
    found = stems.add_documents([{"id": 1, "text": "Ducks"}]).search("duck")
    assert [hit["id"] for hit in found] == [1]
