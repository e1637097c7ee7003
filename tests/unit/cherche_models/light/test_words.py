"""Tokenizers that transformers might make otherwise are left to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cherche_models import tokenizer
from cherche_models.errors import Unreadable
from cherche_models.light import words

TEXTS = ["Neural, search!", "the brain of the [MASK]", "naïve 新 cell", ""]


def test_a_saved_tokenizer_cuts_as_that_of_transformers(saved: Path) -> None:
    ours, other = words.load(saved), tokenizer.load(saved)
    style = tokenizer.TextFormat(8)
    assert ours.tokenize(TEXTS, style) == other.tokenize(TEXTS, style)
    named = ("vocabulary", "pad_id", "mask_id", "model_max_length", "special_ids", "unknown_ids")
    assert [getattr(ours, name) for name in named] == [getattr(other, name) for name in named]


def settings(**values: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def stored(**values: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (settings(tokenizer_class="RobertaTokenizer"), "is a RobertaTokenizer"),
        (settings(tokenizer_class="BertTokenizer", do_lower_case=False), "differ in how they normalize"),
        (settings(additional_special_tokens=["[Q]"]), "has additional_special_tokens"),
        (settings(mask_token={"content": "[MASK]"}), "mask_token is {'content'"),
        (settings(mask_token="[NONE]"), r"mask_token is '\[NONE\]'"),
        (stored(pre_tokenizer={"type": "Whitespace"}), "splits words in its own way"),
        (stored(model={"type": "Unheard"}), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "has no tokenizer.json with a"),
    ],
)
def test_what_transformers_might_read_otherwise_is_left_to_it(
    saved: Path, change: Callable[[Path], object], reason: str
) -> None:
    change(saved)
    with pytest.raises(Unreadable, match=reason):
        words.load(saved)
