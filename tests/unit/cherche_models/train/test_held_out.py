"""Held-out queries share no document with the training queries."""

from cherche_models.train.held_out import held_out


def test_held_out_queries_share_no_document_with_the_rest():
    qrels = {f"q{i}": {f"d{i // 2}": 1} for i in range(40)}
    aside = held_out(qrels, 10, seed=0)
    assert len(aside) == 10
    taken = {document for query in aside for document in qrels[query]}
    assert taken.isdisjoint(document for query in qrels if query not in aside for document in qrels[query])
    assert aside == held_out(qrels, 10, seed=0) != held_out(qrels, 10, seed=1)


def test_one_large_group_is_never_held_out():
    qrels = {f"q{i}": {"shared": 1} for i in range(30)} | {f"r{i}": {f"d{i}": 1} for i in range(30)}
    assert all(query.startswith("r") for query in held_out(qrels, 20, seed=0))
