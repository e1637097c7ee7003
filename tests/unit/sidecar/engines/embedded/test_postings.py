from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.codes.terms import pack_terms
from cherche_models.lexical import FullText
from cherche_models.types import TermWeights
from sidecar.engines.embedded.postings import MAX_SEGMENTS, Mirror, top
from tests.property.strategies import term_weights

SCHEMA = "CREATE TABLE documents (row INTEGER PRIMARY KEY, index_id INT, id TEXT, terms BLOB, generation INT)"
VOCABULARY = 40

writes = st.lists(
    st.dictionaries(
        st.sampled_from([f"d{i}" for i in range(12)]),
        st.one_of(st.none(), term_weights(largest_id=VOCABULARY - 1)),
        max_size=5,
    ),
    max_size=2 * MAX_SEGMENTS,
)


class Table:
    """The documents of one index, as far as a mirror reads them."""

    def __init__(self):
        self.db = sqlite3.connect(":memory:")
        self.db.execute(SCHEMA)
        self.text = FullText(self.db, "text_1", 1)
        self.text.create()
        self.generation = 0
        self.documents = {}

    def write(self, documents):
        self.generation += 1
        for id, weights in documents.items():
            self.documents[id] = weights or TermWeights.empty()
            terms = None if weights is None else pack_terms(weights)
            changed = self.db.execute(
                "UPDATE documents SET terms = ?, generation = ? WHERE id = ?", (terms, self.generation, id)
            )
            if not changed.rowcount:
                values = (id, terms, self.generation)
                self.db.execute("INSERT INTO documents (index_id, id, terms, generation) VALUES (1, ?, ?, ?)", values)

    def catch_up(self, mirror):
        mirror.catch_up(self.text, 1, self.generation)


def columns(query):
    return query.ids.astype(np.int64), query.weights.astype(np.float64)


@given(writes, term_weights(largest_id=VOCABULARY + 5))
def test_a_mirror_scores_as_the_value_type_does_however_it_was_filled(batches, query):
    table, followed = Table(), Mirror()
    for batch in batches:
        table.write(batch)
        table.catch_up(followed)
    rebuilt = Mirror()
    table.catch_up(rebuilt)
    for mirror in (followed, rebuilt):
        expected = [query.dot(table.documents[id]) for id in mirror.ids]
        assert mirror.dot(*columns(query)).tolist() == pytest.approx(expected, rel=1e-12)
        assert mirror.frequencies(query.ids.astype(np.int64)) == [
            sum(int(id in held.ids) for held in table.documents.values()) for id in query.ids
        ]
    assert followed.ids == rebuilt.ids
    assert len(followed.segments) <= MAX_SEGMENTS


def test_only_what_changed_is_read():
    table, mirror = Table(), Mirror()
    table.write({"a": TermWeights.from_pairs([(1, 1.0)]), "b": None})
    table.catch_up(mirror)
    first = mirror.segments[0]
    table.write({"a": TermWeights.from_pairs([(2, 1.0)])})
    table.catch_up(mirror)
    assert mirror.segments[0] is first
    assert mirror.segments[1].documents.tolist() == [0]
    table.catch_up(mirror)
    assert len(mirror.segments) == 2


def test_damaged_terms_are_named_until_they_are_mended():
    table, mirror = Table(), Mirror()
    table.write({"a": TermWeights.from_pairs([(1, 1.0)]), "b": TermWeights.from_pairs([(1, 2.0)])})
    table.db.execute("UPDATE documents SET terms = x'00' WHERE id = 'a'")
    table.catch_up(mirror)
    assert mirror.damaged == {"a"}
    assert mirror.dot(np.array([1]), np.array([1.0])).tolist() == [0.0, 2.0]
    table.write({"a": TermWeights.from_pairs([(1, 3.0)])})
    table.catch_up(mirror)
    assert mirror.damaged == set()
    assert mirror.dot(np.array([1]), np.array([1.0])).tolist() == [3.0, 2.0]


scored = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.text(max_size=2)), max_size=30)


@given(scored, st.integers(0, 35), st.randoms(use_true_random=False))
def test_top_is_the_head_of_the_whole_order(documents, k, random):
    scores = np.array([score for score, _ in documents])
    ids = [f"{id}{i}" for i, (_, id) in enumerate(documents)]
    members = np.array(sorted(random.sample(range(len(ids)), len(ids) // 2)), np.int64)
    whole = sorted(members.tolist(), key=lambda i: (-scores[i], ids[i]))
    assert top(scores, members, ids, k) == whole[:k]


async def test_damaged_term_weights_are_reported_and_cost_only_their_document(filled, path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE documents SET terms = x'00', generation = generation + 1 WHERE id = 'b'")
        db.execute("UPDATE indices SET generation = generation + 1")
    page = await filled.search(weights={"sun": 1.0})
    assert [hit.id for hit in page.hits] == ["a", "c"]
    assert page.warnings == ("1 documents have damaged term weights (b): feed them again",)


def test_a_sidecar_starts_without_scipy() -> None:
    code = "import sys, sidecar.serve; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
