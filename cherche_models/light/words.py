"""The tokenizer of a checkpoint that this library saved, by the library tokenizers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from cherche_models.cutting import Cutter, SpecialTokens
from cherche_models.errors import Unreadable
from cherche_models.layouts.files import read_json

_FILE, _SETTINGS = "tokenizer.json", "tokenizer_config.json"
_AS_STORED, _BERT = ("PreTrainedTokenizerFast",), ("BertTokenizer", "BertTokenizerFast")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# What transformers does not put into a tokenizer that it reads: names, and how it would pad, cut and decode.
_WITHOUT_EFFECT = frozenset(
    {"backend", "clean_up_tokenization_spaces", "do_basic_tokenize", "is_local", "local_files_only", "max_length"}
    | {"model_max_length", "never_split", "pad_to_multiple_of", "pad_token_type_id", "padding_side", "stride"}
    | {"tokenizer_class", "truncation_side", "truncation_strategy", "model_input_names", "do_lower_case"}
    | {"strip_accents", "tokenize_chinese_chars", "name_or_path", "model_specific_special_tokens"}
)


def load(folder: Path) -> Cutter:
    """The tokenizer of a folder, which cuts texts as `cherche_models.tokenizer.load` has it.

    Raises
    ------
    Unreadable
        If transformers might make another one of the same files.
    """
    path, settings = folder / _FILE, read_json(folder / _SETTINGS)
    if not path.is_file() or not settings:
        raise Unreadable(f"it has no {_FILE} with a {_SETTINGS}")
    _check(read_json(path), settings)
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # what its Rust code raises
        raise Unreadable(f"{_FILE} cannot be read ({error})") from error
    ids = {name: _id(backend, name, settings.get(name)) for name in _SPECIAL}
    known = frozenset(i for i in ids.values() if i is not None)
    special = SpecialTokens(ids["pad_token"] or 0, ids["mask_token"], ids["unk_token"], known)
    longest = min(int(settings.get("model_max_length") or 1 << 31), 1 << 31)
    return Cutter(backend, special, longest, settings.get("truncation_side") == "left")


def _check(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings by which transformers may change what the file says."""
    odd = [name for name, value in settings.items() if name not in (*_WITHOUT_EFFECT, *_SPECIAL) and value]
    if odd:
        raise Unreadable(f"{_SETTINGS} has {odd[0]}")
    kind = settings.get("tokenizer_class")
    if kind in _BERT:
        wanted = {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        }
        if stored.get("normalizer") != wanted:
            raise Unreadable(f"{_SETTINGS} and {_FILE} differ in how they normalize")
    elif kind not in _AS_STORED:
        raise Unreadable(f"its tokenizer is a {kind}")
    if (stored.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer":
        raise Unreadable("its tokenizer splits words in its own way")


def _id(backend: tokenizers.Tokenizer, name: str, token: object) -> int | None:
    if token is None:
        return None
    found = backend.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        raise Unreadable(f"{_SETTINGS}: {name} is {token!r}")
    return found
