from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cherche_models import quantized

MATRICES = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-(2.0**60), 2.0**60, width=32)
)


@given(MATRICES)
def test_no_weight_is_off_by_more_than_half_a_step_of_its_row(matrix):
    integers, scales = quantized.quantize(torch.from_numpy(matrix))
    assert integers.abs().max() <= 127
    assert bool((scales > 0).all())
    step = scales.double()[:, None]
    off = (integers.double() * step - torch.from_numpy(matrix).double()).abs()
    # float32 divides and multiplies by the scale, at a relative error of 2⁻²⁴ each of up to 127 steps.
    assert bool((off <= step * (0.5 + 127 * 2.0**-23)).all())


@given(MATRICES)
def test_quantizing_twice_changes_nothing_more(matrix):
    once = quantized.dequantize(*quantized.quantize(torch.from_numpy(matrix)))
    twice = quantized.dequantize(*quantized.quantize(once))
    assert torch.allclose(once, twice, rtol=2e-6, atol=0)
