"""What surrounds a recorded pass; the recording itself needs CUDA, see tests/gpu."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from cherche_models import hub
from cherche_models.backbone import Backbone
from cherche_models.runtime import graphs
from cherche_models.runtime.graphs import Graphs, Pass
from tests import checkpoints


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder: Path = checkpoints.masked_lm(tmp_path_factory.mktemp("graphs"))
    return hub.load(folder, device="cpu", dtype="fp32", architecture="splade").backbone


@pytest.fixture
def backbone(loaded: Backbone) -> Backbone:
    return copy.deepcopy(loaded)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100, 0, -1))
    monkeypatch.setattr(graphs, "_fastest", lambda run: (run(), float(next(times)))[1])


class Again:
    """Computes the pass anew from the memory that it was given, as a recorded graph does."""

    made: list[tuple[int, ...]]

    def __init__(self, run: Pass, ids: torch.Tensor, mask: torch.Tensor) -> None:
        self._pass: Callable[[], torch.Tensor] = lambda: run(ids, mask)
        self.output = torch.full_like(self._pass(), torch.nan)
        self.made.append(tuple(ids.shape))

    def replay(self) -> None:
        self.output.copy_(self._pass())


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> type[Again]:
    monkeypatch.setattr(Again, "made", [], raising=False)
    return Again


def batch(*sizes: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 20, (len(sizes), max(sizes)), generator=torch.Generator().manual_seed(sum(sizes)))
    mask = (torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]).long()
    return ids * mask, mask


def test_a_batch_has_the_hidden_states_that_it_has_without_a_graph(backbone: Backbone, record: type[Again]) -> None:
    small = Graphs(backbone, record)
    for sizes in ((5,), (9,), (17, 3, 8), (2, 2), (16,), (1, 1, 1, 1, 1)):
        ids, mask = batch(*sizes)
        found = small.hidden_states(ids, mask)
        assert found is not None
        assert found.shape[:2] == ids.shape
        torch.testing.assert_close(found[mask.bool()], backbone(ids, mask)[mask.bool()], rtol=1e-4, atol=1e-5)
    assert record.made == [(1, 16), (4, 32), (2, 16), (8, 16)]
    assert "times as fast" in small.reason


def test_it_is_measured_before_the_first_query(backbone: Backbone, record: type[Again]) -> None:
    small = Graphs(backbone, record)
    assert "of 1 x 16 tokens" in small.measured()
    assert small.measured() == small.reason
    assert record.made == [(1, 16)]


def test_what_was_given_stays(backbone: Backbone, record: type[Again]) -> None:
    small = Graphs(backbone, record)
    first = small.hidden_states(*batch(5))
    assert first is not None
    kept = first.clone()
    small.hidden_states(*batch(7))
    torch.testing.assert_close(first, kept, rtol=0, atol=0)


def test_other_weights_are_recorded_anew(backbone: Backbone, record: type[Again]) -> None:
    small = Graphs(backbone, record)
    small.hidden_states(*batch(5))
    backbone.to(torch.bfloat16)
    found = small.hidden_states(*batch(5))
    assert found is not None
    assert found.dtype is torch.bfloat16
    assert record.made == [(1, 16), (1, 16)]


@pytest.mark.parametrize("sizes", [(65,), (1,) * 9])
def test_large_batches_have_no_graph(backbone: Backbone, record: type[Again], sizes: tuple[int, ...]) -> None:
    assert Graphs(backbone, record).hidden_states(*batch(*sizes)) is None
    assert not record.made


def test_training_and_gradients_have_no_graph(backbone: Backbone, record: type[Again]) -> None:
    small = Graphs(backbone, record)
    with torch.inference_mode(mode=False):
        assert small.hidden_states(*batch(5)) is None
    backbone.train()
    assert small.hidden_states(*batch(5)) is None


def test_no_shape_is_longer_than_what_the_encoder_reads(backbone: Backbone, record: type[Again]) -> None:
    backbone.model.config.max_position_embeddings = 31
    small = Graphs(backbone, record)
    assert small.hidden_states(*batch(15)) is not None
    assert small.hidden_states(*batch(17)) is None


def test_a_graph_that_computes_something_else_is_not_used(backbone: Backbone, record: type[Again]) -> None:
    class Wrong(record):  # type: ignore[valid-type, misc]
        def replay(self) -> None:
            super().replay()
            self.output.mul_(1.01)

    small = Graphs(backbone, Wrong)
    assert small.hidden_states(*batch(5)) is None
    assert small.hidden_states(*batch(5)) is None
    assert record.made == [(1, 16)]
    assert "it differs by 1.0e-02" in small.reason


def test_a_graph_that_is_slower_is_not_used(
    backbone: Backbone, record: type[Again], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((1.0, 2.0))
    monkeypatch.setattr(graphs, "_fastest", lambda run: (run(), next(times))[1])
    small = Graphs(backbone, record)
    assert small.hidden_states(*batch(5)) is None
    assert small.reason.endswith("is 0.5 times as fast as launches")


def test_what_cannot_be_recorded_runs_without(backbone: Backbone) -> None:
    def refuse(run: Pass, ids: torch.Tensor, mask: torch.Tensor) -> Again:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    small = Graphs(backbone, refuse)
    assert small.hidden_states(*batch(5)) is None
    assert small.reason == "no CUDA graph of 1 x 16 tokens: operation not permitted when stream is capturing"
    assert small.hidden_states(*batch(17)) is None
    assert "1 x 16" in small.reason  # another shape was not tried


def test_a_replay_that_computes_nothing_is_not_used(backbone: Backbone, record: type[Again]) -> None:
    """CUDA records nothing of a pass that runs on another stream or device than the one that it records."""

    class Empty(record):  # type: ignore[valid-type, misc]
        def __init__(self, run: Pass, ids: torch.Tensor, mask: torch.Tensor) -> None:
            super().__init__(run, ids, mask)
            self.output = self._pass().clone()

        def replay(self) -> None:
            pass

    small = Graphs(backbone, Empty)
    for sizes in ((5,), (7,)):
        ids, mask = batch(*sizes)
        found = small.hidden_states(ids, mask)
        if found is not None:
            torch.testing.assert_close(found, backbone(ids, mask), rtol=1e-4, atol=1e-5)
    assert "it differs by" in small.reason


def test_buffers_that_moved_are_recorded_anew(backbone: Backbone, record: type[Again]) -> None:
    backbone.register_buffer("scale", torch.ones(3))
    small = Graphs(backbone, record)
    small.hidden_states(*batch(5))
    backbone.register_buffer("scale", torch.ones(3))
    small.hidden_states(*batch(5))
    assert record.made == [(1, 16), (1, 16)]


def test_a_pass_is_recorded_on_the_device_and_the_stream_that_it_was_warmed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, Any]] = []

    @contextmanager
    def entered(what: str, value: Any) -> Iterator[None]:
        said.append((what, value))
        yield
        said.append((f"after {what}", value))

    stream = MagicMock()
    monkeypatch.setattr(torch.cuda, "device", lambda device: entered("device", device))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", MagicMock())
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream=None, **given: entered("graph", stream))
    second: Any = SimpleNamespace(device=torch.device("cuda:1"))
    graphs.CudaGraph(lambda ids, mask: torch.ones(1), second, second)
    graph = [("graph", stream), ("after graph", stream)]
    assert said == [("device", second.device), *graph, ("after device", second.device)]


def test_autocast_has_no_graph(backbone: Backbone, record: type[Again]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Graphs(backbone, record).hidden_states(*batch(5)) is None
    assert not record.made
