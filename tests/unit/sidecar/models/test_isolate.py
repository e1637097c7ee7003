from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cherche_models.types import Encoding, TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError, Code
from sidecar.models.isolate import checked, each, encoding_failure, is_out_of_memory


def fail(error: Exception) -> ChercheError:
    return encoding_failure("m", error)


def test_one_bad_item_costs_a_logarithm_of_passes() -> None:
    passes = 0

    def work(items: Sequence[int]) -> list[int]:
        nonlocal passes
        passes += 1
        if 37 in items:
            raise ValueError("bad")
        return [2 * item for item in items]

    results = each(work, range(64), fail)
    assert [r for r in results if not isinstance(r, ChercheError)] == [2 * i for i in range(64) if i != 37]
    error = results[37]
    assert isinstance(error, ChercheError)
    assert error.code is Code.INTERNAL
    assert "ValueError: bad" in error.reason
    assert passes == 2 * 6 + 1


def test_results_of_the_wrong_number_are_no_results() -> None:
    [error] = each(lambda items: [], ["a"], fail)
    assert isinstance(error, ChercheError)
    assert "1 texts went in, 0 results came out" in error.reason


def test_no_items_no_work() -> None:
    assert each(lambda items: [1 / 0], [], fail) == []


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (ValueError("too long"), False),
    ],
)
def test_memory_errors_are_known_by_any_name(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_text_that_needs_too_much_memory_says_so() -> None:
    error = encoding_failure("m", MemoryError())
    assert error.code is Code.FAILED_PRECONDITION
    assert "maximum length" in error.next_step


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_become_an_error(value: float) -> None:
    weights = TermWeights(np.array([1], np.uint32), np.array([value], np.float32))
    embeddings = TokenEmbeddings(np.full((1, 2), value, np.float32))
    for encoding in (Encoding(weights, None), Encoding(None, embeddings)):
        error = checked("m", encoding)
        assert isinstance(error, ChercheError)
        assert error.code is Code.INTERNAL


def test_sound_numbers_pass() -> None:
    encoding = Encoding(TermWeights.from_pairs([(1, 0.5)]), None)
    assert checked("m", encoding) is encoding
