from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cherche_models.types import Floats
from sidecar.errors import ChercheError, Code
from sidecar.models import memory
from sidecar.models.registry import Registry
from sidecar.protocols import Model
from sidecar.testing import FakeModel
from sidecar.values.model import Encoded, Kind, ModelState


def fake(name: str, source: str) -> Model:
    if source == "broken":
        raise FileNotFoundError("no such folder: broken")
    return FakeModel(name=source)


@asynccontextmanager
async def registry(loader: Callable[[str, str], Model] = fake) -> AsyncIterator[Registry]:
    running = Registry(loader, "a")
    try:
        yield running
    finally:
        await running.aclose(5)


def failure(code: Code, call: Callable[[], object]) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        call()
    assert caught.value.code is code
    return caught.value


async def test_a_model_is_listed_at_once_and_answers_when_warm() -> None:
    gate = threading.Event()
    made: list[FakeModel] = []

    def slow(name: str, source: str) -> Model:
        gate.wait()
        made.append(FakeModel(name=source))
        return made[0]

    async with registry(slow) as models:
        states: list[ModelState] = []
        models.on_change(lambda: states.append(models.get("a").state))
        models.start("a", "x")
        assert models.get("a").state is ModelState.LOADING
        assert models.ready() == ()
        failure(Code.UNAVAILABLE, lambda: models.named(""))
        gate.set()
        await models.settled()
        assert states == [ModelState.LOADING, ModelState.READY]
        assert models.named("") is models.named("a") is models.ready()[0]
        assert models.named("a").info.name == "a"
        assert len(made[0].batches) == 2
        [outcome] = await models.named("a").encode(["text"], "query", lane="query")
        assert isinstance(outcome, Encoded)


async def test_the_default_comes_first() -> None:
    async with registry() as models:
        for name in ("c", "a", "b"):
            models.start(name, name)
        await models.settled()
        assert [encoder.info.name for encoder in models.ready()] == ["a", "b", "c"]
        assert [model.name for model in models.list()] == ["a", "b", "c"]
        assert [model.is_default for model in models.list()] == [True, False, False]


async def test_a_broken_model_says_why_and_others_go_on() -> None:
    async with registry() as models:
        models.start("a", "a")
        with pytest.raises(ChercheError, match="no such folder: broken") as caught:
            await models.load("b", "broken")
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert models.get("b").state is ModelState.FAILED
        assert "no such folder" in failure(Code.FAILED_PRECONDITION, lambda: models.named("b")).reason
        await models.settled()
        assert models.named("a").info.sparse
        assert (await models.load("b", "b")).state is ModelState.READY


async def test_unknown_models_name_the_served_ones() -> None:
    async with registry() as models:
        await models.load("a", "a")
        assert "served: a" in failure(Code.NOT_FOUND, lambda: models.named("z")).reason


async def test_a_name_is_given_once() -> None:
    async with registry() as models:
        await models.load("a", "a")
        failure(Code.ALREADY_EXISTS, lambda: models.start("a", "b"))
        failure(Code.INVALID_ARGUMENT, lambda: models.start(" ", "b"))
        failure(Code.INVALID_ARGUMENT, lambda: models.start("b", ""))


async def test_memory_is_given_back_when_nothing_holds_an_unloaded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors: list[weakref.ref[Floats]] = []

    def loader(name: str, source: str) -> Model:
        model = FakeModel(name=source)
        vectors.append(weakref.ref(model._vectors))
        return model

    held: list[bool] = []
    monkeypatch.setattr(memory, "trim", lambda: held.append(vectors[-1]() is not None))
    async with registry(loader) as models:
        await models.load("a", "one")
        await models.load("b", "two")
        await models.named("b").encode(["text"], "document", lane="ingest")
        await models.unload("b")
        assert held[-1] is False


async def test_an_unloaded_model_is_gone() -> None:
    async with registry() as models:
        await models.load("a", "a")
        await models.load("b", "b")
        held = models.named("b")
        await models.unload("b")
        failure(Code.NOT_FOUND, lambda: models.get("b"))
        with pytest.raises(ChercheError, match="being stopped"):
            await held.encode(["text"], "query", lane="query")
        with pytest.raises(ChercheError, match="is the default"):
            await models.unload("a")


async def test_a_caller_that_leaves_does_not_stop_the_loading() -> None:
    gate = threading.Event()

    def slow(name: str, source: str) -> Model:
        gate.wait()
        return FakeModel()

    async with registry(slow) as models:
        waiting = asyncio.create_task(models.load("a", "x"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await models.settled()
        assert models.get("a").state is ModelState.READY


async def test_an_alias_answers_for_its_model_and_never_hides_one() -> None:
    models = Registry(fake, "a", aliases={"other": "a", "b": "a", "lost": "gone"})
    try:
        await models.load("a", "x")
        await models.load("b", "y")
        assert models.named("other") is models.named("a")
        assert models.named("b").info.name == "b"
        failure(Code.NOT_FOUND, lambda: models.named("lost"))
        assert "CHERCHE_ALIASES" in failure(Code.NOT_FOUND, lambda: models.named("nothing")).next_step
    finally:
        await models.aclose(5)


async def test_a_model_is_not_warmed_up_for_what_it_would_have_to_load() -> None:
    class Half(FakeModel):
        def prepare(self, kind: Kind) -> Callable[[], None] | None:
            return (lambda: None) if kind == "document" else None

    made = Half()
    async with registry(lambda name, source: made) as models:
        await models.load("a", "x")
        assert len(made.batches) == 1
