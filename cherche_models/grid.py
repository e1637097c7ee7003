"""The 9-bit grid of Lucene's FeatureField.

Lucene stores a feature's weight as ``floatToIntBits(w) >>> 15``: the exponent
and the top 8 bits of the mantissa, truncated. Weights that are rounded to this
grid beforehand are stored exactly, so the engine's score equals ours.
Source: ``org.apache.lucene.document.FeatureField`` (Lucene 10).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import Floats

Codes = NDArray[np.uint16]

_DROPPED_BITS = np.uint32(15)
_HALF = np.uint32((1 << 14) - 1)
_LARGEST_FINITE = np.uint32(0xFEFF)
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def encode(weights: Floats) -> Codes:
    """Round to nearest (ties to even) on the grid and return the 16-bit codes.

    The relative error is at most 2**-9, except within half a step of float32's maximum, where codes are clipped.

    Parameters
    ----------
    weights : float32 array, any shape
        Positive, finite and normal; see `storable`.

    Returns
    -------
    uint16 array of the same shape: 8 exponent bits, 8 mantissa bits.

    Raises
    ------
    ValueError
        If a weight cannot be stored (NaN, infinite, subnormal, zero or negative).

    >>> encode(np.array([1.0, 2.0], dtype=np.float32)).tolist()
    [32512, 32768]
    """
    weights = np.asarray(weights, dtype=np.float32, order="C")
    if not bool(np.all(storable(weights))):
        raise ValueError("weights must be positive, finite and normal: remove the others with `storable` first")
    bits: NDArray[np.uint32] = weights.view(np.uint32)
    odd = (bits >> _DROPPED_BITS) & 1
    rounded = (bits + _HALF + odd) >> _DROPPED_BITS
    codes: Codes = np.minimum(rounded, _LARGEST_FINITE).astype(np.uint16)
    return codes


def decode(codes: Codes) -> Floats:
    """Weights of grid codes; the inverse of `encode` on the grid.

    >>> decode(np.array([32512], dtype=np.uint16)).tolist()
    [1.0]
    """
    return (codes.astype(np.uint32) << _DROPPED_BITS).view(np.float32)


def round_to_grid(weights: Floats) -> Floats:
    """Nearest storable values, at most 0.2 % away.

    >>> round_to_grid(np.array([0.1], dtype=np.float32)).tolist()
    [0.10009765625]
    """
    return decode(encode(weights))


def storable(weights: Floats) -> NDArray[np.bool_]:
    """Mask of the weights that engines accept: finite and at least the smallest normal float32.

    >>> storable(np.array([1.0, 0.0, -1.0, np.nan, np.inf], dtype=np.float32)).tolist()
    [True, False, False, False, False]
    """
    return np.isfinite(weights) & (weights >= _SMALLEST_NORMAL)
