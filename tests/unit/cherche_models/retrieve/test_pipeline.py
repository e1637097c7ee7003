from __future__ import annotations

import pytest

from cherche_models import rank, retrieve, scores
from cherche_models.models import Joint
from cherche_models.retrieve import BM25
from tests.unit.cherche_models.retrieve.documents import NEURAL

DOCUMENTS = [
    {"id": 1, "title": "duck duck", "text": "pond"},
    {"id": 2, "title": "duck", "text": "a duck swims"},
    {"id": 3, "title": "cow", "text": "duck"},
]


def on(field: str, key: str = "id") -> BM25:
    return BM25(key, field, analyzer="word")


def test_union_is_reciprocal_rank_fusion() -> None:
    titles, texts = on("title").add_documents(DOCUMENTS), on("text").add_documents(DOCUMENTS)
    first, second = ([hit["id"] for hit in index.search("duck")] for index in (titles, texts))
    assert (first, second) == ([1, 2], [3, 2])
    found = (titles | texts).search("duck")
    assert [(hit["id"], hit["similarity"]) for hit in found] == [(2, 2 / 62), (1, 1 / 61), (3, 1 / 61)]


def test_intersection_keeps_what_every_member_finds() -> None:
    search = on("title") & on("text")
    search.add_documents(DOCUMENTS)
    assert [hit["id"] for hit in search.search("duck")] == [2]
    assert search.search(["duck", "zzz"], k=1) == [search.search("duck"), []]


def test_members_of_a_kind_are_fused_at_once() -> None:
    one, two, three = on("title"), on("text"), on("title")
    assert ((one | two) | three).members == [one, two, three]
    assert ((one & two) | three).members[1] is three
    assert repr(one | two).count("BM25") == 2


def test_an_index_that_stands_twice_is_filled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    index = on("text")
    calls = []
    monkeypatch.setattr(index, "add", lambda embeddings: calls.append(embeddings) or index)
    (index | index).add_documents(DOCUMENTS)
    assert len(calls) == 1


def test_fields_of_the_documents_come_back() -> None:
    index = on("text")
    search = index + DOCUMENTS
    search.add_documents(DOCUMENTS)
    (alone,) = index.search("swims")
    assert search.search("swims") == [{**DOCUMENTS[1], **alone}]
    with pytest.raises(KeyError, match="is not among the documents"):
        (on("text").add_documents(DOCUMENTS) + DOCUMENTS[:1]).search("swims")


def test_k_and_filters_reach_every_stage() -> None:
    search = on("title") | on("text")
    search.add_documents(DOCUMENTS)
    assert [hit["id"] for hit in search.search("duck", k=1)] == [2]
    assert [hit["id"] for hit in search.search("duck", filters=[1])] == [1]
    with pytest.raises(ValueError, match="k 0"):
        search.search("duck", k=0)


def test_keys_must_agree() -> None:
    with pytest.raises(ValueError, match="use the same key"):
        on("text") | on("text", "number")


def test_a_pipeline_of_everything(joint: Joint) -> None:
    words = BM25("id", "text", analyzer="word")
    splade = retrieve.Splade("id", "text", joint)
    search = (words | splade) + rank.ColBERT("id", "text", joint) + NEURAL
    search.add_documents(NEURAL)
    (hit,) = search.search("heart cell", k=1)
    assert hit["text"] == next(d["text"] for d in NEURAL if d["id"] == hit["id"])
    first, second = words.search("heart cell"), splade.search("heart cell")
    ids = {hit["id"] for hit in first} | {hit["id"] for hit in second}
    assert {hit["id"] for hit in search.search("heart cell")} == ids
    ((late,),) = rank.ColBERT("id", "text", joint).add_documents(NEURAL).rank(["heart cell"], [first], k=1)
    vectors = [scores.pack([e.embeddings]) for e in joint.encode(["protein and heart cell"], "document")]
    expected = scores.maxsim(joint.encode(["heart cell"], "query")[0].embeddings, vectors[0])[0]
    assert late["similarity"] == pytest.approx(float(expected), rel=1e-4)
