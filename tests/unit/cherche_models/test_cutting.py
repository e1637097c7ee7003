"""A cutter is the tokenizer of a checkpoint without transformers; `test_tokenizer` holds what both do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tokenizers

from cherche_models.cutting import Cutter, SpecialTokens, TextFormat, pieces
from cherche_models.tokenizer import Tokenizer, load
from tests import checkpoints


def test_transformers_is_not_imported() -> None:
    code = "import sys, cherche_models.cutting; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_cuts_as_the_tokenizer_that_is_one(tmp_path: Path) -> None:
    checkpoints.make_tokenizer(tmp_path)
    whole = load(tmp_path)
    assert isinstance(whole, Tokenizer)
    special = SpecialTokens(whole.pad_id, whole.mask_id, 1, frozenset({0, 1, 2, 3, 4}))
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for cuts_left in (False, True):
        cutter = Cutter(backend, special, 64, cuts_left)
        whole._cuts_left = cuts_left
        for style in (TextFormat(6), TextFormat(9, prompt="the ", marker=7), TextFormat(8, masks=2), TextFormat(5, "")):
            texts = ["neural search of the brain", "[MASK] cell [Q] ", "", "heart " * 20]
            assert cutter.tokenize(texts, style) == whole.tokenize(texts, style)
    assert cutter.special_ids == {0, 2, 3, 4}
    assert cutter.is_unknown_language(cutter.tokenize(["新 聞"], TextFormat(6))[0], TextFormat(6))


def test_pieces_are_the_whole_text() -> None:
    text = " ".join(["word"] * 50)
    assert "".join(pieces(text, 16)) == text
