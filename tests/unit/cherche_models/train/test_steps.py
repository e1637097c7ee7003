from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cherche_models import hub, retrieve, train, utils
from cherche_models.errors import ItemError
from cherche_models.losses import flops
from cherche_models.models import Model
from cherche_models.train.steps import Losses
from tests import checkpoints

TRIPLES = [
    ("brain", "the neural cell", "search index"),
    ("index", "document search", "the heart"),
    ("heart", "protein of the heart", "sparse token weight"),
]
COLUMNS = [list(column) for column in zip(*TRIPLES, strict=True)]
STEPS = {"colbert": train.train_colbert, "splade": train.train_splade, "sparse_embed": train.train_sparse_embed}
KEYS = {
    "colbert": ["loss"],
    "splade": ["sparse", "flops", "loss"],
    "sparse_embed": ["dense", "sparse", "flops", "loss"],
}

Step = Callable[..., Losses]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Model]:
    def made(architecture: str) -> Model:
        folder = checkpoints.neural_cherche(tmp_path / architecture, projection=16, masks=0)
        return hub.load(folder, device="cpu", dtype="fp32", architecture=architecture)

    return made


def adam(model: Model) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=3e-3)


def first(model: Model) -> torch.Tensor:
    return next(model.backbone.parameters()).detach().clone()


