from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code, overloaded
from sidecar.maintenance.setup import missing, report, resolve, setup
from sidecar.testing import FakeModel
from sidecar.values.chunks import Chunks
from sidecar.values.documents import StoredDocument
from sidecar.values.index import (
    ANOTHER_INDEX,
    Fingerprint,
    Gaps,
    IndexGroup,
    IndexMeta,
    IndexOptions,
    TextField,
)

TITLE, TEXT = TextField("title"), TextField("text")


def put(world: Any, *sources: dict[str, Any], hash: str = "") -> None:
    state = "ok" if hash else "pending"
    documents = [StoredDocument(str(i), source, hash, state) for i, source in enumerate(sources)]
    world.engine.documents |= {document.id: document for document in documents}
    world.engine.metas.setdefault(world.index, None)


async def run(world: Any, dry_run: bool = False, **options: Any) -> Any:
    return await setup(world.index, IndexOptions(**options), world.context, dry_run=dry_run)


async def refused(world: Any, **options: Any) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        await run(world, **options)
    assert caught.value.next_step
    assert not world.engine.calls["setup"]
    return caught.value


async def test_defaults_of_a_new_index_are_the_models(make_world: Callable[..., Any]) -> None:
    model = FakeModel()
    model._info = replace(model.info, sparse_boost=0.4, rerank_weight=0.3)
    world = make_world(model)
    result = await run(world)
    meta = world.engine.metas[world.index]
    assert meta == IndexMeta(
        model="fake",
        fingerprint=result.fingerprint,
        fields=(TITLE, TEXT),
        max_length=128,
        codec="int8",
        sparse_boost=0.4,
        rerank_weight=0.3,
        rerank_window=100,
        chunks=Chunks(16, 16),
    )
    assert meta.fingerprint.sparse
    assert meta.fingerprint.codes
    assert IndexMeta.from_json(meta.to_json()) == meta
    assert (result.applied, result.projected_bytes, result.warnings) == (True, 0, ())


async def test_an_existing_index_is_set_up_on_the_default_fields_it_has(world: Any) -> None:
    put(world, {"text": "a b"}, {"text": "c", "year": 1})
    await run(world)
    assert world.engine.metas[world.index].fields == (TEXT,)


async def test_a_dry_run_writes_nothing_and_says_the_same(world: Any) -> None:
    put(world, {"text": "a b"}, {"text": "c d e"}, {"text": " "})
    planned = await run(world, dry_run=True)
    assert not planned.applied
    assert not world.engine.calls["setup"]
    assert world.engine.metas == {world.index: None}
    done = await run(world)
    assert (planned.fingerprint, planned.projected_bytes) == (done.fingerprint, done.projected_bytes)
    assert planned.projected_bytes > 0


async def test_the_projection_scales_the_sample_to_all_documents(world: Any) -> None:
    put(world, *({"text": "two words"} for _ in range(200)))
    result = await run(world, dry_run=True, codec="none", fields=(TEXT,))
    packed = 8 + 2 * 2  # header and two 16-bit weights, then the ids
    assert 200 * (2 * 4 + packed + 2) <= result.projected_bytes <= 200 * (2 * 4 + packed + 6)


async def test_documents_without_text_are_told(world: Any) -> None:
    put(world, {"text": "a"}, {"text": ""}, {"body": "b"}, {"body": "b"})
    assert (await run(world)).warnings == ("3 of 4 sampled documents have no text to encode",)
    put(world, *({"body": "b"} for _ in range(4)))
    [warning] = (await run(world)).warnings
    assert "give the fields with --fields" in warning


