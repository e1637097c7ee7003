from __future__ import annotations

import pytest

from cherche_models import naming


def test_names_stand_in_id_order():
    assert naming.feature_names(["b", ".", "a"]) == ["b", "%2E", "a"]


def test_ids_name_any_vocabulary():
    assert naming.feature_names(["a", "a", ""], naming="id") == ["0", "1", "2"]


def test_a_repeated_token_is_refused_by_name():
    with pytest.raises(ValueError, match=r"repeats the tokens \['a', 'b'\]: use naming='id'"):
        naming.feature_names(["a", "b", "a", "c", "b", "a"])


def test_an_empty_token_is_refused():
    with pytest.raises(ValueError, match="use naming='id'"):
        naming.feature_names(["a", ""])


def test_a_large_vocabulary_that_repeats_is_refused():
    tokens = [f"token {i}" for i in range(250_000)] * 2
    with pytest.raises(ValueError, match="repeats"):
        naming.feature_names(tokens)


def test_a_name_that_escape_never_writes():
    with pytest.raises(ValueError, match="decode"):
        naming.unescape("%FF")
