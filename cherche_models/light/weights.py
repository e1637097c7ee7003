"""Tensors of a checkpoint as arrays in which the kernel reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from cherche_models.errors import Unreadable
from cherche_models.kernel.short import TOKENS as _CHUNK
from cherche_models.types import Floats

FILE, INT8 = "model.safetensors", "model.int8.safetensors"
SCALE, INT8_FORMAT = ".int8_scale", "cherche-int8-1"
Weights = NDArray[np.float32] | NDArray[np.uint16]
"""float32, or the bits of bfloat16."""
_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I8": np.int8}


def read(folder: Path) -> dict[str, Floats]:
    """The tensors of a model's file by name, in float32; rows of integers are multiplied by their scales.

    Raises
    ------
    Unreadable
        If a file is missing or damaged, or holds what no float32 is.
    """
    path = folder / FILE
    if path.is_file():
        return {name: _floats(name, stored) for name, stored in _stored(path).items()}
    path = folder / INT8
    with _opened(path) as file:
        if (file.metadata() or {}).get("format") != INT8_FORMAT:
            raise Unreadable(f"{path.name} is of a format that is not known here")
    stored = _stored(path)
    scales = {
        name.removesuffix(SCALE): _floats(name, stored.pop(name)) for name in list(stored) if name.endswith(SCALE)
    }
    if set(scales) != {name for name, one in stored.items() if one["dtype"] == "I8"}:
        raise Unreadable(f"{path.name} has matrices without scales, or scales without a matrix")
    return {
        name: _scaled(name, one, scales[name]) if name in scales else _floats(name, one) for name, one in stored.items()
    }


def halved(array: Floats) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16 of finite numbers, ties to even, as torch rounds.

    >>> [hex(one) for one in halved(np.float32([1.0, 1.00390625, 1.01171875]))]
    ['0x3f80', '0x3f80', '0x3f82']
    """
    bits = array.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def widened(bits: Weights) -> Floats:
    """The float32 numbers of weights.

    >>> widened(np.uint16([0x3F80])).tolist()
    [1.0]
    """
    if bits.dtype == np.float32:
        return bits.view(np.float32)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def screen(weight: Floats, bias: Floats | None) -> tuple[NDArray[np.int8], Floats]:
    """Grid and table of `cherche_models.runtime.screen.Screen`: a bound of each term's logits in 8 bits.

    Parameters
    ----------
    weight : float32 array, shape (terms, width)
    bias : float32 array, shape (terms,), or None
    """
    grid, table = np.empty(weight.shape, np.int8), np.zeros((3, len(weight)), np.float32)
    for start in range(0, len(weight), _CHUNK):
        rows = slice(start, start + _CHUNK)
        exact = weight[rows]
        scale = np.abs(exact).max(axis=1) / np.float32(127)
        scale[scale <= 0] = 1
        rounded = np.rint(exact / scale[:, None])
        grid[rows] = rounded
        left = exact - rounded * scale[:, None]
        table[0, rows] = 0 if bias is None else -bias[rows]
        table[1, rows], table[2, rows] = (np.sqrt(np.einsum("ij,ij->i", one, one)) for one in (exact, left))
        table[:, rows] /= scale
    return grid, table


def _opened(path: Path) -> Any:  # noqa: ANN401  # safetensors' own
    try:
        return safe_open(path, framework="np")
    except (OSError, SafetensorError) as error:
        raise Unreadable(f"{path.name} cannot be read ({error})") from error


def _stored(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        return dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise Unreadable(f"{path.name} cannot be read ({error})") from error


def _array(name: str, stored: Mapping[str, Any]) -> NDArray[Any]:
    if stored["dtype"] not in _TYPES:
        raise Unreadable(f"{name} is of the type {stored['dtype']}")
    return np.frombuffer(stored["data"], _TYPES[stored["dtype"]]).reshape(stored["shape"])


def _floats(name: str, stored: Mapping[str, Any]) -> Floats:
    found = _array(name, stored)
    if found.dtype == np.int8:
        raise Unreadable(f"{name} is of integers without scales")
    exact = widened(found) if found.dtype == np.uint16 else found.astype(np.float32)
    if not bool(np.isfinite(exact).all()):
        raise Unreadable(f"{name} is not finite")
    return exact


def _scaled(name: str, stored: Mapping[str, Any], scales: Floats) -> Floats:
    integers = _array(name, stored)
    if integers.ndim != 2 or scales.shape != integers.shape[:1] or not bool((scales > 0).all()):
        raise Unreadable(f"{name} has no positive scale for each row")
    found = integers.astype(np.float32)
    found *= scales[:, None]
    return found
