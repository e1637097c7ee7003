"""Tokenizers of checkpoints, as the library transformers reads and writes them; `cutting` cuts texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, cast

import tokenizers
from tokenizers import normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cherche_models.cutting import Cutter as Cutter
from cherche_models.cutting import Kind as Kind
from cherche_models.cutting import SpecialTokens
from cherche_models.cutting import TextFormat as TextFormat
from cherche_models.cutting import pieces as pieces
from cherche_models.errors import CheckpointError

_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
_OF_RELEASE_5 = ("backend", "is_local", "local_files_only")


class Tokenizer(Cutter):
    """A fast tokenizer of transformers that truncates itself.

    Parameters
    ----------
    source : PreTrainedTokenizerFast
        Its Rust tokenizer is copied, without truncation and padding. Its truncation side is kept.
    """

    def __init__(self, source: PreTrainedTokenizerFast) -> None:
        special = SpecialTokens(
            int(source.pad_token_id or 0), source.mask_token_id, source.unk_token_id, frozenset(source.all_special_ids)
        )
        longest = min(int(source.model_max_length), 1 << 31)
        backend = tokenizers.Tokenizer.from_str(source.backend_tokenizer.to_str())
        super().__init__(backend, special, longest, source.truncation_side == "left")
        self._source = source
        self.has_types = "token_type_ids" in source.model_input_names

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True, clean_up: bool = False) -> str:
        """Text of token ids; `clean_up` removes the spaces before punctuation."""
        return str(
            self._source.decode(
                list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=clean_up
            )
        )

    def save(self, folder: Path, max_length: int) -> None:
        """Write the tokenizer's files, with `max_length` as the maximum length for other libraries.

        Names are those that releases 4 and 5 of transformers read.
        """
        source = copy(self._source)
        source.model_max_length = max_length
        source.save_pretrained(str(folder))
        path = folder / "tokenizer_config.json"
        written = _neutral(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Raises
    ------
    CheckpointError
        If the folder has no fast tokenizer.
    """
    if not any((folder / name).is_file() for name in _FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer ({', '.join(_FILES)})", "put a tokenizer.json beside the weights"
        )
    try:
        loaded = AutoTokenizer.from_pretrained(
            str(folder), use_fast=True, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise CheckpointError(
            f"{folder} has no tokenizer that can be read ({error})", "put a tokenizer.json beside the weights"
        ) from error
    if not isinstance(loaded, PreTrainedTokenizerFast):
        raise CheckpointError(
            f"{folder} has only a slow tokenizer", "convert it and save tokenizer.json beside the weights"
        )
    if _lowers(folder):
        _lower_first(loaded.backend_tokenizer)
    return Tokenizer(loaded)


def _neutral(config: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer's configuration of transformers 5 in names that 4 knows too."""
    found = {name: value for name, value in config.items() if name not in _OF_RELEASE_5}
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(found.get("extra_special_tokens"), list):
        found["additional_special_tokens"] = found.pop("extra_special_tokens")
    return found


def _lowers(folder: Path) -> bool:
    """Whether sentence-transformers' settings ask for lower case, whatever the tokenizer does."""
    path = folder / "sentence_bert_config.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return isinstance(stored, dict) and bool(stored.get("do_lower_case"))


def _lower_first(backend: tokenizers.Tokenizer) -> None:
    """Put lower-casing before the other normalizers, as sentence-transformers does, unless it is among them."""
    own = backend.normalizer
    rest = list(cast("Any", own)) if isinstance(own, normalizers.Sequence) else [] if own is None else [own]
    if not any(isinstance(one, normalizers.Lowercase) for one in rest):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *rest])
