"""Which type the CPU multiplies faster: what is chosen, what is kept, what is measured again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from cherche_models.runtime import timings
from cherche_models.runtime.calibration import choice, choose, measure
from cherche_models.runtime.timings import Timings


class Measured:
    """Timings by width, and how often they were asked for."""

    def __init__(self, fp32: float, bf16: float) -> None:
        self.timings = {"fp32": fp32, "bf16": bf16}
        self.asked: list[int] = []

    def __call__(self, hidden: int) -> Timings:
        self.asked.append(hidden)
        return self.timings


@pytest.mark.parametrize(
    ("fp32", "bf16", "expected"),
    [
        (1.0, 0.45, torch.bfloat16),  # AVX512_BF16 of Zen 4
        (1.0, 1.85, torch.float32),  # AVX512_BF16 of a server that splits it
        (1.0, 12.0, torch.float32),  # emulated
        (1.0, 0.95, torch.float32),  # not worth 16 bits
        (1.0, 0.9, torch.bfloat16),
    ],
)
def test_the_faster_type_is_chosen(fp32: float, bf16: float, expected: torch.dtype) -> None:
    found = choice({"fp32": fp32, "bf16": bf16})
    assert found.dtype is expected
    assert f"{fp32 / bf16:.2f} times as fast" in found.reason


def test_a_cpu_is_measured_once_for_each_width(tmp_path: Path) -> None:
    file, measured = tmp_path / "new" / "cpu.json", Measured(2.0, 1.0)
    for width in (384, 768, 384):
        assert choose(width, file=file, measured=measured).dtype is torch.bfloat16
    assert measured.asked == [384, 768]
    assert choose(384, file=file, measured=Measured(1.0, 2.0)).dtype is torch.bfloat16
    assert [path.name for path in file.parent.iterdir()] == ["cpu.json"]


def test_models_that_load_at_once_wait_for_one_measurement(tmp_path: Path) -> None:
    measured = Measured(2.0, 1.0)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: choose(file=tmp_path / "cpu.json", measured=measured), range(16)))
    assert {one.dtype for one in found} == {torch.bfloat16}
    assert measured.asked == [384]


@pytest.mark.parametrize("changed", ["cpu", "libraries"])
def test_another_machine_or_library_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    file = tmp_path / "cpu.json"
    choose(file=file, measured=Measured(2.0, 1.0))
    if changed == "cpu":
        monkeypatch.setattr(timings, "cpu", lambda: "another")
    else:
        monkeypatch.setattr(torch.__config__, "show", lambda: "built otherwise")
    assert choose(file=file, measured=Measured(1.0, 2.0)).dtype is torch.float32
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "other", "zero", "text", "nan"])
def test_a_damaged_file_is_written_anew(tmp_path: Path, damage: str) -> None:
    file, measured = tmp_path / "cpu.json", Measured(2.0, 1.0)
    choose(file=file, measured=measured)
    [key] = json.loads(file.read_text())
    entries = {"other": {"fp32": 1.0}, "zero": {"fp32": 1.0, "bf16": 0.0}, "text": {"fp32": "1", "bf16": "2"}}
    broken = f'{{"{key}": {{"fp32": 1.0, "bf16": NaN}}}}' if damage == "nan" else damage
    file.write_text(json.dumps({key: entries[damage]}) if damage in entries else broken)
    assert choose(file=file, measured=measured).dtype is torch.bfloat16
    assert json.loads(file.read_text()) == {key: measured.timings}
    assert len(measured.asked) == 2


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    measured = Measured(2.0, 1.0)
    for _ in range(2):
        assert choose(file=tmp_path / "file" / "cpu.json", measured=measured).dtype is torch.bfloat16
    assert len(measured.asked) == 2


def test_the_best_round_of_each_type_counts() -> None:
    # A clock that is read before and after each type's turn: bf16 is disturbed in every round but the third.
    ends = [1.0, 9.0, 1.0, 9.0, 1.0, 0.5, 2.0, 9.0, 1.5, 9.0]
    ticks = iter([tick for seconds in ends for tick in (0.0, seconds)])
    assert measure(8, clock=lambda: next(ticks)) == {"fp32": 1.0, "bf16": 0.5}


def test_a_real_measurement_is_short_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    found = measure()
    assert torch.get_num_threads() == before
    assert set(found) == {"fp32", "bf16"}
    assert all(0 < seconds < 5 for seconds in found.values())