def still(model: Model) -> None:
    """Leave dropout out, so that losses can be compared."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("in_batch", [False, True])
def test_the_loss_falls(name: str, in_batch: bool, load: Callable[[str], Model]) -> None:
    torch.manual_seed(0)
    model = load(name)
    still(model)
    optimizer = adam(model)
    losses = []
    for columns in utils.iter(TRIPLES, epochs=25, batch_size=3, shuffle=False):
        found = STEPS[name](model, optimizer, *columns, in_batch_negatives=in_batch)
        losses.append(float(found["loss"]))
        assert list(found) == KEYS[name]
        assert not any(loss.requires_grad for loss in found.values())
    assert losses[-1] < losses[0] / 2
    assert not model.training


def test_the_mode_is_kept_and_training_has_dropout(load: Callable[[str], Model]) -> None:
    model = load("colbert")
    seen = []
    model.register_forward_hook(lambda *_: seen.append(model.training))
    train.train_colbert(model, adam(model), *COLUMNS)
    assert seen == [True, True]
    assert not model.training
    model.train()
    train.train_colbert(model, adam(model), *COLUMNS)
    assert model.training


def test_two_halves_of_a_window_are_one_batch(load: Callable[[str], Model]) -> None:
    whole, halves = load("colbert"), load("colbert")
    still(whole), still(halves)
    sgd = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (whole, halves)]
    pair = [column[:2] for column in COLUMNS]
    train.train_colbert(whole, sgd[0], *pair)
    before = first(halves)
    for step in range(2):
        assert torch.equal(first(halves), before)
        single = [column[step : step + 1] for column in pair]
        train.train_colbert(halves, sgd[1], *single, step=step, gradient_accumulation_steps=2)
    torch.testing.assert_close(first(halves), first(whole), rtol=1e-4, atol=1e-5)


def test_flush_applies_an_incomplete_window_at_its_own_mean(load: Callable[[str], Model]) -> None:
    whole, rest = load("splade"), load("splade")
    still(whole), still(rest)
    sgd = [torch.optim.SGD(model.parameters(), lr=0.01) for model in (whole, rest)]
    train.train_splade(whole, sgd[0], *COLUMNS)
    before = first(rest)
    train.train_splade(rest, sgd[1], *COLUMNS, step=50, gradient_accumulation_steps=50)
    assert torch.equal(first(rest), before)
    assert train.flush(sgd[1], step=50, gradient_accumulation_steps=50)
    torch.testing.assert_close(first(rest), first(whole), rtol=1e-4, atol=1e-5)
    assert not train.flush(sgd[1], step=49, gradient_accumulation_steps=50)


def test_flops_is_the_true_one_and_falls(load: Callable[[str], Model]) -> None:
    model = load("splade")
    still(model)
    documents = list(dict.fromkeys([*COLUMNS[1], *COLUMNS[2]]))
    expected = 0.0
    for texts, kind in ((COLUMNS[0], "query"), (documents, "document")):
        output = model(*model.collate(model.tokenize(texts, kind), kind), kind)
        expected += float(flops(output.weights.detach()))
    optimizer = adam(model)
    found = [
        train.train_splade(model, optimizer, *COLUMNS, flops_loss_weight=1.0, sparse_loss_weight=0.0) for _ in range(5)
    ]
    assert float(found[0]["flops"]) == pytest.approx(expected, rel=1e-4)
    assert float(found[-1]["flops"]) < expected


@pytest.mark.parametrize("name", STEPS)
def test_a_batch_of_one_has_no_positive_for_a_negative(name: str, load: Callable[[str], Model]) -> None:
    """Neither its own positive nor a copy of it counts as a negative."""
    model = load(name)
    still(model)
    single = [column[:1] for column in COLUMNS]
    alone = STEPS[name](model, torch.optim.SGD(model.parameters(), lr=0.0), *single)
    twice = [column * 2 for column in single]
    again = STEPS[name](model, torch.optim.SGD(model.parameters(), lr=0.0), *twice, in_batch_negatives=True)
    assert float(again["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-4)


def test_what_cannot_be_trained_is_named(load: Callable[[str], Model]) -> None:
    colbert, splade = load("colbert"), load("splade")
    with pytest.raises(ValueError, match="3 anchors, 3 positives, 2 negatives"):
        train.train_colbert(colbert, adam(colbert), COLUMNS[0], COLUMNS[1], COLUMNS[2][:2])
    with pytest.raises(ValueError, match="no token embeddings"):
        train.train_colbert(splade, adam(splade), *COLUMNS)
    with pytest.raises(ValueError, match="no term weights"):
        train.train_splade(colbert, adam(colbert), *COLUMNS)
    with pytest.raises(ValueError, match="no term vectors"):
        train.train_sparse_embed(splade, adam(splade), *COLUMNS)
    with torch.no_grad():
        next(splade.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="the loss is nan"):
        train.train_splade(splade, adam(splade), *COLUMNS)


def test_the_dense_score_is_the_retrievers(load: Callable[[str], Model]) -> None:
    model = load("sparse_embed")
    documents = [{"id": i, "text": text} for i, text in enumerate(COLUMNS[1])]
    found = retrieve.SparseEmbed("id", "text", model).add_documents(documents).search(COLUMNS[0])
    with torch.inference_mode():
        asked = model(*model.collate(model.tokenize(COLUMNS[0], "query"), "query"), "query")
        offered = model(*model.collate(model.tokenize(COLUMNS[1], "document"), "document"), "document")
    scores = train.steps.term_scores(asked, offered)
    for row, hits in zip(scores.tolist(), found, strict=True):
        assert {hit["id"]: hit["similarity"] for hit in hits} == pytest.approx(
            {i: score for i, score in enumerate(row) if i in {hit["id"] for hit in hits}}, rel=1e-4
        )


@pytest.mark.parametrize("name", STEPS)
def test_a_negative_that_is_a_positive_is_named(name: str, load: Callable[[str], Model]) -> None:
    model = load(name)
    anchors, positives = ["brain", "heart", "heart"], ["cell", "protein", "a heart"]
    for negatives in (["index", "protein", "index"], ["index", "a heart", "index"]):
        with pytest.raises(ItemError, match=r"text 1 of the anchors has nothing to be ranked against"):
            STEPS[name](model, adam(model), anchors, positives, negatives)
    with pytest.raises(ItemError, match="text 0 of the anchors"):
        STEPS[name](model, adam(model), ["brain"], ["cell"], ["cell"], in_batch_negatives=True)
    with pytest.raises(ItemError, match=r"text 1 has the type float \(nan\)"):
        STEPS[name](model, adam(model), anchors, ["cell", float("nan"), "a heart"], positives)
