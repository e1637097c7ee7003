"""A text's encoding does not depend on what it shares a batch with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cherche_models import hub
from cherche_models.models import Model
from cherche_models.runtime.batches import plan
from cherche_models.runtime.head import hide_padding, max_logits
from cherche_models.tokenizer import pieces
from cherche_models.types import Tokens
from tests import checkpoints

WORDS = st.lists(st.sampled_from([*checkpoints.WORDS, ".", ",", "zebra"]), max_size=70).map(" ".join)
KINDS = st.sampled_from(["document", "query"])


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = checkpoints.masked_lm(tmp_path_factory.mktemp("model"))
    torch.manual_seed(0)
    return hub.load(folder, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(WORDS, min_size=1, max_size=6), kind=KINDS, data=st.data())
def test_batch_padding_and_order_change_nothing(joint: Model, texts: list[str], kind: str, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    together = joint.encode([texts[i] for i in order], kind)
    for i, encoding in zip(order, together, strict=True):
        (alone,) = joint.encode([texts[i]], kind)
        np.testing.assert_allclose(encoding.embeddings.vectors, alone.embeddings.vectors, atol=1e-4)
        for one, other in ((alone, encoding), (encoding, alone)):
            found = dict(other.weights.items())
            for term, weight in one.weights.items():
                assert abs(found.get(term, 0.0) - weight) < 1e-4


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 40), max_size=30), budget=st.integers(1, 100), padded=st.booleans())
def test_a_plan_holds_each_text_that_has_tokens_once_and_keeps_its_budget(
    sizes: list[int], budget: int, padded: bool
) -> None:
    texts = [Tokens((1,) * n, ("a",) * n, n) for n in sizes]
    batches = plan(texts, budget, padded=padded)
    assert sorted(i for batch in batches for i in batch) == [i for i, n in enumerate(sizes) if n]
    for batch in batches:
        assert len(batch) == 1 or max(sizes[i] for i in batch) * len(batch) <= budget
        assert padded or len({sizes[i] for i in batch}) == 1


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    chunk=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_the_maximum_before_all_else_is_the_maximum_after(lengths: list[int], chunk: int, seed: int) -> None:
    torch.manual_seed(seed)
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    hidden, decoder, bias = torch.randn(len(lengths), 7, 4), torch.randn(23, 4), torch.randn(23)
    first = torch.log1p(torch.relu(max_logits(hide_padding(hidden, mask), decoder, chunk) + bias))
    after = (torch.log1p(torch.relu(hidden @ decoder.T + bias)) * mask.unsqueeze(-1)).amax(dim=1)
    torch.testing.assert_close(first, after, atol=1e-5, rtol=1e-5)


@given(text=st.text(max_size=300), size=st.integers(1, 50))
def test_pieces_are_the_text(text: str, size: int) -> None:
    assert "".join(pieces(text, size)) == text
    assert all(len(piece) <= 2 * size for piece in pieces(text, size))
