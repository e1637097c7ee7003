from collections import Counter

import pytest

from cherche_models.evaluate import Collection
from cherche_models.train import BM25, Example, data

DOCUMENT = {
    "_id": "1",
    "title": "On ducks",
    "text": "Ducks swim on most lakes today. Some of them fly south each winter. Few of them are ever seen to walk.",
}


def test_written_examples_come_back(tmp_path):
    examples = [Example("q", "p", ("n", "m"), ("a",), "s"), Example("é", "ü")]
    path = tmp_path / "examples.jsonl"
    data.write(path, examples)
    assert list(data.read(path)) == examples


def test_every_relevant_document_is_a_positive_and_the_others_are_answers():
    collection = Collection(
        {d: {"_id": d, "text": d} for d in "abc"},
        {"q": "query", "r": "held out"},
        {"q": {"a": 1, "b": 2, "c": 0}, "r": {"a": 1}},
    )
    examples = list(data.judged(collection, ["q"]))
    assert [(e.positive, e.answers) for e in examples] == [("a", ("b",)), ("b", ("a",))]


def test_a_sentence_asks_for_the_rest():
    (example,) = data.sentence_pairs([DOCUMENT], per_document=1, seed=3)
    assert example.query in DOCUMENT["text"]
    assert example.query not in example.positive
    assert example.positive.startswith("On ducks ")
    assert example.answers == ("On ducks " + DOCUMENT["text"],)
    assert [example] == list(data.sentence_pairs([DOCUMENT], per_document=1, seed=3))


def test_a_title_asks_for_its_text():
    (example,) = data.title_pairs([DOCUMENT, {"_id": "2", "text": "no title"}])
    assert (example.query, example.positive) == ("On ducks", DOCUMENT["text"])


def test_docstrings_are_read_without_importing(tmp_path):
    (tmp_path / "pond.py").write_text(
        '"""Life at the pond.\n\nMostly ducks."""\nraise SystemExit\n'
        'class Duck:\n    """Only a summary."""\n'
        '    def swim(self):\n        """Swim around the pond once.\n\n        Slowly,\n        that is."""\n'
    )
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "more.py").write_text('"""Left out.\n\nQuite."""')
    documents = list(data.docstrings(tmp_path))
    assert [(d["_id"], d["text"]) for d in documents] == [
        ("pond", "Mostly ducks."),
        ("pond.Duck.swim", "Slowly, that is."),
    ]
    pairs = [(e.query, e.positive) for e in data.docstring_pairs(documents)]
    assert pairs == [
        ("Life at the pond.", "pond Mostly ducks."),
        ("Swim around the pond once.", "pond.Duck.swim Slowly, that is."),
    ]


def test_mined_negatives_are_no_known_answers():
    texts = {"a": "ducks swim", "b": "ducks walk", "c": "ducks fly", "d": "a cow"}
    index = BM25({key: [text] for key, text in texts.items()})
    (example,) = data.mine([Example("ducks", "ducks swim", answers=("ducks fly",))], index, texts)
    assert example.negatives == ("ducks walk",)


EXAMPLES = [Example(f"{s}{i}", "p", source=s) for s, size in (("big", 10), ("small", 3)) for i in range(size)]


def test_batches_are_divided_by_shares_and_each_pass_shows_everything_once():
    batches = data.mixed(EXAMPLES, {"big": 3, "small": 1}, batch=4, seed=0)
    assert [e.source for e in batches(0)] == ["big", "big", "big", "small"]
    small = [e.query for step in range(6) for e in batches(step) if e.source == "small"]
    assert Counter(small[:3]) == Counter(small[3:]) == Counter(["small0", "small1", "small2"])


def test_a_batch_depends_on_its_number_alone():
    once, again = (data.mixed(EXAMPLES, {"big": 1, "small": 1}, batch=3, seed=1) for _ in range(2))
    expected = [once(step) for step in range(9)]
    assert [again(step) for step in reversed(range(9))] == expected[::-1]
    assert sum(len(batch) for batch in expected) == 27


def test_a_source_without_examples_is_an_error():
    with pytest.raises(ValueError, match=r"\['none'\]; there are \['big', 'small'\]"):
        data.mixed(EXAMPLES, {"none": 1}, batch=2, seed=0)
