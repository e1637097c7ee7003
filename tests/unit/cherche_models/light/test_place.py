"""Which device and type a model is read for, without asking torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models.errors import Unreadable
from cherche_models.light import place
from cherche_models.runtime import timings


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "nonsense"])
def test_a_device_that_is_named_is_torchs(device: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=device):
        place.check(device, tmp_path)


@pytest.mark.parametrize("name", ["nvidiactl", "kfd", "dxg"])
def test_an_accelerator_is_torchs_unless_the_cpu_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    place.check(None, tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / name).touch()
    with pytest.raises(Unreadable, match="accelerator"):
        place.check(None, tmp_path)
    place.check("cpu", tmp_path)
    monkeypatch.setattr(place, "torch_release", lambda: "")  # nothing could use it
    place.check(None, tmp_path)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [({"fp32": 2.0, "bf16": 1.0}, "bf16"), ({"fp32": 1.0, "bf16": 1.0}, "fp32"), (None, "fp32")],
)
def test_the_type_is_the_one_that_torch_was_measured_to_multiply_faster(
    measured: dict[str, float] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "torch_release", lambda: "2.9.0")
    monkeypatch.setattr(timings, "kept", lambda release, hidden: measured if release == "2.9.0" else {})
    found, reason = place.dtype(None, 128)
    assert found == expected
    assert ("as measured" if measured else "not measured") in reason


def test_without_torch_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "torch_release", lambda: "")
    assert place.dtype(None, 128)[0] == "fp32"


def test_a_type_that_is_named_has_no_reason() -> None:
    assert [place.dtype(name, 128) for name in ("bfloat16", "float32")] == [("bf16", ""), ("fp32", "")]
    with pytest.raises(Unreadable, match="float16"):
        place.dtype("float16", 128)
