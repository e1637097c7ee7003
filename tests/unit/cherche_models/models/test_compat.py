"""Models as neural-cherche's users make and call them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub, losses, models, rank, retrieve, train, utils
from cherche_models.errors import CheckpointError
from tests import checkpoints

QUERIES, DOCUMENTS = ["neural search", "heart"], ["the brain cell.", "search of the index"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SparseEmbed as neural-cherche saves it: SPLADE and ColBERT can be read from it too."""
    return checkpoints.neural_cherche(tmp_path_factory.mktemp("saved"), projection=8, masks=2)


def test_a_bare_checkpoint_gets_the_defaults_and_a_warning(masked_lm: Path) -> None:
    with pytest.warns(UserWarning, match="is random, and has to be trained"):
        model = models.ColBERT(model_name_or_path=str(masked_lm), device="cpu")
    assert model.dim == 128
    assert {kind: (style.max_length, style.prompt) for kind, style in model.formats.items()} == {
        "document": (checkpoints.POSITIONS, "[D] "),
        "query": (64, "[Q] "),
    }
    weights = models.Splade(masked_lm, device="cpu", max_length_query=12, n_mask_tokens=1).formats["query"]
    assert (weights.max_length, weights.masks, weights.terms, weights.prompt) == (12, 1, 12, "")


def test_what_is_given_wins_over_the_checkpoint(saved: Path) -> None:
    style = models.Splade(str(saved), device="cpu", max_length_query=9, query_prefix="? ").formats["query"]
    assert (style.max_length, style.terms, style.prompt, style.masks) == (9, 9, "? ", 2)
    old = models.Splade(str(saved), device="cpu", max_length_query=9, compat="1.4").formats["query"]
    assert (old.max_length, old.prompt) == (12, "q: ")


@pytest.mark.parametrize("kind", [models.ColBERT, models.Splade, models.SparseEmbed])
@pytest.mark.parametrize("compat", [None, "1.4"])
def test_saved_and_opened_again(kind: type[models.Splade], compat: str | None, saved: Path, tmp_path: Path) -> None:
    model = kind(str(saved), device="cpu", compat=compat)
    assert model.save_pretrained(tmp_path) is model
    assert (tmp_path / "metadata.json").exists() == (compat is not None)
    again = kind(str(tmp_path), device="cpu", compat=compat)
    assert again.formats == model.formats
    torch.testing.assert_close(again.scores(QUERIES, DOCUMENTS), model.scores(QUERIES, DOCUMENTS))


