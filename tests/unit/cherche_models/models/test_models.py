from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.backbone import Backbone
from cherche_models.errors import ItemError
from cherche_models.models import ColBERT, InferenceFree, Joint, Model, SparseEmbed, Splade
from cherche_models.models.splade import activate
from cherche_models.tokenizer import Kind, TextFormat
from tests import checkpoints

TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90, "[MASK] heart"]


def weights_by_hand(model: Splade, text: str) -> torch.Tensor:
    """Formal et al. 2021, eq. 2, from the logits of the whole masked-LM model."""
    (tokens,) = model.tokenize([text], "document")
    with torch.inference_mode():
        logits = model.backbone.model(input_ids=torch.tensor([tokens.ids])).logits[0]
    return torch.log1p(torch.relu(logits)).amax(dim=0)


def dense(model: Splade, encoding: object) -> np.ndarray:
    row = np.zeros(len(model.vocabulary), np.float32)
    row[encoding.weights.ids] = encoding.weights.weights
    return row


def test_splade_is_its_formula(splade: Splade) -> None:
    for text, encoding in zip(TEXTS, splade.encode(TEXTS, "document"), strict=True):
        np.testing.assert_allclose(dense(splade, encoding), weights_by_hand(splade, text).numpy(), atol=1e-5)
        assert encoding.embeddings is None


def test_weights_are_positive_and_sorted(splade: Splade) -> None:
    for encoding in splade.encode(TEXTS, "query"):
        assert (np.diff(encoding.weights.ids.astype(np.int64)) > 0).all()
        assert (encoding.weights.weights > 0).all()


def test_training_and_inference_agree(joint: Joint) -> None:
    tokens = joint.tokenize(TEXTS, "document")
    output = joint(*joint.collate(tokens, "document"))
    for row, encoding in enumerate(joint.encode_tokens(tokens, "document")):
        np.testing.assert_allclose(output.weights[row].detach().numpy(), dense(joint, encoding), atol=1e-5)
        rows = output.embeddings[row][output.mask[row]].detach().numpy()
        np.testing.assert_allclose(rows, encoding.embeddings.vectors, atol=1e-5)


def test_both_heads_learn(joint: Joint) -> None:
    output = joint(*joint.collate(joint.tokenize(TEXTS, "query"), "query"), "query")
    joint.zero_grad()
    (output.weights.sum() + output.embeddings[output.mask].sum()).backward()
    for parameter in (joint.projection.linear.weight, joint.backbone.decoder.weight):
        assert parameter.grad is not None
        assert bool(parameter.grad.abs().sum() > 0)


def test_a_joint_model_runs_its_encoder_once(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    plain = Backbone.forward
    monkeypatch.setattr(Backbone, "forward", lambda self, *args: passes.append(1) or plain(self, *args))
    joint.encode(["neural"], "document")
    assert len(passes) == 1


def test_colbert_never_runs_a_vocabulary_head(masked_lm: Path) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=16)
    assert isinstance(model, ColBERT)
    assert not model.backbone.has_vocabulary
    (encoding,) = model.encode(["neural search"], "document")
    np.testing.assert_allclose(np.linalg.norm(encoding.embeddings.vectors, axis=1), 1, rtol=1e-5)
    assert encoding.weights is None


def test_punctuation_is_skipped_in_documents_only(joint: Joint) -> None:
    marks = [joint.tokenizer.id_of(mark) for mark in ".,"]
    model = Joint(joint.backbone, joint.tokenizer, dim=16, skip=[i for i in marks if i is not None])
    for kind, expected in (("document", [0, 1, 3, 5]), ("query", [0, 1, 2, 3, 4, 5])):
        (tokens,) = model.tokenize(["neural, search."], kind)
        (encoding,) = model.encode_tokens([tokens], kind)
        assert model.kept(tokens, kind) == expected
        assert len(encoding.embeddings) == len(expected)


@pytest.mark.parametrize("attend", [False, True])
def test_query_expansion(joint: Joint, attend: bool) -> None:
    style = TextFormat(10, expand=True, attend_expansion=attend)
    model = Joint(joint.backbone, joint.tokenizer, query=style, dim=16)
    model.load_state_dict(joint.state_dict())
    short, long = model.encode(["neural search", "neural " * 20], "query")
    assert len(short.embeddings) == len(long.embeddings) == 10
    (plain,) = joint.encode(["neural search"], "query")
    assert np.allclose(short.embeddings.vectors[:4], plain.embeddings.vectors, atol=1e-5) is not attend
    assert (short.weights == plain.weights) is not attend


def test_a_text_without_any_token(joint: Joint) -> None:
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(20, special_tokens=False), dim=16)
    empty, full = model.encode(["", "neural"], "document")
    assert (len(empty.weights), len(empty.embeddings), empty.embeddings.dim) == (0, 0, 16)
    assert len(full.embeddings) == 1


def test_nan_names_the_text(tmp_path: Path) -> None:
    model = hub.load(checkpoints.masked_lm(tmp_path), device="cpu", dtype="fp32")
    decoder = model.backbone.decoder
    decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())
    with torch.no_grad():
        embeddings = model.backbone.model.get_input_embeddings().weight
        embeddings[model.tokenizer.id_of("heart")] = torch.nan
    with pytest.raises(ItemError, match="text 2 got NaN"):
        model.encode(["neural", "brain brain brain", "heart"], "document")
    assert len(model.encode(["neural", "brain"], "document")) == 2


