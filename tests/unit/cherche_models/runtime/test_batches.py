"""Batches of texts: padding, attention and positions."""

from __future__ import annotations

import torch

from cherche_models.models import Joint
from cherche_models.runtime.batches import collate, plan
from cherche_models.tokenizer import TextFormat
from cherche_models.types import Tokens


def tokens(size: int) -> Tokens:
    return Tokens((1,) * size, ("a",) * size, size)


def test_a_batch_keeps_to_its_budget_and_texts_without_tokens_have_none() -> None:
    sizes = [3, 0, 7, 12, 2, 7]
    batches = plan([tokens(size) for size in sizes], budget=10)
    assert sorted(i for batch in batches for i in batch) == [0, 2, 3, 4, 5]
    assert all(len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= 10 for batch in batches)
    assert all(len({sizes[i] for i in batch}) == 1 for batch in plan([tokens(s) for s in sizes], padded=False))


def test_texts_are_padded_and_expansion_is_outside_the_attention_mask(joint: Joint) -> None:
    style = TextFormat(max_length=6, expand=True)
    texts = joint.tokenizer.tokenize(["brain", "brain cell index token"], style)
    batch = collate(texts, joint.tokenizer, style, torch.device("cpu"), [5, 2])
    assert batch.positions == (5, 2)
    assert batch.lengths == (6, 6)
    assert batch.attention_mask.sum(dim=1).tolist() == [3, 6]
    attended = collate(texts, joint.tokenizer, TextFormat(6, expand=True, attend_expansion=True), torch.device("cpu"))
    assert bool(attended.attention_mask.all())
    plain = TextFormat(max_length=6)
    padded = collate(
        joint.tokenizer.tokenize(["brain", "brain cell"], plain), joint.tokenizer, plain, torch.device("cpu")
    )
    assert padded.real.tolist() == [[True, True, True, False], [True] * 4]
    assert padded.input_ids[0, 3] == joint.tokenizer.pad_id
