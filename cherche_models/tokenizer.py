"""Texts to tokens, without padding.

Wraps the Rust tokenizer of a checkpoint; its settings are frozen at loading, so
one instance serves any number of threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tokenizers

from cherche_models.types import Tokens

Kind = Literal["document", "query"]

_PIECE = 1 << 16
_BREAK = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How texts of one kind become model input.

    Attributes
    ----------
    max_length : int
        In tokens, special tokens included.
    prompt : str
        Text put before every text.
    marker : int or None
        Id of a token put after the first special token, as ColBERT's ``[Q]`` and ``[D]``.
    masks : int
        ``[MASK]`` tokens after the text where there is room (neural-cherche's SPLADE).
    expand : bool
        Fill up to `max_length` with ``[MASK]`` tokens (ColBERT's query augmentation,
        Khattab & Zaharia 2020, section 3.2).
    attend_expansion : bool
        Whether the text's tokens attend to that filling.
    """

    max_length: int
    prompt: str = ""
    marker: int | None = None
    masks: int = 0
    expand: bool = False
    attend_expansion: bool = False


class Tokenizer:
    """A fast tokenizer that cuts by itself, so that the length before the cut is known.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        Copied; truncation and padding are switched off in the copy.
    pad_id, mask_id : int or None
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, *, pad_id: int | None = None, mask_id: int | None = None
    ) -> None:
        self._backend = tokenizers.Tokenizer.from_str(backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self.pad_id = pad_id or 0
        self.mask_id = mask_id
        self.vocabulary = _vocabulary(self._backend)
        self._before, self._after = _special_tokens(self._backend)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def id_of(self, token: str) -> int | None:
        """Vocabulary id of a token string, None where there is none."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def special_length(self, style: TextFormat) -> int:
        """Tokens of a text that has none of its own."""
        return len(self._before) + len(self._after) + (style.marker is not None)

    def tokenize(self, texts: Sequence[str], style: TextFormat, max_length: int = 0) -> list[Tokens]:
        """Cut texts into tokens.

        Parameters
        ----------
        texts : sequence of str
        style : TextFormat
        max_length : int
            Overrides the one of `style`; 0 keeps it.

        Raises
        ------
        ValueError
            If a text holds a lone surrogate (naming its position), or the maximum
            leaves no room for the special tokens.
        """
        limit = max_length or style.max_length
        room = limit - self.special_length(style)
        if room < 0:
            raise ValueError(
                f"max_length {limit} leaves no room for {self.special_length(style)} special tokens"
            )
        check_texts(texts)
        short = [i for i, text in enumerate(texts) if len(text) <= _PIECE]
        encodings = self._backend.encode_batch(
            [style.prompt + texts[i] for i in short], add_special_tokens=False
        )
        bodies = {i: (e.ids, len(e.ids)) for i, e in zip(short, encodings, strict=True)}
        return [
            self._finish(*(bodies.get(i) or self._long(style.prompt + text, room)), style, limit, room)
            for i, text in enumerate(texts)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        text: str = self._backend.decode(list(ids))
        return text

    def to_str(self) -> str:
        """The tokenizer as ``tokenizer.json`` has it."""
        text: str = self._backend.to_str()
        return text

    def _long(self, text: str, room: int) -> tuple[list[int], int]:
        """Ids up to `room` and the count of all: piece by piece, so memory stays bounded."""
        kept: list[int] = []
        total = 0
        for piece in pieces(text):
            ids = self._backend.encode(piece, add_special_tokens=False).ids
            kept.extend(ids[: room - len(kept)])
            total += len(ids)
        return kept, total

    def _finish(self, body: list[int], total: int, style: TextFormat, limit: int, room: int) -> Tokens:
        masks = min(style.masks, max(room - total, 0)) if self.mask_id is not None else 0
        ids = [*self._before, *([] if style.marker is None else [style.marker]), *body[:room]]
        ids += [self.mask_id or 0] * masks
        ids += self._after
        whole = total + masks + self.special_length(style)
        if style.expand and self.mask_id is not None:
            ids += [self.mask_id] * (limit - len(ids))
            whole = max(whole, len(ids))
        return Tokens(tuple(ids), tuple(self.vocabulary[i] for i in ids), whole)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Raises
    ------
    ValueError
        If the folder has no fast tokenizer.
    """
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(str(folder), use_fast=True, trust_remote_code=False)
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise ValueError(f"{folder} has no fast tokenizer: save a tokenizer.json beside the weights")
    return Tokenizer(backend, pad_id=loaded.pad_token_id, mask_id=loaded.mask_token_id)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what UTF-8 cannot write.

    Raises
    ------
    ValueError
        Naming the first text with a lone surrogate, and where in it.

    >>> check_texts(["fine", "caf\\u00e9"])
    """
    for i, text in enumerate(texts):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {i} holds the lone surrogate {text[error.start]!r} at position {error.start}: "
                "replace it, it is half of a broken character"
            ) from None


def pieces(text: str, size: int = _PIECE) -> Iterator[str]:
    """Cut a long text before white space, into pieces of about `size` characters.

    >>> list(pieces("one two three", 4))
    ['one', ' two', ' three']
    """
    start = 0
    while start < len(text):
        if len(text) - start <= size:
            end = len(text)
        else:
            found = _BREAK.search(text, start + size - 1, start + 2 * size)
            end = found.start() if found else min(start + 2 * size, len(text))
        yield text[start:end]
        start = end


def _vocabulary(backend: tokenizers.Tokenizer) -> tuple[str, ...]:
    by_id = {i: token for token, i in backend.get_vocab(with_added_tokens=True).items()}
    return tuple(by_id.get(i, f"[id {i}]") for i in range(max(by_id) + 1))


def _special_tokens(backend: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """Ids that the post-processor puts before and after a text."""
    bare = backend.encode("a", add_special_tokens=False).ids
    full = backend.encode("a").ids
    for at in range(len(full) - len(bare) + 1):
        if full[at : at + len(bare)] == bare:
            return full[:at], full[at + len(bare) :]
    raise ValueError("the tokenizer changes a text's own tokens when it adds special ones")
