from __future__ import annotations

import numpy as np
import pytest

from cherche_models.codes.pool import pool
from cherche_models.types import TokenEmbeddings


def test_tokens_that_are_equally_unlike_are_not_all_joined() -> None:
    """Cut by height, a tree of ties would be one cluster."""
    pooled = pool(TokenEmbeddings(np.eye(16, dtype=np.float32)), 3)
    assert len(pooled) == 6


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="pool factor 0 is below 1"):
        pool(TokenEmbeddings(np.eye(2, dtype=np.float32)), 0)
