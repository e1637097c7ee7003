from __future__ import annotations

from dataclasses import replace

import pytest

from cherche_models.codes.codecs import int8, residual
from cherche_models.codes.table import CODECS, collect, discover

(INT8,) = int8.CODECS


def test_numbers_of_released_codecs_never_change() -> None:
    numbers = {name: codec.number for name, codec in CODECS.items()}
    assert numbers | {"int8": 1, "residual4": 2, "residual2": 3, "residual1": 4} == numbers


def test_the_codecs_of_each_module_are_found() -> None:
    assert {*int8.CODECS, *residual.CODECS} <= set(discover())
    assert list(CODECS) == [codec.name for codec in sorted(discover(), key=lambda one: one.number)]


@pytest.mark.parametrize("change", [{"name": "other"}, {"number": 9}])
def test_two_codecs_of_one_name_or_number_are_refused(change: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=r"'int8', number 1.*share a name or a number"):
        collect([INT8, replace(INT8, **change)])


@pytest.mark.parametrize("change", [{"name": "pool2+x"}, {"name": "Int"}, {"name": ""}, {"number": 0}, {"number": 256}])
def test_what_a_header_or_a_form_cannot_hold_is_refused(change: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match="a name is lower-case letters and digits, a number 1 to 255"):
        collect([replace(INT8, **change)])


def test_the_word_for_an_index_without_codes_names_no_codec() -> None:
    with pytest.raises(ValueError, match="choose another name"):
        collect([replace(INT8, name="none")])