async def test_an_estimate_never_fails_setup(world: Any) -> None:
    async def sleep(seconds: float) -> None:
        return None

    put(world, {"text": "a"})
    world.encoder.refusals = [overloaded("full", 60.0)] * 100
    result = await run(world.with_context(sleep=sleep))
    assert result.applied
    assert "the size could not be projected: full" in result.warnings[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"codec": "int4"}, "codec 'int4' is not one of int8"),
        ({"prune": "top"}, "prune 'top' is not one of"),
        ({"prune": "max_ratio:2"}, "the value must be in"),
        ({"max_length": 129}, "max_length is 129, model 'fake' reads 8 to 128 tokens"),
        ({"max_length": 2}, "max_length is 2"),
        ({"max_length": -1}, "max_length is -1"),
        ({"rerank_window": -1}, "rerank_window is -1"),
        ({"rerank_window": 10_001}, "rerank_window is 10001"),
        ({"rerank_weight": 1.5}, "rerank_weight is 1.5"),
        ({"rerank_weight": float("nan")}, "rerank_weight is nan"),
        ({"sparse_boost": 0.0}, "sparse_boost is 0.0"),
        ({"sparse_boost": float("inf")}, "sparse_boost is inf"),
        ({"fields": (TITLE, TITLE)}, "field 'title' is named twice"),
        ({"fields": (TextField(""),)}, "field '' cannot be encoded"),
        ({"fields": (TextField("cherche_weights"),)}, "cannot be encoded"),
        ({"fields": (TextField("_source"),)}, "cannot be encoded"),
        ({"fields": (TextField("a", token_share=1.5),)}, "the token share of field 'a' is 1.5"),
        ({"fields": (TextField("a", boost=0.0),)}, "the boost of field 'a' is 0.0"),
    ],
)
async def test_options_that_make_no_sense_are_refused(world: Any, options: dict[str, Any], reason: str) -> None:
    error = await refused(world, **options)
    assert error.code is Code.INVALID_ARGUMENT
    assert reason in error.reason


async def test_a_model_must_have_the_head_it_is_named_for(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False))
    assert "no sparse head" in (await refused(world, model="late")).reason
    assert "no late-interaction head" in (await refused(world, reranker="sparse")).reason
    with pytest.raises(ChercheError, match="'nobody' is not served"):
        await run(world, model="nobody")


async def test_a_model_without_a_reranker_stores_no_codes(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False))
    await run(world)
    meta = world.engine.metas[world.index]
    assert (meta.codec, meta.fingerprint.codes, meta.reranker) == ("none", "", "")


async def test_a_vocabulary_whose_tokens_share_a_name_is_named_by_id(make_world: Callable[..., Any]) -> None:
    model = FakeModel()
    model._info = replace(model.info, vocabulary=("twice", "twice", *model.info.vocabulary[2:]))
    world = make_world(model)
    await run(world)
    assert world.engine.metas[world.index].naming == "id"


async def test_a_second_setup_keeps_what_is_not_said(world: Any) -> None:
    body = (TextField("body", token_share=0.5),)
    await run(world, fields=body, max_length=64, sparse_boost=0.25, rerank_weight=0.75, rerank_window=20)
    before = world.engine.metas[world.index]
    await run(world)
    assert world.engine.metas[world.index] == before
    await run(world, rerank_window=30, first_terms=12)
    assert world.engine.metas[world.index] == replace(before, rerank_window=30, first_terms=12)
    await run(world, rerank_weight=0.5)
    assert world.engine.metas[world.index] == replace(before, rerank_window=30, rerank_weight=0.5, first_terms=12)
    await run(world, first_terms=0, rerank_weight=0.75)
    assert world.engine.metas[world.index] == replace(before, rerank_window=30)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("change", [{"model": "other"}, {"prune": "top_k:3"}, {"max_length": 64}])
async def test_encoded_documents_keep_their_model(
    make_world: Callable[..., Any], dry_run: bool, change: dict[str, Any]
) -> None:
    world = make_world(FakeModel(), FakeModel("other"))
    await run(world)
    before = world.engine.metas[world.index]
    put(world, {"text": "a"}, hash="h")
    with pytest.raises(ChercheError, match="holds 1 documents whose weights model 'fake' made") as caught:
        await run(world, dry_run=dry_run, **change)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "cherche remove articles" in caught.value.next_step
    assert world.engine.metas[world.index] == before


async def test_an_index_without_encoded_documents_may_change_its_model(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(), FakeModel("other"))
    await run(world)
    put(world, {"text": "a"})
    await run(world, model="other")
    assert world.engine.metas[world.index].model == "other"


