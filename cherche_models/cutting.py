"""Cutting texts into the tokens of a model by the library tokenizers, without padding.

Its settings do not change after loading, so a `Cutter` is thread-safe. Neither torch nor transformers is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import tokenizers

from cherche_models.language import is_unknown_language, unknown_ids
from cherche_models.texts import check_texts
from cherche_models.types import Tokens

Kind = Literal["document", "query"]

_PIECE = 1 << 16
_BREAK = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True, slots=True)
class TextFormat:
    """The format of the model input of queries or documents.

    Attributes
    ----------
    max_length : int
        In tokens, including special tokens.
    prompt : str
        Prefix of every text.
    marker : int or None
        Id of a token inserted after the first special token, such as ColBERT's ``[Q]`` and ``[D]``.
    masks : int
        ``[MASK]`` tokens appended to the text if there is room (neural-cherche's SPLADE).
    expand : bool
        Pad to `max_length` with ``[MASK]`` tokens (ColBERT's query augmentation,
        Khattab & Zaharia 2020, section 3.2).
    attend_expansion : bool
        Whether the text's tokens attend to these ``[MASK]`` tokens.
    special_tokens : bool
        Whether ``[CLS]``, ``[SEP]`` and the like are added.
    terms : int
        Maximum term weights of a text; 0 for all (neural-cherche limits them to its maximum length).
    """

    max_length: int
    prompt: str = ""
    marker: int | None = None
    masks: int = 0
    expand: bool = False
    attend_expansion: bool = False
    special_tokens: bool = True
    terms: int = 0


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of a tokenizer's own tokens.

    Attributes
    ----------
    pad : int
    mask, unknown : int or None
    all : frozenset of int
        ``[CLS]`` and the like, those above included.
    """

    pad: int
    mask: int | None
    unknown: int | None
    all: frozenset[int]


class Cutter:
    """Cuts texts by a tokenizer, and truncates them itself, so that the length before truncation is known.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        Its own from now on, without truncation and padding.
    special : SpecialTokens
    longest : int
        Tokens that its model reads.
    cuts_left : bool
        Whether the beginning of a long text is left out, not its end.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special: SpecialTokens, longest: int, cuts_left: bool) -> None:
        self._backend = backend
        self._backend.no_truncation()
        self._backend.no_padding()
        self._before, self._after = _special_tokens(self._backend)
        added = self._backend.get_added_tokens_decoder().values()
        self._special = tuple(token.content for token in added if token.special)
        self._literal: dict[int | None, tokenizers.Tokenizer] = {}
        self._cuts_left = cuts_left
        self._ids = special
        self.pad_id, self.mask_id = special.pad, special.mask
        self.model_max_length = longest
        self.vocabulary = _vocabulary(self._backend)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def id_of(self, token: str) -> int | None:
        """Vocabulary id of a token string, or None."""
        return self._backend.token_to_id(token)

    def special_length(self, style: TextFormat) -> int:
        """Number of tokens of an empty text."""
        added = len(self._before) + len(self._after) if style.special_tokens else 0
        return added + (style.marker is not None)

    def tokenize(self, texts: Sequence[str], style: TextFormat, max_length: int = 0) -> list[Tokens]:
        """Tokenize texts.

        A special token that is typed in a text, such as ``[MASK]`` or the marker of `style`, is text; in a prompt it
        is that token.

        Parameters
        ----------
        texts : sequence of str
        style : TextFormat
        max_length : int
            Overrides the one of `style`; 0 for none.

        Raises
        ------
        ItemError
            If a text is no string, or contains a lone surrogate.
        TypeError
            If `texts` is a single text.
        ValueError
            If the maximum length is too small for the special tokens.
        """
        limit = max_length or style.max_length
        room = limit - self.special_length(style)
        if room < 0:
            raise ValueError(f"max_length {limit} leaves no room for {self.special_length(style)} special tokens")
        check_texts(texts)
        bodies = self._bodies(texts, style, room)
        return [self._finish(body, total, style, limit) for body, total in bodies]

    def for_pairs(self, max_length: int) -> tokenizers.Tokenizer:
        """A thread-safe tokenizer of (query, document) pairs that truncates the longer text first."""
        backend = self._reading_literally(None)
        side = "left" if self._cuts_left else "right"
        backend.enable_truncation(max_length, strategy="longest_first", direction=side)
        return backend

    @cached_property
    def unknown_ids(self) -> frozenset[int]:
        """Ids of tokens for text that the vocabulary does not cover; see `language.unknown_ids`."""
        byte_level = isinstance(self._backend.decoder, tokenizers.decoders.ByteLevel)
        return unknown_ids(self.vocabulary, self._ids.unknown, byte_level=byte_level)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of ``[CLS]``, ``[MASK]`` and the like, without ``[UNK]``."""
        return self._ids.all - {self._ids.unknown}

    def is_unknown_language(self, tokens: Tokens, style: TextFormat) -> bool:
        """Whether the vocabulary covers less than half of a text: the model does not know its language."""
        if self.unknown_ids.isdisjoint(tokens.ids):
            return False
        [empty] = self.tokenize([""], style)
        frame = sum(i not in self.special_ids for i in empty.ids)
        return is_unknown_language(tokens.ids, self.unknown_ids, self.special_ids, frame)

    def _bodies(self, texts: Sequence[str], style: TextFormat, room: int) -> list[tuple[list[int], int]]:
        """The `room` ids of each text that are kept, with its prompt, and its total number of ids."""
        if style.marker not in self._literal:
            self._literal[style.marker] = self._reading_literally(style.marker)
        literal, names = self._literal[style.marker], self._special
        names += () if style.marker is None else (self.vocabulary[style.marker],)
        if any(name in style.prompt for name in names):
            return [self._prompted(literal, style.prompt, text, names, room) for text in texts]
        texts = [style.prompt + text for text in texts]
        encodings = iter(literal.encode_batch([t for t in texts if len(t) <= _PIECE], add_special_tokens=False))
        return [
            self._long(literal, [], text, room) if len(text) > _PIECE else self._cut(next(encodings).ids, room)
            for text in texts
        ]

    def _prompted(
        self, literal: tokenizers.Tokenizer, prompt: str, text: str, names: Sequence[str], room: int
    ) -> tuple[list[int], int]:
        """The same for a prompt with special tokens, which is apart only from a text that has some too."""
        if any(name in text for name in names):
            return self._long(literal, self._backend.encode(prompt, add_special_tokens=False).ids, text, room)
        return self._long(self._backend, [], prompt + text, room)

    def _reading_literally(self, marker: int | None) -> tokenizers.Tokenizer:
        """A copy that takes special tokens in a text, and a marker, for text."""
        if marker is None:  # nothing to change in what it stores, which takes 20 ms to parse
            copied = tokenizers.Tokenizer.from_str(self._backend.to_str())
            copied.encode_special_tokens = True
            return copied
        stored = json.loads(self._backend.to_str())
        for token in stored["added_tokens"]:
            token["special"] = token["special"] or token["id"] == marker
        copied = tokenizers.Tokenizer.from_str(json.dumps(stored, ensure_ascii=False))
        copied.encode_special_tokens = True
        return copied

    def _cut(self, ids: list[int], room: int) -> tuple[list[int], int]:
        kept = ids[max(0, len(ids) - room) :] if self._cuts_left else ids[:room]
        return kept, len(ids)

    def _long(self, backend: tokenizers.Tokenizer, before: list[int], text: str, room: int) -> tuple[list[int], int]:
        """The same for a long text, in pieces, so that memory stays bounded."""
        kept, total = self._cut(before, room)
        for piece in pieces(text):
            ids = backend.encode(piece, add_special_tokens=False).ids
            if self._cuts_left or len(kept) < room:
                kept, _ = self._cut([*kept, *ids], room)
            total += len(ids)
        return kept, total

    def _finish(self, body: list[int], total: int, style: TextFormat, limit: int) -> Tokens:
        before, after = (self._before, self._after) if style.special_tokens else ([], [])
        marker = [] if style.marker is None else [style.marker]
        room = limit - self.special_length(style) - len(body)
        masks = self._masks(min(style.masks, room))
        ids = [*before, *marker, *body, *masks, *after]
        if style.expand:
            ids += self._masks(limit - len(ids))
        cut = total - len(body)
        return Tokens(tuple(ids), tuple(self.vocabulary[i] for i in ids), len(ids) + cut)

    def _masks(self, count: int) -> list[int]:
        return [] if self.mask_id is None else [self.mask_id] * count


def pieces(text: str, size: int = _PIECE) -> Iterator[str]:
    """Split a long text before white space into pieces of about `size` characters.

    >>> list(pieces("one two three", 4))
    ['one', ' two', ' three']
    """
    start = 0
    while start < len(text):
        if len(text) - start <= size:
            end = len(text)
        else:
            found = _BREAK.search(text, start + max(size - 1, 1), start + 2 * size)
            end = found.start() if found else min(start + 2 * size, len(text))
        yield text[start:end]
        start = end


def _vocabulary(backend: tokenizers.Tokenizer) -> tuple[str, ...]:
    by_id = {i: token for token, i in backend.get_vocab(with_added_tokens=True).items()}
    return tuple(by_id.get(i, f"[id {i}]") for i in range(max(by_id) + 1))


def _special_tokens(backend: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """Ids that the post-processor adds before and after a text."""
    bare = backend.encode("a", add_special_tokens=False).ids
    full = backend.encode("a").ids
    for at in range(len(full) - len(bare) + 1):
        if full[at : at + len(bare)] == bare:
            return full[:at], full[at + len(bare) :]
    raise ValueError("the tokenizer changes a text's own tokens when it adds special ones")
