from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cherche_models.prune import Prune
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, overloaded
from sidecar.pipeline.encode import (
    DocumentEncoder,
    NeuralPart,
    encode_documents,
    name_of,
    names_of,
    share_tokens,
    storable_weights,
    tokenize_document,
)
from sidecar.testing import FakeModel
from sidecar.values.index import TextField

TEN = "a b c d e f g h i j"


async def shared(encoder: Any, texts: list[str], shares: list[float], length: int) -> list[str]:
    fields = [TextField(str(i), share) for i, share in enumerate(shares)]
    tokens = await share_tokens(encoder, texts, fields, length)
    assert len(tokens.ids) == len(tokens.texts) <= max(length, 2)
    assert (tokens.texts[0], tokens.texts[-1]) == ("[CLS]", "[SEP]")
    return list(tokens.texts[1:-1])


async def test_without_a_cut_the_tokens_are_those_of_the_joined_text(world: Any) -> None:
    fields = [TextField("title", 0.5), TextField("text")]
    [joined] = world.encoder.model.tokenize(["one two three four"], "document")
    assert await share_tokens(world.encoder, ["one two", "three four"], fields, 128) == joined
    assert await share_tokens(world.encoder, ["one two three four", ""], fields, 128) == joined


async def test_a_field_is_cut_to_its_share(world: Any) -> None:
    assert await shared(world.encoder, ["a b c d e", TEN], [0.2, 0], 12) == [*"ab", *"abcdefgh"]
    assert await shared(world.encoder, [TEN, "x y"], [0.5, 0.5], 12) == [*"abcde", "x", "y"]


async def test_what_a_short_field_leaves_over_goes_to_the_field_without_a_share(world: Any) -> None:
    assert await shared(world.encoder, ["a", TEN], [0.5, 0], 12) == ["a", *"abcdefghi"]


async def test_a_cut_is_reported_with_the_full_length(world: Any) -> None:
    fields = [TextField("title", 0.2), TextField("text")]
    tokens = await share_tokens(world.encoder, ["a b c d e", TEN], fields, 12)
    assert (len(tokens), tokens.total, tokens.truncated) == (12, 17, True)


@pytest.mark.parametrize("texts", [["", ""], ["a", ""], ["", "a"]])
async def test_empty_fields_take_no_tokens(world: Any, texts: list[str]) -> None:
    assert await shared(world.encoder, texts, [0.5, 0], 12) == [text for text in texts if text]


async def test_no_room_is_no_tokens(world: Any) -> None:
    assert await shared(world.encoder, ["a", TEN], [0.5, 0], 1) == []


async def test_a_text_that_cannot_be_read_costs_only_itself(world: Any) -> None:
    meta = world.set_up(fields=(TextField("title", 0.5), TextField("text")))
    texts = [["a", "b"], ["unreadable", "b"], ["c", "d"]]
    one, two, three = await encode_documents(world.encoder, texts, meta, world.context, lane="ingest")
    assert isinstance(two, ChercheError)
    assert not isinstance(one, ChercheError)
    assert not isinstance(three, ChercheError)
    assert (one.tokens.texts[1:-1], three.tokens.texts[1:-1]) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_explain_sees_the_tokens_that_were_encoded(world: Any, share: float) -> None:
    meta = world.set_up(fields=(TextField("title", share), TextField("text")), max_length=9)
    texts = ["a b c d e", TEN]
    [encoded] = await encode_documents(world.encoder, [texts], meta, world.context, lane="ingest")
    assert not isinstance(encoded, ChercheError)
    assert await tokenize_document(world.encoder, texts, meta) == encoded.tokens


async def test_the_index_length_bounds_both_models(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False, max_length=10))
    meta = world.set_up(reranker="late", max_length=20, chunks=1)
    encoder = DocumentEncoder.of(meta, world.encoders)
    [part] = await encoder.encode([["", " ".join("w" * 30)]], world.context, lane="ingest")
    assert isinstance(part, NeuralPart)
    assert (part.tokens, part.truncated) == (20, True)


async def test_one_model_that_refuses_ends_the_other(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False))
    meta = world.set_up(reranker="late")
    world.encoders.encoders[1].refusals = [ChercheError(Code.UNAVAILABLE, "gone")]
    with pytest.raises(ChercheError, match="gone"):
        await DocumentEncoder.of(meta, world.encoders).encode([["", "a"]], world.context, lane="ingest")


async def test_of_two_models_only_the_overloaded_one_is_asked_again(make_world: Callable[..., Any]) -> None:
    async def sleep(seconds: float) -> None:
        return None

    world = make_world(FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False))
    meta = world.set_up(reranker="late")
    sparse, late = world.encoders.encoders
    late.refusals = [overloaded("full", 1.0)]
    world = world.with_context(sleep=sleep)
    await DocumentEncoder.of(meta, world.encoders).encode([["", "a"]], world.context, lane="ingest")
    assert sparse.calls == late.calls == [("document", 1)]


async def test_documents_are_pruned_as_the_index_says(world: Any) -> None:
    meta = world.set_up(prune="top_k:2")
    encoder = DocumentEncoder.of(meta, world.encoders)
    [part] = await encoder.encode([["", "a b b c c c"]], world.context, lane="ingest")
    assert isinstance(part, NeuralPart)
    assert set(part.weights.ids.tolist()) == {world.encoder.model.token_id(word) for word in "bc"}
    assert part.codes is not None


def test_weights_that_no_engine_stores_are_dropped() -> None:
    weights = TermWeights.from_pairs([(1, 1.0), (2, 0.0), (3, -1.0), (4, 1e-40), (5, 0.1)])
    assert dict(storable_weights(weights, Prune()).items()) == {1: 1.0, 5: 0.10009765625}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_stores_nothing(value: float) -> None:
    with pytest.raises(ValueError, match="nothing was stored"):
        storable_weights(TermWeights.from_pairs([(1, 1.0), (2, value)]), Prune())


def test_one_name_and_all_names_agree() -> None:
    vocabulary = ("a", ".", "##s", "50%")
    for how in ("escaped", "id"):
        assert names_of(vocabulary, how) == tuple(name_of(vocabulary, i, how) for i in range(4))
        # The next feed must not keep the event loop for as long as the first.
        assert names_of(vocabulary, how) is names_of((*vocabulary,), how)
    with pytest.raises(ChercheError, match="unknown to this release"):
        names_of(vocabulary, "later")
