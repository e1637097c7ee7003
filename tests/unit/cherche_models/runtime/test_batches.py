"""Batches of texts: padding, attention and positions."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.models import Joint, base
from cherche_models.runtime.batches import Batch, batched, collate, fill, filled, pack, plan, plan_beside, plan_packed
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


def test_packed_texts_lie_one_after_another() -> None:
    texts = [Tokens((3, 7, 5), ("a",) * 3, 3), Tokens((4,), ("b",), 1), Tokens((6, 2), ("c",) * 2, 2)]
    batch = pack(texts, [2, 0, 1])
    assert batch.input_ids.tolist() == [3, 7, 5, 4, 6, 2]
    assert (batch.lengths, batch.positions, batch.packed) == ((3, 1, 2), (2, 0, 1), True)
    assert batch.places.tolist() == [0, 1, 2, 0, 0, 1]
    assert batch.real.tolist() == batch.attention_mask.bool().tolist() == [True] * 6
    assert batch.counts(batch.input_ids > 3) == [2, 1, 1]
    padded = Batch(torch.tensor([[3, 7, 5], [4, 0, 0]]), torch.ones(2, 3, dtype=torch.long), (3, 1), (0, 1))
    assert padded.places.tolist() == [0, 1, 2]
    assert padded.counts(padded.real) == [3, 1]


def test_a_packed_plan_keeps_its_budget_and_has_enough_rows_for_equal_bits() -> None:
    sizes = [3, 0, 7, 45, 2, 7, 30]
    batches = plan_packed([tokens(size) for size in sizes], budget=40)
    assert batches == [[3], [6, 2], [5, 0, 4, 5, 0, 4]]
    assert all(sum(sizes[i] for i in batch) >= 16 for batch in batches)


@given(st.lists(st.integers(0, 512), max_size=60), st.integers(2, 5))
def test_batches_side_by_side_hold_each_text_and_are_alike(sizes: list[int], threads: int) -> None:
    batches = plan_beside([tokens(size) for size in sizes], threads)
    assert sorted({i for batch in batches for i in batch}) == [i for i, size in enumerate(sizes) if size]
    held = [sum(sizes[i] for i in set(batch)) for batch in batches]
    assert all(size <= 1152 or len(set(batch)) == 1 for size, batch in zip(held, batches, strict=True))
    assert max(held, default=0) - min(held, default=0) <= max(sizes, default=0) or len(held) < threads
    assert all(sum(sizes[i] for i in batch) >= 16 for batch in batches)


def test_texts_are_packed_equal_or_padded(joint: Joint) -> None:
    texts, style, cpu = [tokens(size) for size in (30, 20, 30)], TextFormat(64), torch.device("cpu")
    found = {
        (packs, alike): [one.lengths for one in batched(texts, joint.tokenizer, style, cpu, packs, alike)]
        for packs in (True, False)
        for alike in (True, False)
    }
    packed, equal, padded = [(30, 30, 20)], [(30, 30), (20,)], [(30, 30, 20)]
    assert found == {(True, True): packed, (True, False): packed, (False, True): equal, (False, False): padded}


def test_filled_batches_are_of_few_sizes_and_their_own_texts_come_last() -> None:
    assert len({filled(count) for count in range(16, 1025)}) == 40
    texts = [Tokens((n,) * n, ("a",) * n, n) for n in (9, 8, 1)]
    found, positions = fill(texts, [5, 0, 3])
    assert sum(map(len, found)) == 32
    assert found[-3:] == texts
    assert positions == [5, 0, 5, 0, 3]
    assert [one.ids for one in found[:2]] == [(9,) * 9, (8,) * 5]
    assert fill([tokens(32)], [4]) == ([tokens(32)], [4])


def test_a_filled_batch_gives_the_bits_of_another(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(joint).to(torch.bfloat16)
    texts = ["brain cell", "index token brain cell " * 3, "", "brain"]
    seen: list[int] = []
    hidden_states = model.runtime.hidden_states
    monkeypatch.setattr(
        model.runtime, "hidden_states", lambda batch: seen.append(len(batch.input_ids)) or hidden_states(batch)
    )
    found = model.encode(texts, "document")
    monkeypatch.setattr(base, "batched", lambda *given: batched(*given[:-1]))
    plain = model.encode(texts, "document")
    assert seen[0] % 16 == 0 != seen[1] % 16
    for ours, own in zip(found, plain, strict=True):
        assert ours.weights.ids.tolist() == own.weights.ids.tolist()
        assert ours.weights.weights.tobytes() == own.weights.weights.tobytes()
        assert ours.embeddings is not None
        assert own.embeddings is not None
        assert ours.embeddings.vectors.tobytes() == own.embeddings.vectors.tobytes()
