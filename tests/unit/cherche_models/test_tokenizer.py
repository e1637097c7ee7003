from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cherche_models import tokenizer
from cherche_models.errors import CheckpointError, ItemError
from cherche_models.tokenizer import TextFormat, Tokenizer
from tests import checkpoints

STYLE = TextFormat(64)


@pytest.fixture(scope="module")
def words(masked_lm: Path) -> Tokenizer:
    return tokenizer.load(masked_lm)


def test_special_tokens_surround_the_text(words: Tokenizer) -> None:
    (tokens,) = words.tokenize(["Neural search."], STYLE)
    assert tokens.texts == ("[CLS]", "neural", "search", ".", "[SEP]")
    assert tokens.total == 5
    assert not tokens.truncated


def test_a_cut_keeps_the_last_special_token_and_the_whole_length(words: Tokenizer) -> None:
    (tokens,) = words.tokenize(["search " * 100], STYLE, max_length=8)
    assert tokens.texts == ("[CLS]", *["search"] * 6, "[SEP]")
    assert tokens.total == 102
    assert tokens.truncated


def test_ids_are_those_of_transformers(words: Tokenizer, masked_lm: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["Neural, sparse search!", "", "zebra 42 of cells", "search " * 80]
    theirs = AutoTokenizer.from_pretrained(masked_lm)(texts, truncation=True, max_length=20)["input_ids"]
    assert [list(t.ids) for t in words.tokenize(texts, STYLE, 20)] == theirs


def test_prompt_marker_masks_and_expansion(words: Tokenizer) -> None:
    marked = replace(STYLE, prompt="query ", marker=words.id_of("[Q] "), expand=True)
    (tokens,) = words.tokenize(["cell"], marked, max_length=9)
    assert tokens.texts == ("[CLS]", "[Q] ", "query", "cell", "[SEP]", *["[MASK]"] * 4)
    assert not tokens.truncated
    (masked,) = words.tokenize(["cell"], replace(STYLE, masks=3))
    assert masked.texts == ("[CLS]", "cell", *["[MASK]"] * 3, "[SEP]")


def test_masks_take_only_the_room_that_is_left(words: Tokenizer) -> None:
    (tokens,) = words.tokenize(["cell cell cell"], replace(STYLE, masks=3), max_length=6)
    assert tokens.texts == ("[CLS]", "cell", "cell", "cell", "[MASK]", "[SEP]")


def test_without_special_tokens(words: Tokenizer) -> None:
    plain = replace(STYLE, special_tokens=False)
    assert [t.texts for t in words.tokenize(["cell", ""], plain)] == [("cell",), ()]


def test_no_room_for_special_tokens(words: Tokenizer) -> None:
    with pytest.raises(ValueError, match="no room for 2 special tokens"):
        words.tokenize(["cell"], STYLE, max_length=1)


def test_a_lone_surrogate_is_named(words: Tokenizer) -> None:
    with pytest.raises(ItemError, match=r"text 1 holds the lone surrogate .* at position 2") as caught:
        words.tokenize(["fine", "ab\ud83d"], STYLE)
    assert caught.value.position == 1


def test_control_characters_and_unknown_scripts_are_tokens_too(words: Tokenizer) -> None:
    for tokens in words.tokenize(["\x00\x01cell\x7f", "深層学習", "\u202ecell"], STYLE):
        assert len(tokens) >= 3


def test_ten_megabytes(words: Tokenizer) -> None:
    started = time.process_time()
    (tokens,) = words.tokenize(["brain cell. " * (10_000_000 // 12)], STYLE)
    assert len(tokens) == 64
    assert tokens.total == 2 + 3 * (10_000_000 // 12)
    assert time.process_time() - started < 60


def test_pieces_of_a_long_text_give_the_same_tokens(words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Neural search, of the brain; " * 20
    whole = words.tokenize([text], replace(STYLE, max_length=500))
    monkeypatch.setattr(tokenizer, "_PIECE", 50)
    assert words.tokenize([text, "cell"], replace(STYLE, max_length=500))[:1] == whole


def test_threads_share_a_tokenizer(words: Tokenizer) -> None:
    texts = [f"cell {i} of brain" for i in range(200)]
    alone = words.tokenize(texts, STYLE)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: words.tokenize([text], STYLE)[0], texts)) == alone


def test_decode(words: Tokenizer) -> None:
    (tokens,) = words.tokenize(["neural search"], STYLE)
    assert words.decode(tokens.ids) == "neural search"


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        tokenizer.load(folder)
