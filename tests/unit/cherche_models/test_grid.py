from __future__ import annotations

import struct

import numpy as np
import pytest

from cherche_models import grid


def test_codes_are_the_upper_bits_of_ieee_754():
    for value in (1.0, 0.5, 3.140625, 64.0, 1e-30, 1e30):
        (bits,) = struct.unpack(">I", struct.pack(">f", float(grid.round_to_grid(np.float32([value]))[0])))
        assert grid.encode(np.float32([value])).tolist() == [bits >> 15]
        assert bits & 0x7FFF == 0


def test_rounds_to_nearest_and_ties_to_even():
    step = 2.0**-8
    weights = np.float32([1 + 0.49 * step, 1 + 0.51 * step, 1 + 0.5 * step, 1 + 1.5 * step])
    assert grid.round_to_grid(weights).tolist() == [1.0, 1 + step, 1.0, 1 + 2 * step]


def test_the_largest_number_stays_finite():
    assert grid.encode(np.float32([np.finfo(np.float32).max])).tolist() == [0xFEFF]
    assert np.isfinite(grid.decode(np.uint16([0xFEFF]))).all()


def test_the_smallest_normal_number_is_kept():
    tiny = np.finfo(np.float32).tiny
    assert grid.round_to_grid(np.float32([tiny])).tolist() == [float(tiny)]


@pytest.mark.parametrize("weight", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 1e-40])
def test_what_an_engine_rejects_is_refused(weight):
    weights = np.array([1.0, weight], np.float32)
    assert grid.storable(weights).tolist() == [True, False]
    with pytest.raises(ValueError, match="storable"):
        grid.encode(weights)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_shapes_are_kept(shape):
    weights = np.ones(shape, np.float32)
    assert grid.encode(weights).shape == shape
    assert grid.round_to_grid(weights).shape == shape


def test_memory_order_does_not_matter():
    weights = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(grid.encode(weights.T), grid.encode(weights).T)
