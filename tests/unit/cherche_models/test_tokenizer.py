from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cherche_models import cutting, tokenizer
from cherche_models.errors import CheckpointError, ItemError
from cherche_models.tokenizer import TextFormat, Tokenizer
from tests import checkpoints, published

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
    (tokens,) = words.tokenize(["brain cell. " * (10_000_000 // 12)], STYLE)
    assert len(tokens) == 64
    assert tokens.total == 2 + 3 * (10_000_000 // 12)


def test_pieces_of_a_long_text_give_the_same_tokens(words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Neural search, of the brain; " * 20
    whole = words.tokenize([text], replace(STYLE, max_length=500))
    monkeypatch.setattr(cutting, "_PIECE", 50)
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


TYPED = ["[MASK] brain", "a [SEP] b", "x[PAD]y", "[CLS]", "[UNK] cell", "[Q] cell"]


@pytest.mark.parametrize("text", TYPED)
def test_special_tokens_in_a_text_are_text(text: str, words: Tokenizer) -> None:
    marked = replace(STYLE, marker=words.id_of("[Q] "))
    for style in (marked, replace(marked, prompt="brain: ")):
        (tokens,) = words.tokenize([text], style)
        assert [i for i in tokens.ids if i in words.special_ids] == [tokens.ids[0], tokens.ids[-1]]
        assert tokens.texts[1] == "[Q] "
        assert "[Q] " not in tokens.texts[2:]


def test_special_tokens_in_a_prompt_are_those_tokens(words: Tokenizer) -> None:
    style = replace(STYLE, prompt="[SEP] brain ")
    plain, typed = words.tokenize(["cell", "cell [SEP]"], style)
    assert plain.texts == ("[CLS]", "[SEP]", "brain", "cell", "[SEP]")
    assert typed.texts[:4] == plain.texts[:4]
    assert typed.texts.count("[SEP]") == 2


def test_a_cross_encoder_reads_special_tokens_as_text_too(words: Tokenizer) -> None:
    (pair,) = words.for_pairs(32).encode_batch([("brain", "cell [SEP] [MASK]")])
    assert (pair.tokens.count("[SEP]"), pair.tokens.count("[MASK]")) == (2, 0)


@pytest.fixture
def left(masked_lm: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "left"
    shutil.copytree(masked_lm, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": "left"}))
    return folder


def test_the_side_that_a_checkpoint_cuts_is_its_own(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    words = tokenizer.load(left)
    texts = ["Neural, sparse search!", "", "search " * 30 + "of the brain", "cell " * 40]
    theirs = AutoTokenizer.from_pretrained(left)(texts, truncation=True, max_length=12)["input_ids"]
    expected = words.tokenize(texts, STYLE, 12)
    assert [list(tokens.ids) for tokens in expected] == theirs
    assert expected[2].texts[-4:] == ("of", "the", "brain", "[SEP]")
    assert expected[2].total == 35
    monkeypatch.setattr(cutting, "_PIECE", 50)
    assert words.tokenize(texts, STYLE, 12) == expected


NO_TEXTS = {
    "nan": (["fine", float("nan")], r"text 1 has the type float \(nan\): give a string"),
    "none": ([None, "fine"], r"text 0 has the type NoneType \(None\): give a string"),
    "list": (["fine", "fine", ["a", "b"]], r"text 2 has the type list \(\['a', 'b'\]\): give a string"),
    "bytes": ([b"fine"], r"text 0 has the type bytes \(b'fine'\): give a string"),
    "long": ([list(range(50))], r"text 0 has the type list \(\[0, 1, 2.{30,40}…\): give a string"),
}


@pytest.mark.parametrize("what", NO_TEXTS)
def test_what_is_no_text_is_named_by_its_position(what: str, words: Tokenizer) -> None:
    texts, said = NO_TEXTS[what]
    with pytest.raises(ItemError, match=said):
        words.tokenize(texts, STYLE)


@pytest.mark.parametrize("texts", ["cat dog", b"cat", {"a": "cat"}, {"cat"}, None, iter(["cat"])])
def test_one_text_is_no_list_of_texts(texts: object, words: Tokenizer) -> None:
    with pytest.raises(TypeError, match="give a list of texts"):
        words.tokenize(texts, STYLE)


def test_a_generic_tokenizer_is_saved_under_names_of_every_release(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = published.modernbert(tmp_path / "made")
    AutoTokenizer.from_pretrained(made, extra_special_tokens=["[Q] ", "[X]"]).save_pretrained(made)
    words = tokenizer.load(made)
    words.save(tmp_path / "saved", 30)
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["[Q] ", "[X]"]
    assert not {"backend", "is_local", "local_files_only", "extra_special_tokens"} & set(config)
    saved = tokenizer.load(tmp_path / "saved")
    texts = ["Neural search.", "cell [X] brain"]
    assert saved.tokenize(texts, STYLE) == words.tokenize(texts, STYLE)
    assert saved.special_ids == words.special_ids


def test_lower_case_that_sentence_transformers_settings_ask_for(tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Transformer

    cased = published.modernbert(tmp_path)
    (upper,) = tokenizer.load(cased).tokenize(["NEURAL Search"], STYLE)
    settings = {"max_seq_length": 29, "do_lower_case": True}
    (cased / "sentence_bert_config.json").write_text(json.dumps(settings))
    (lower,) = tokenizer.load(cased).tokenize(["NEURAL Search"], STYLE)
    assert lower != upper
    theirs = Transformer(str(cased), max_seq_length=29, do_lower_case=True).tokenizer(["NEURAL Search"])
    assert list(lower.ids) == theirs["input_ids"][0]