async def test_a_reranker_may_be_added_and_not_be_exchanged(make_world: Callable[..., Any]) -> None:
    late, later = FakeModel("late", sparse=False), FakeModel("later", sparse=False)
    world = make_world(FakeModel("sparse", late_interaction=False), late, later)
    await run(world)
    put(world, {"text": "a"}, hash="h")
    added = await run(world, reranker="late")
    assert added.warnings[0] == "1 documents have no codes until they are fed again"
    with pytest.raises(ChercheError, match="whose codes model 'late' made"):
        await run(world, reranker="later")
    with pytest.raises(ChercheError, match="whose codes model 'late' made"):
        await run(world, codec="none")


async def test_other_fields_wait_for_a_feed(world: Any) -> None:
    await run(world)
    put(world, {"text": "a"}, hash="h")
    result = await run(world, fields=(TEXT,))
    assert result.warnings[0] == "1 documents have the weights of the fields before until they are fed again"


async def test_an_engine_that_does_not_answer_is_no_new_index(world: Any) -> None:
    world.engine.failures["sample"] = ChercheError(Code.UNAVAILABLE, "down")
    with pytest.raises(ChercheError, match="down"):
        await run(world)


async def test_a_report_names_what_should_be_mended(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel())
    put(world, {"text": "a"}, {"text": "b"})
    found = await report(world.index, world.context)
    assert (found.meta, found.served) == (None, False)
    assert "cherche setup articles" in found.findings[0]

    await run(world)
    world.engine.missing = Gaps(untouched=4, waiting=3, lost=2, without_codes=1)
    world.engine.dangers = ("it loses copies — set up another",)
    found = await report(world.index, world.context)
    assert found.served
    step = " — run: cherche backfill articles"
    assert found.findings == (
        "it loses copies — set up another",
        f"3 documents wait for weights: no model answered in time, or a bulk updated a part of them{step}",
        f"2 documents lost their weights to a write that no cherche_encode pipeline saw{step}",
        f"1 documents have weights and no token codes{step}",
        f"4 documents were never encoded{step}",
    )

    world.engine.metas[world.index] = replace(found.meta, fingerprint=Fingerprint("f" * 64, "c" * 64))
    found = await report(world.index, world.context)
    assert not found.served
    assert "cherche serve --model fake=PATH" in found.findings[0]


@pytest.mark.parametrize(
    ("lacks", "step"),
    [
        ({"lost": ("raw",)}, "feed them whole with cherche feed: _source leaves raw out, so no backfill writes them"),
        ({"hidden": ("cherche_digest",)}, ANOTHER_INDEX),
    ],
)
def test_no_backfill_is_proposed_where_it_is_refused(lacks: dict[str, Any], step: str) -> None:
    found = missing("a", Gaps(untouched=4, exposed=1), IndexGroup(("a",), None, **lacks))
    assert found[0] == f"4 documents were never encoded — {step}"
    assert found[1].endswith(f"run: cherche setup a, then: {step.removeprefix('run: ')}")


CHANGES = {
    "model": "other",
    "reranker": "other",
    "fields": (TextField("body"),),
    "max_length": 64,
    "chunks": 3,
    "chunk_overlap": 8,
    "chunk_pooling": "max",
    "prune": "top_k:4",
    "codec": "pool2+int8",
    "codes": "on-demand",
    "sparse_boost": 0.7,
    "rerank_weight": 0.1,
    "rerank_window": 50,
    "first_terms": 12,
    "weights": "seismic",
}


@pytest.mark.parametrize("name", [field.name for field in fields(IndexOptions)])
async def test_every_option_changes_the_settings_of_an_index(make_world: Callable[..., Any], name: str) -> None:
    """An option that setup accepts and drops would be a promise that nobody keeps."""
    beside = {"chunks": 3} if name in ("chunk_overlap", "chunk_pooling") else {}
    world = make_world(FakeModel(), FakeModel(name="other"))
    before = resolve(IndexOptions(**beside), world.context)
    assert resolve(IndexOptions(**beside, **{name: CHANGES[name]}), world.context) != before
