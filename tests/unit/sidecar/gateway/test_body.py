from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, Field, ValidationError

from sidecar.gateway.body import Ignored, Refused, RequestBody, Row


class Example(RequestBody):
    texts: list[str] = Field(validation_alias=AliasChoices("texts", "inputs"), description="To encode.")
    size: Annotated[Any, Ignored("sizes are fixed", unless=(3,))] = None
    side: Annotated[Literal["right"] | None, Refused("only right is read")] = None


def example(**fields: Any) -> Example:
    return Example.model_validate({"texts": ["a"], **fields})


def test_the_table_is_the_body() -> None:
    assert list(Example.rows()) == [
        Row("texts", "accepted", "To encode.", ("inputs",)),
        Row("size", "ignored", "sizes are fixed"),
        Row("side", "refused", "only right is read"),
    ]


@pytest.mark.parametrize(("size", "said"), [(4, ["size is ignored: sizes are fixed"]), (3, []), (None, [])])
def test_what_changes_nothing_is_said(size: object, said: list[str]) -> None:
    assert example(size=size).warnings() == said


def test_what_is_refused_says_why_and_what_is_read_passes() -> None:
    assert example(side="right").side == "right"
    assert example(side=None).side is None
    with pytest.raises(ValidationError, match="is refused: only right is read"):
        example(side="left")


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    said = r"unknown field 'sise', nearest is size; .* inputs, side, size, texts"
    with pytest.raises(ValidationError, match=said):
        example(sise=3)


def test_a_field_by_another_of_its_names_but_not_by_two() -> None:
    assert Example.model_validate({"inputs": ["b"]}).texts == ["b"]
    with pytest.raises(ValidationError, match="texts and inputs are one field: give one"):
        example(inputs=["b"])
