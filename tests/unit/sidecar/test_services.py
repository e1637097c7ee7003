from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sidecar.config import Limits, Metrics, Settings, Tls
from sidecar.errors import ChercheError, Code, invalid
from sidecar.models.registry import Registry
from sidecar.pipeline import Context, PageSigner
from sidecar.services import (
    MODEL,
    RERANKER,
    SEARCH,
    SERVICES,
    Services,
    check_exposure,
    deadline_exceeded,
    defect,
    serving,
    unauthenticated,
)
from sidecar.testing import FakeModel
from tests.unit.sidecar.conftest import FakeEncoders, FakeEngine


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="0.0.0.0"),
        Settings(host="0.0.0.0", token=SecretStr("t")),
        Settings(host="example.org", tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(tls=Tls(cert=Path("c"))),
        Settings(tls=Tls(client_ca=Path("a"))),
    ],
)
def test_exposure_needs_protection(settings: Settings) -> None:
    with pytest.raises(ChercheError) as caught:
        check_exposure(settings)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "--tls-cert" in caught.value.next_step


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(host="::1"),
        Settings(host="0.0.0.0", insecure=True),
        Settings(host="0.0.0.0", token=SecretStr("t"), tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(host="0.0.0.0", tls=Tls(cert=Path("c"), key=Path("k"), client_ca=Path("a"))),
    ],
)
def test_protected_or_local_is_fine(settings: Settings) -> None:
    check_exposure(settings)


@pytest.mark.parametrize(
    ("metrics", "insecure", "is_refused"),
    [
        (Metrics(host="0.0.0.0"), False, True),
        (Metrics(host="metrics.example.org"), False, True),
        (Metrics(host="0.0.0.0", open=True), False, False),
        (Metrics(host="0.0.0.0"), True, False),
        (Metrics(host="0.0.0.0", port=-1), False, False),
        (Metrics(), False, False),
    ],
)
def test_metrics_beyond_loopback_need_permission(metrics: Metrics, insecure: bool, is_refused: bool) -> None:
    settings = Settings(metrics=metrics, insecure=insecure)
    if not is_refused:
        check_exposure(settings)
        return
    with pytest.raises(ChercheError, match="metrics on") as refused:
        check_exposure(settings)
    assert "CHERCHE_METRICS__OPEN" in refused.value.next_step


@pytest.fixture
def services() -> Services:
    context = Context(FakeEngine(), FakeEncoders([]), PageSigner(b"k" * 16))
    registry = Registry(lambda name, source: FakeModel(name), "m")
    return Services(context, registry, Limits(items=3, document_bytes=10))


def test_too_many_items_are_refused_with_the_limit(services: Services) -> None:
    services.check_items(3)
    with pytest.raises(ChercheError, match="4 items in one call, the limit is 3"):
        services.check_items(4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(" \n", "text 'a' is empty"), ("x" * 11, "text 'a' has 11 bytes, the limit is 10"), ("\ud800" * 4, "12 bytes")],
)
def test_texts_that_cannot_be_encoded_are_named(services: Services, text: str, reason: str) -> None:
    services.check_text("text 'a'", "x" * 10)
    with pytest.raises(ChercheError, match=reason) as caught:
        services.check_text("text 'a'", text)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_items_are_counted_by_outcome(services: Services) -> None:
    services.count("Feed", [None, invalid("x"), None], truncated=1)
    value = services.metrics.registry.get_sample_value
    found = [value("cherche_items_total", {"method": "Feed", "outcome": outcome}) for outcome in ("ok", "failed")]
    assert found == [2, 1]
    assert value("cherche_truncated_texts_total", {"method": "Feed"}) == 1


async def test_services_answer_once_the_first_models_are_decided() -> None:
    slow = FakeModel("second")
    slow.gate.clear()
    registry = Registry(lambda name, source: slow if name == "second" else FakeModel(name), "m")
    assert serving(registry) == {**dict.fromkeys(("", *SERVICES), False), MODEL: True}
    loading = registry.start("second", "second")
    await registry.load("m", "m")
    assert serving(registry) == {**dict.fromkeys(("", *SERVICES), False), MODEL: True}
    slow.gate.set()
    await loading
    assert serving(registry) == dict.fromkeys(("", *SERVICES), True)
    await registry.aclose()


async def test_a_model_that_is_loaded_later_takes_nothing_out_of_service(services: Services) -> None:
    registry = services.registry
    await registry.load("m", "m")
    loading = registry.start("second", "second")
    assert serving(registry)[SEARCH]
    await loading
    assert serving(registry)[SEARCH]
    registry.leave()
    assert not any(serving(registry).values())
    await registry.aclose()


async def test_without_a_late_interaction_head_nothing_reranks() -> None:
    registry = Registry(lambda name, source: FakeModel(name, late_interaction=False), "m")
    await registry.load("m", "m")
    assert serving(registry)[SEARCH]
    assert not serving(registry)[RERANKER]
    await registry.aclose()


def test_errors_of_both_edges_name_the_next_step_and_quote_no_exception() -> None:
    error = unauthenticated()
    assert (error.code, error.reason) == (Code.UNAUTHENTICATED, "missing or invalid token")
    assert "CHERCHE_TOKEN" in error.next_step
    assert "authorization: Bearer TOKEN" in error.next_step
    late = deadline_exceeded("IndexService/GetIndex")
    assert (late.code, late.reason) == (
        Code.DEADLINE_EXCEEDED,
        "IndexService/GetIndex took longer than the deadline",
    )
    broken = defect("/v1/rerank", ValueError("a caller's text"))
    assert (broken.code, broken.reason) == (Code.INTERNAL, "/v1/rerank failed: unexpected ValueError")
    assert "a caller's text" not in str(broken)