def test_tensors_have_neural_cherches_names_and_shapes(saved: Path) -> None:
    late, terms = models.ColBERT(saved, device="cpu"), models.SparseEmbed(saved, device="cpu")
    assert late.encode(QUERIES)["embeddings"].shape == (2, 12, 8)
    assert late(DOCUMENTS, query_mode=False)["embeddings"].shape == (2, 24, 8)
    found = terms.encode(DOCUMENTS, query_mode=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    assert shapes == {
        "embeddings": (2, 24, 8),
        "sparse_activations": (2, len(terms.vocabulary)),
        "activations": (2, 24),
    }
    shorter = models.ColBERT(saved, device="cpu", padding="longest").encode(["neural"])["embeddings"]
    assert shorter.shape[1] == len(late.tokenize(["neural"], "query")[0])


def test_texts_carry_gradients_when_called_and_none_when_encoded(saved: Path) -> None:
    model = models.ColBERT(saved, device="cpu")
    assert model(texts=QUERIES, query_mode=True)["embeddings"].requires_grad
    assert not model.encode(QUERIES)["embeddings"].requires_grad
    with pytest.raises(TypeError, match="give a list of texts"):
        model("neural search")


def test_a_text_without_tokens_is_zeros(masked_lm: Path) -> None:
    model = models.Splade(masked_lm, device="cpu", add_special_tokens=False, n_mask_tokens=0)
    found = model.encode(["", "heart"])["sparse_activations"]
    assert (int(found[0].count_nonzero()), bool(found[1].any())) == (0, True)
    with pytest.raises(ValueError, match="nothing to encode"):
        model.encode([""])


def test_pairs_are_scored_as_the_encodings_say(saved: Path) -> None:
    weights = models.Splade(saved, device="cpu")
    sides = zip(weights.encode(QUERIES, "query"), weights.encode(DOCUMENTS, "document"), strict=True)
    expected = [one.weights.dot(other.weights) for one, other in sides]
    np.testing.assert_allclose(weights.scores(QUERIES, DOCUMENTS, batch_size=1).numpy(), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="give one document for each query"):
        weights.scores(QUERIES, DOCUMENTS[:1])
    for one in (("cat", "dog"), (["cat"], "d"), ({"cat"}, ["dog"])):  # never letter by letter, nor in no order
        with pytest.raises(TypeError, match="give a list of texts"):
            weights.scores(*one)


@pytest.mark.parametrize("kind", ["colbert", "sparse_embed"])
def test_a_retriever_agrees_with_pair_scores(kind: str, saved: Path) -> None:
    opened = {"colbert": models.ColBERT, "sparse_embed": models.SparseEmbed}[kind]
    indexes = {"colbert": retrieve.ColBERT, "sparse_embed": retrieve.SparseEmbed}
    for compat in (None, "1.4"):
        model = opened(saved, device="cpu", compat=compat)
        index = indexes[kind]("id", "text", model)
        index.add_documents([{"id": i, "text": text} for i, text in enumerate(DOCUMENTS)])
        found = {hit["id"]: hit["similarity"] for hit in index.search(QUERIES[0])}
        pairs = model.scores([QUERIES[0]] * 2, DOCUMENTS).tolist()
        assert found == pytest.approx(dict(enumerate(pairs)), rel=1e-4)


def test_padding_counts_only_in_compat() -> None:
    query, document = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]])
    assert utils.colbert_scores(query, document, document)["positive_scores"].tolist() == [-1.0]
    assert utils.colbert_scores(query, document, document, compat="1.4")["positive_scores"].tolist() == [0.0]


def test_negatives_of_the_batch() -> None:
    rows = torch.eye(3)
    found = utils.sparse_scores(rows, rows, 0.5 * rows, in_batch_negatives=True)
    assert found["negative_scores"].tolist() == [[0.5, 0.0, 0.0]] * 3
    assert float(losses.Ranking()(**found)) == pytest.approx(
        float(torch.log(1 + (torch.tensor(-0.5)).exp() + 2 / np.e))
    )
    alone = utils.sparse_scores(rows[:1], rows[:1], rows[1:2], in_batch_negatives=True)
    assert alone["negative_scores"].shape == (1, 1)
    assert utils.sparse_scores(rows, rows, rows, True, compat="1.4")["negative_scores"].shape == (3, 2)


def test_vectors_of_shared_terms() -> None:
    terms, others = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[2, 9], [7, 8]])
    vectors = torch.ones(2, 2, 3)
    found = utils.dense_scores(terms, others, others, vectors, vectors, vectors)
    assert found["positive_scores"].tolist() == [3.0, 0.0]
    mean = utils.dense_scores(terms, others, others, vectors, vectors, vectors, func=torch.mean)
    assert mean["positive_scores"].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"torch\.sum or torch\.mean"):
        utils.dense_scores(terms, others, others, vectors, vectors, vectors, func=torch.amax)


@pytest.mark.parametrize("layers", [0, 1, 5])
def test_freezing_counts_layers(layers: int, masked_lm: Path) -> None:
    model = models.Splade(masked_lm, device="cpu", freeze_layers_except_last_n=layers)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    numbers = {name.split(".layer.")[1].split(".")[0] for name in free if ".layer." in name}
    assert numbers == {str(i) for i in range(2)[max(2 - layers, 0) :]}
    assert any("predictions.transform" in name for name in free)
    assert not any("embeddings" in name for name in free if "decoder" not in name)


