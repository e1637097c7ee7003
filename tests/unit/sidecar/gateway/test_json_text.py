from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gateway.json_text import array, mapping, numbers, plain, quoted

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(floats)
def test_a_number_reads_back_as_the_same_float32_and_as_a_double_everywhere(value: float) -> None:
    [text] = numbers([value])
    assert np.float32(float(text)) == np.float32(value)
    assert math.copysign(1, float(text)) == math.copysign(1, value)
    assert re.fullmatch(r"-?\d+\.\d+(e[+-]\d+)?", text), "an integer literal would be read as Integer"
    assert len(text) <= 17, "more than 18 characters would be read as BigDecimal"
    assert type(json.loads(text)) is float


@given(st.lists(floats))
def test_numbers_keep_count_and_order(values: list[float]) -> None:
    assert [np.float32(float(text)) for text in numbers(values)] == [np.float32(value) for value in values]


@given(st.text(alphabet=st.characters()))
def test_text_is_ascii_and_reads_back(text: str) -> None:
    assert quoted(text).isascii()
    assert json.loads(quoted(text)) == text
    assert json.loads(plain({"a": [text]})) == {"a": [text]}
    assert plain({"a": text}).isascii()


@given(st.dictionaries(st.text(), floats))
def test_a_mapping_is_json(weights: dict[str, float]) -> None:
    names, values = [quoted(name) for name in weights], numbers(list(weights.values()))
    assert json.loads(array([mapping(zip(names, values, strict=True))])) == [
        pytest.approx(weights, rel=1e-7, abs=1e-45)
    ]


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        plain({"a": math.nan})