def test_nan_embeddings_name_the_text(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    with torch.no_grad():
        model.backbone.model.embeddings.word_embeddings.weight[model.tokenizer.id_of("heart")] = torch.nan
    with pytest.raises(ItemError, match="text 1 got NaN"):
        model.encode(["neural brain cell", "heart"], "document")


def test_sum_pooling_is_the_first_splade(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, pooling="sum")
    for text, encoding in zip(TEXTS, model.encode(TEXTS, "document"), strict=True):
        (tokens,) = model.tokenize([text], "document")
        logits = model.backbone.model(input_ids=torch.tensor([tokens.ids])).logits[0]
        expected = torch.log1p(torch.relu(logits)).sum(dim=0).detach().numpy()
        np.testing.assert_allclose(dense(model, encoding), expected, rtol=1e-4, atol=1e-4)


def test_two_logarithms(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, activation="log1p_relu")
    (once,), (twice,) = splade.encode(TEXTS[:1], "document"), model.encode(TEXTS[:1], "document")
    np.testing.assert_allclose(twice.weights.weights, np.log1p(once.weights.weights), rtol=1e-5)
    assert activate(torch.tensor([1.0]), "log1p_relu").item() == pytest.approx(np.log1p(np.log1p(1)))


def test_a_cap_keeps_the_largest_terms(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, replace(splade.formats["document"], terms=5))
    (capped,), (whole,) = model.encode(TEXTS[:1], "document"), splade.encode(TEXTS[:1], "document")
    assert len(capped.weights) == 5
    assert capped.weights.weights.min() == np.sort(whole.weights.weights)[-5]


def test_bf16_is_close(masked_lm: Path, splade: Splade) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="bf16")
    for exact, rounded in zip(splade.encode(TEXTS, "document"), model.encode(TEXTS, "document"), strict=True):
        a, b = dense(splade, exact), dense(splade, rounded)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


def test_inference_free_queries_need_no_pass(splade: Splade, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.zeros(len(splade.vocabulary))
    neural, search = (splade.tokenizer.id_of(word) for word in ("neural", "search"))
    table[neural], table[search] = 2.5, 1.5
    model = InferenceFree(splade.backbone, splade.tokenizer, table)
    assert model.encode(["cell"], "document")[0].weights == splade.encode(["cell"], "document")[0].weights
    monkeypatch.setattr(Backbone, "forward", None)
    (encoding,) = model.encode(["search neural neural cell"], "query")
    assert dict(encoding.weights.items()) == {neural: 2.5, search: 1.5}
    assert model.idf(model.tokenize(["neural"], "query")[0]) == {neural: 2.5}
    assert splade.idf(model.tokenize(["neural"], "query")[0]) is None
    tokens = model.tokenize(["search neural neural", "cell"], "query")
    output = model(*model.collate(tokens, "query"), "query")
    assert output.weights[0].nonzero().flatten().tolist() == sorted([neural, search])
    assert output.weights[0, neural].item() == 2.5


def test_a_table_of_another_vocabulary(splade: Splade) -> None:
    with pytest.raises(ValueError, match="the vocabulary"):
        InferenceFree(splade.backbone, splade.tokenizer, torch.zeros(3))


@pytest.mark.parametrize("attention", ["tokens", "terms"])
def test_sparse_embed_is_its_formula(splade: Splade, attention: str) -> None:
    style = replace(splade.formats["document"], terms=6)
    model = SparseEmbed(splade.backbone, splade.tokenizer, style, style, dim=8, attention=attention)
    (encoding,) = model.encode([TEXTS[0]], "document")
    (tokens,) = model.tokenize([TEXTS[0]], "document")
    with torch.inference_mode():
        whole = model.backbone.model(input_ids=torch.tensor([tokens.ids]), output_hidden_states=True)
        weights = torch.log1p(torch.relu(whole.logits[0])).amax(dim=0)
        terms = weights.topk(6).indices.sort().values
        scores = whole.logits[0][:, terms].softmax(dim=0 if attention == "tokens" else 1)
        vectors = torch.relu(model.linear(scores.T @ whole.hidden_states[-1][0]))
    assert encoding.weights.ids.tolist() == terms.tolist()
    np.testing.assert_allclose(encoding.weights.weights, weights[terms].numpy(), rtol=1e-4)
    np.testing.assert_allclose(encoding.embeddings.vectors, vectors.numpy(), rtol=1e-4, atol=1e-5)


def test_sparse_embed_batches_and_learns(splade: Splade) -> None:
    model = SparseEmbed(splade.backbone, splade.tokenizer, dim=8)
    together = model.encode(TEXTS, "query")
    for text, encoding in zip(TEXTS, together, strict=True):
        (alone,) = model.encode([text], "query")
        assert alone.weights.ids.tolist() == encoding.weights.ids.tolist()
        np.testing.assert_allclose(alone.embeddings.vectors, encoding.embeddings.vectors, atol=1e-4)
    output = model(*model.collate(model.tokenize(TEXTS, "query"), "query"), "query")
    output.embeddings[output.mask].sum().backward()
    assert bool(model.linear.weight.grad.abs().sum() > 0)


def test_maximum_lengths(splade: Splade) -> None:
    assert len(splade.tokenize(["cell " * 200], "document")[0]) == checkpoints.POSITIONS
    with pytest.raises(ValueError, match="more than the 64 tokens"):
        splade.tokenize(["cell"], "document", max_length=65)


def test_parts_that_do_not_belong_together(splade: Splade, models_dir: Path) -> None:
    from cherche_models import tokenizer

    with pytest.raises(ValueError, match="do not belong together"):
        Splade(splade.backbone, tokenizer.load(models_dir / "splade-tiny"))


@pytest.mark.parametrize("kind", ["document", "query"])
def test_nothing_in_nothing_out(joint: Model, kind: Kind) -> None:
    assert joint.encode([], kind) == []
