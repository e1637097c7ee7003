from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import fuse, scores
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import embeddings

documents = st.lists(embeddings(dim=4), min_size=1, max_size=6)
queries = embeddings(dim=4, min_tokens=1)


@given(queries, embeddings(dim=4, min_tokens=1), st.randoms(use_true_random=False))
def test_the_order_of_a_documents_tokens_does_not_matter(query, document, random):
    rows = list(range(len(document)))
    random.shuffle(rows)
    shuffled = TokenEmbeddings(document.vectors[rows])
    one, other = scores.maxsim(query, scores.pack([document, shuffled]))
    assert np.isclose(one, other, rtol=1e-5, atol=1e-5)


@given(queries, documents)
def test_a_document_scores_the_same_among_others_and_alone(query, found):
    together = scores.maxsim(query, scores.pack(found))
    alone = [float(scores.maxsim(query, scores.pack([document]))[0]) for document in found]
    assert np.allclose(together, alone, rtol=1e-5, atol=1e-5)


@given(queries, embeddings(dim=4, min_tokens=1), embeddings(dim=4, min_tokens=1))
def test_more_tokens_never_lower_a_score(query, document, more):
    longer = TokenEmbeddings(np.concatenate([document.vectors, more.vectors]))
    short, long = scores.maxsim(query, scores.pack([document, longer]))
    assert long >= short - 1e-5


@given(queries, embeddings(dim=4, min_tokens=1))
def test_the_alignment_is_the_score(query, document):
    (score,) = scores.maxsim(query, scores.pack([document]))
    assert np.isclose(scores.align(query, document).similarities.sum(), score, rtol=1e-5, atol=1e-5)


finite = st.floats(-1e6, 1e6)
window = st.lists(st.tuples(finite, st.one_of(finite, st.just(-np.inf)), st.text(max_size=3)), max_size=20)


@given(window, st.floats(0.0, 1.0))
def test_a_rerank_is_a_permutation_by_falling_score_with_ties_by_id(hits, weight):
    first = np.array([hit[0] for hit in hits])
    maxsim = np.array([hit[1] for hit in hits])
    ids = [hit[2] for hit in hits]
    fused = fuse.convex(first, maxsim, weight)
    order = fuse.order(fused, ids)
    assert sorted(order) == list(range(len(hits)))
    assert all((-fused[a], ids[a]) <= (-fused[b], ids[b]) for a, b in pairwise(order))


@given(window, st.floats(0.0, 1.0))
def test_fused_scores_stay_in_the_unit_interval(hits, weight):
    fused = fuse.convex(np.array([hit[0] for hit in hits]), np.array([hit[1] for hit in hits]), weight)
    assert ((fused >= 0) & (fused <= 1 + 1e-12)).all()


@given(st.lists(finite, min_size=1, max_size=20))
def test_scaling_keeps_the_order(values):
    scaled = fuse.min_max(np.array(values))
    order = np.argsort(values, kind="stable")
    assert (np.diff(scaled[order]) >= 0).all()
