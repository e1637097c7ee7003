"""The compressed index against plain MaxSim over its own codes, whatever is added, changed and filtered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cherche_models import codec, hub, scores
from cherche_models.codes import codebook
from cherche_models.models import Joint, Model
from cherche_models.retrieve import PLAID, ColBERT
from cherche_models.types import TokenEmbeddings
from tests import checkpoints
from tests.property.strategies import unit

DIM = 16
BOOK = codebook.train(unit(0, 500, DIM), 32)
KEYS = st.sampled_from("abcdefgh")
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = checkpoints.masked_lm(tmp_path_factory.mktemp("masked_lm"))
    found = hub.load(folder, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=DIM)
    assert isinstance(found, Joint)
    return found


def index(model: Model, **options: object) -> PLAID:
    return PLAID("id", "text", model, **{"book": BOOK, "codec": "residual4", **options})


def expected(documents: dict[str, np.ndarray], query: np.ndarray, form: str = "residual4") -> dict[str, float]:
    """By `scores.maxsim` over `codec`'s own round trip."""
    codebook.register(BOOK)
    found = {}
    for key, vectors in documents.items():
        decoded = codec.unpack_codes(codec.pack_codes(TokenEmbeddings(vectors), form, book=BOOK))
        score = float(scores.maxsim(TokenEmbeddings(query), scores.pack([decoded]))[0])
        if np.isfinite(score):
            found[key] = score
    return found


def hits(results: list[dict[str, object]]) -> dict[str, float]:
    return {str(hit["id"]): float(str(hit["similarity"])) for hit in results}


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(KEYS, st.tuples(st.integers(0, 99), st.integers(0, 7)), max_size=4)),
        st.tuples(st.just("delete"), st.sets(KEYS, max_size=3)),
        st.tuples(st.just("search"), st.none()),
    ),
    max_size=6,
)


@quick
@given(changes, st.integers(0, 99), st.sampled_from(["residual4", "residual1", "pool2+residual2"]))
def test_whatever_happens_it_scores_what_it_holds(model: Model, drawn: list, seed: int, form: str) -> None:
    held: dict[str, np.ndarray] = {}
    found = index(model, codec=form)
    query = {"q": unit(seed, 4, DIM)}
    for what, value in drawn:
        if what == "add":
            fresh = {key: unit(s, tokens, DIM) for key, (s, tokens) in value.items()}
            held |= fresh
            found.add(fresh)
        elif what == "delete":
            gone = [key for key in value if key in held]
            found.delete(gone)
            held = {key: vectors for key, vectors in held.items() if key not in gone}
        else:
            found(query, k=1)
    wanted = expected(held, query["q"], form)
    assert hits(found(query)[0]) == pytest.approx(wanted, abs=1e-4)
    assert len(found) == len(held)


@quick
@given(st.integers(0, 999), st.integers(1, 12), st.sets(st.integers(0, 39)))
def test_with_every_centroid_looked_up_it_is_exact(model: Model, seed: int, k: int, allowed: set[int]) -> None:
    documents = {str(i): unit(1000 + i, 1 + i % 6, DIM) for i in range(40)}
    found = index(model, probe=32, candidates=1).add(documents)
    query = unit(seed, 3, DIM)
    results = found({"q": query}, k=k, filters=[str(i) for i in allowed])[0]
    wanted = expected({str(i): documents[str(i)] for i in sorted(allowed)}, query)
    assert len(results) == min(k, len(allowed))
    assert set(hits(results)) <= set(wanted)
    for key, similarity in hits(results).items():
        assert similarity == pytest.approx(wanted[key], abs=1e-4)


def clustered(documents: int) -> dict[str, np.ndarray]:
    """Texts about one of some subjects each: what centroids are good for."""
    subjects = unit(7, 60, DIM)
    random = np.random.default_rng(3)
    rows = {}
    for i in range(documents):
        near = subjects[[i % 60, (i * 7) % 60, (i * 11) % 60] * 4]
        noisy = near + 0.1 * random.standard_normal(near.shape)
        rows[str(i)] = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    return rows


def test_candidates_find_nearly_all_that_is_best(model: Model) -> None:
    documents = clustered(1500)
    exact = index(model, book=None, probe=0).add(documents)
    quickly = PLAID("id", "text", model, codec="residual4", book=exact.book, probe=4, candidates=100).add(documents)
    random = np.random.default_rng(5)
    shared = []
    for _ in range(20):
        chosen = documents[str(random.integers(1500))]
        query = {"q": chosen[random.permutation(len(chosen))[:6]]}
        shared.append(len(hits(exact(query, k=10)[0]).keys() & hits(quickly(query, k=10)[0]).keys()))
    assert np.mean(shared) >= 9.5


def test_it_agrees_with_the_exact_retriever_up_to_its_codes(model: Model) -> None:
    documents = clustered(300)
    query = {"q": documents["17"][:5]}
    (plain,) = ColBERT("id", "text", model).add(documents)(query, k=5)
    (coded,) = index(model, book=None).add(documents)(query, k=5)
    assert coded[0]["id"] == plain[0]["id"] == "17"
    assert coded[0]["similarity"] == pytest.approx(plain[0]["similarity"], rel=0.02)


def test_blocks_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = {str(i): unit(i, i % 5, DIM) for i in range(30)}
    query = {"q": unit(77, 3, DIM)}
    (whole,) = index(model).add(documents)(query)
    monkeypatch.setattr("cherche_models.retrieve.plaid.BLOCK", 7)
    (parts,) = index(model).add(documents)(query)
    assert hits(parts) == pytest.approx(hits(whole), abs=1e-5)


def test_a_file_is_read_where_it_lies_and_can_be_changed(model: Model, tmp_path: Path) -> None:
    documents = clustered(200)
    query = {"q": documents["3"][:4]}
    made = index(model, book=None, codec="pool2+residual2", probe=3, candidates=50).add(documents)
    made.save(tmp_path / "index")
    again = PLAID.load(tmp_path / "index", model=model)
    assert isinstance(again._index.packed.base, np.memmap) or isinstance(again._index.packed, np.memmap)
    assert (str(again.form), again.probe, again.candidates) == ("pool2+residual2", 3, 50)
    assert again(query, k=9) == made(query, k=9)
    again.delete(["3"]).add({"new": documents["3"]})
    (first, *_) = again(query, k=3)[0]
    assert first["id"] == "new"
    assert len(again) == 200
    again.save(tmp_path / "other")
    assert PLAID.load(tmp_path / "other", model=model, probe=0)(query, k=3)[0][0]["id"] == "new"


def test_an_empty_index_and_texts_without_words(model: Model, tmp_path: Path) -> None:
    empty = index(model)
    assert empty.search(["brain", ""]) == [[], []]
    empty.save(tmp_path / "empty")
    assert PLAID.load(tmp_path / "empty", model=model).search("brain") == []
    texts = [{"id": "a", "text": "neural search"}, {"id": "b", "text": ""}]
    found = index(model).add_documents(texts)
    assert [hit["id"] for hit in found.search("neural", k=1)] == ["a"]


def test_what_makes_no_sense_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="'int8' has no centroids: choose one of residual4, residual2, residual1"):
        index(model, codec="int8")
    with pytest.raises(ValueError, match="probe -1"):
        index(model, probe=-1)
    with pytest.raises(ValueError, match="no tokens to train one on"):
        index(model, book=None).add({"a": np.empty((0, DIM), np.float32)})
    with pytest.raises(ValueError, match="k 0 is below 1"):
        index(model).search("words", k=0)
