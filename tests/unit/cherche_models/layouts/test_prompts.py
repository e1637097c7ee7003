"""Prompts are those that sentence-transformers would take, or the reason why there are none is said."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from cherche_models.errors import CheckpointError
from cherche_models.layouts import prompts


def folder(path: Path, **settings: Any) -> Path:
    (path / prompts.FILE).write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize(
    ("named", "default", "expected"),
    [
        ({}, None, ("", "")),
        ({"query": "q: ", "document": "d: "}, None, ("q: ", "d: ")),
        ({"query": "q: ", "passage": "p: "}, None, ("q: ", "p: ")),
        ({"query": "q: ", "corpus": "c: ", "document": "d: "}, None, ("q: ", "d: ")),
        ({"query": "q: ", "other": "o: "}, "other", ("q: ", "o: ")),
        ({"query": "", "document": None, "other": "o: "}, "other", ("", "")),
    ],
)
def test_a_kind_of_text_begins_with_the_prompt_of_its_name_or_the_default(
    named: dict[str, str], default: str | None, expected: tuple[str, str], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = prompts.by_kind(folder(tmp_path, prompts=named, default_prompt_name=default))
    assert (found["query"], found["document"]) == expected


def test_there_are_none_without_the_file(tmp_path: Path) -> None:
    assert prompts.by_kind(tmp_path) == {"query": "", "document": ""}
    assert prompts.default(tmp_path) == ""


@pytest.mark.parametrize("name", ["foo", "Query", 3, ""])
def test_a_default_that_names_no_prompt_is_refused(name: object, tmp_path: Path) -> None:
    made = folder(tmp_path, prompts={"query": "q: "}, default_prompt_name=name)
    with pytest.raises(
        CheckpointError, match=f"default_prompt_name is {name!r}, which is no prompt; there are: 'query'"
    ):
        prompts.default(made)
    with pytest.raises(CheckpointError, match="there are: none"):
        prompts.by_kind(folder(tmp_path, default_prompt_name="query"))


@pytest.mark.parametrize(
    ("named", "reason"),
    [(["a"], r"prompts is \['a'\]"), ("a", "prompts is 'a'"), ({"query": 3}, "the prompt 'query' is 3")],
)
def test_prompts_that_are_no_texts_are_refused(named: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=reason):
        prompts.by_kind(folder(tmp_path, prompts=named))


def test_prompts_of_other_names_are_said_to_be_unused(tmp_path: Path) -> None:
    made = folder(tmp_path, prompts={"Query": "q: ", "s2p_query": "i: ", "empty": ""})
    with pytest.warns(UserWarning, match="none of the prompts 'Query', 's2p_query' is used"):
        assert prompts.by_kind(made) == {"query": "", "document": ""}
