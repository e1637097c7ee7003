"""What counts as a text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cherche_models.errors import ItemError
from cherche_models.evaluate import Collection
from cherche_models.texts import check_texts, field_text, joined


def test_lists_tuples_and_arrays_of_strings_are_texts() -> None:
    for texts in (["a"], ("a", "b"), np.array(["a", "b"]), []):
        check_texts(texts)


def test_a_field_is_a_string_or_absent() -> None:
    assert [field_text({"a": value}, "a", 0) for value in ("x", "", None)] == ["x", "", ""]
    assert joined({"a": " x", "b": "", "d": "y"}, ["a", "b", "c", "d"], 0) == " x y"
    with pytest.raises(ItemError, match=r"text 3 cannot be made: its field 'a' has the type int \(7\)"):
        joined({"a": 7}, ["a"], 3)


def test_nan_in_a_collection_is_no_word() -> None:
    collection = Collection({"1": {"text": "duck"}, "2": {"text": math.nan}}, {}, {})
    with pytest.raises(ItemError, match=r"text 1 cannot be made: its field 'text' has the type float \(nan\)"):
        collection.texts()