def test_a_step_of_training_with_a_threshold(saved: Path) -> None:
    model = models.Splade(saved, device="cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    free = train.train_splade(model, optimizer, QUERIES, DOCUMENTS, ["cell", "of"], threshold_flops=1e9)
    bound = train.train_splade(model, optimizer, QUERIES, DOCUMENTS, ["cell", "of"], max_flops_loss=2.0)
    assert (set(bound), float(free["flops"]), float(bound["flops"])) == ({"sparse", "flops", "loss"}, 0.0, 2.0)


def test_embeddings_are_picklable(saved: Path) -> None:
    documents = [{"id": "a", "text": DOCUMENTS[0]}, {"id": "b", "text": DOCUMENTS[1]}]
    for index in (
        retrieve.ColBERT("id", ["text"], models.ColBERT(saved, device="cpu")),
        retrieve.SparseEmbed("id", ["text"], models.SparseEmbed(saved, device="cpu"), tokenizer_parallelism="false"),
        retrieve.Splade("id", ["text"], models.Splade(saved, device="cpu")),
        retrieve.BM25("id", ["text"]),
    ):
        embeddings = pickle.loads(pickle.dumps(index.encode_documents(documents)))
        queries = pickle.loads(pickle.dumps(index.encode_queries(["brain", "brain", "search"])))
        assert [len(hits) for hits in index.add(embeddings)(queries, k=1)] == [1, 1, 1]


def test_rankers_vote_over_candidates_in_lists(saved: Path) -> None:
    documents = [{"id": "a", "text": DOCUMENTS[0]}, {"id": "b", "text": DOCUMENTS[1]}]
    late = rank.ColBERT("id", "text", models.ColBERT(saved, device="cpu"))
    terms = rank.SparseEmbed("id", "text", models.SparseEmbed(saved, device="cpu"))
    assert set(late.encode_documents([documents, documents[:1]])) == {"a", "b"}
    search = (retrieve.BM25("id", "text") * retrieve.TfIdf("id", "text")) + (late * terms) + documents
    search.add_documents(documents)
    (first, second) = search.search("brain search")
    assert first["similarity"] >= second["similarity"]
    assert {first["text"], second["text"]} == set(DOCUMENTS)
    assert search.search(["zzz"]) == [[]]


def test_what_cannot_be_opened_says_why(masked_lm: Path, saved: Path) -> None:
    with pytest.raises(TypeError, match="splade models have no option 'embedding_size'"):
        models.Splade(str(masked_lm), embedding_size=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="made of a checkpoint's name, or of a backbone"):
        models.ColBERT()  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="max_length_query 65 is more than the 64"):
        models.ColBERT(str(saved), max_length_query=65)
    with pytest.raises(ValueError, match="padding 'left'"):
        models.ColBERT(str(saved), padding="left")
    with pytest.raises(ValueError, match=r"compat '1\.3' is unknown"):
        models.ColBERT(str(saved), compat="1.3")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="is not a folder"):
        models.ColBERT("./nowhere")


def test_the_term_weights_of_a_joint_model_go_to_neural_cherche(masked_lm: Path, tmp_path: Path) -> None:
    joint = hub.load(masked_lm, architecture="joint", new_head=True, device="cpu", dtype="fp32")
    with pytest.warns(UserWarning, match="neural-cherche (has|keeps)") as caught:
        hub.export(joint, tmp_path, "neural-cherche")
    assert "the term weights alone are exported" in str(caught[0].message)
    assert "keeps at most as many terms as tokens: 64 of a document, 64 of a query" in str(caught[1].message)
    assert not (tmp_path / "linear.pt").exists()
    found = models.Splade(str(tmp_path), device="cpu")
    for kind in ("document", "query"):
        (ours,), (theirs,) = joint.encode(["neural search"], kind), found.encode(["neural search"], kind)
        most = found.formats[kind].terms
        best = sorted(ours.weights.items(), key=lambda pair: -pair[1])[:most]
        assert dict(theirs.weights.items()) == pytest.approx(dict(best), abs=1e-5)
