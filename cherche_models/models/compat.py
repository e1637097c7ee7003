"""Models as neural-cherche makes and calls them: by a checkpoint's name; texts in, padded tensors by name out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from cherche_models.layouts import table
from cherche_models.layouts.checkpoint import Checkpoint
from cherche_models.layouts.request import Architecture, Request
from cherche_models.layouts.source import resolve
from cherche_models.runtime.device import pick_device, pick_dtype
from cherche_models.tokenizer import Kind, TextFormat
from cherche_models.types import Compat, Tokens

Padding = Literal["max_length", "longest"]

_KINDS: tuple[Kind, ...] = ("document", "query")
_LENGTHS: dict[Kind, int] = {"document": 256, "query": 64}
_PREFIXES: dict[Kind, str] = {"document": "[D] ", "query": "[Q] "}
_MASKS = 3


class Options(TypedDict, total=False):
    """What a model's constructor takes beside the name.

    Attributes
    ----------
    device : str or None
        None for the best there is.
    max_length_query, max_length_document : int
        In tokens, special tokens included. As many terms keep a weight, in `Splade` and `SparseEmbed`.
    query_prefix, document_prefix : str
        Text put before every text.
    padding : bool or str
        ``max_length`` (True too) or ``longest``: rows of the tensors that `encode` gives.
    truncation : bool
        False reads as many tokens as the checkpoint can.
    add_special_tokens : bool
    n_mask_tokens : int
        ``[MASK]`` tokens after each text where there is room; not for ColBERT.
    freeze_layers_except_last_n : int or None
        As `utils.freeze_layers`.
    compat : {"1.4"} or None
        Scores as that release of neural-cherche has them; and what a checkpoint says wins over arguments.
    extra_files_to_load : sequence of str
        Without effect: a checkpoint's files are found.
    dtype : str
        ``fp32`` by default, which training needs; ``bf16`` is faster on a CPU that has it.
    revision : str or None
        Branch, tag or commit on the hub.
    allow_pickle : bool
        Accept ``pytorch_model.bin``; only for files you trust.
    """

    device: str | None
    max_length_query: int
    max_length_document: int
    query_prefix: str
    document_prefix: str
    padding: bool | str
    truncation: bool
    add_special_tokens: bool
    n_mask_tokens: int
    freeze_layers_except_last_n: int | None
    compat: Compat | None
    extra_files_to_load: Sequence[str]
    dtype: str
    revision: str | None
    allow_pickle: bool


def read_by_name(source: str | Path, wanted: Architecture, options: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint as one architecture.

    What is given wins over what the checkpoint says, and that over neural-cherche's
    defaults. A checkpoint without a projection gets a random one, with a warning.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it cannot be loaded.
    TypeError, ValueError
        If an option is unknown or has no sensible value.
    """
    _check(wanted, options)
    allow_pickle = bool(options.get("allow_pickle", False))
    folder = resolve(source, options.get("revision"), allow_pickle=allow_pickle)
    request = Request(
        wanted,
        {wanted.architecture: wanted},
        pick_dtype(options.get("dtype", "fp32"), pick_device(options.get("device"))),
        allow_pickle,
        new_head=True,
        dim=options.get("embedding_size", 128),
    )
    found = table.read(folder, request)
    if not set(wanted.heads) <= set(found.heads):
        # The level of the statement that calls the model's constructor.
        warnings.warn(f"{folder} has no trained projection: this one is random, and has to be trained", stacklevel=4)
    own = table.has_formats(folder)
    if own and options.get("compat"):
        return found
    styles = found.formats if own else {kind: _default(found, kind) for kind in _KINDS}
    return replace(found, formats={kind: _chosen(found, styles[kind], kind, options) for kind in _KINDS})


def padding_of(given: bool | str) -> Padding:
    """What neural-cherche's `padding` means.

    Raises
    ------
    ValueError
        If it means nothing.

    >>> padding_of(True), padding_of("longest")
    ('max_length', 'longest')
    """
    if given is True or given == "max_length":
        return "max_length"
    if given is False or given == "longest":
        return "longest"
    raise ValueError(f"padding {given!r} is unknown: use 'max_length' or 'longest'")


def kind_of(query_mode: bool) -> Kind:
    """What `query_mode` means.

    >>> kind_of(True), kind_of(False)
    ('query', 'document')
    """
    return "query" if query_mode else "document"


def tensors(tokens: Sequence[Tokens], encode: Callable[[list[Tokens]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """One pass of `encode` over all texts that have tokens; zeros for those that have none.

    Returns
    -------
    dict of name → Tensor, shape (texts, ...)
        Names and widths as `encode` gives them.

    Raises
    ------
    ValueError
        If no text has tokens.
    """
    full = [i for i, item in enumerate(tokens) if len(item)]
    if not full:
        raise ValueError(f"none of the {len(tokens)} texts has a token: there is nothing to encode")
    found = encode([tokens[i] for i in full])
    if len(full) == len(tokens):
        return found
    return {name: spread(rows, full, len(tokens)) for name, rows in found.items()}


def spread(rows: Tensor, places: Sequence[int], size: int) -> Tensor:
    """Rows put where they belong among zeros.

    >>> spread(torch.tensor([[5.0]]), [1], 3).tolist()
    [[0.0], [5.0], [0.0]]
    """
    at = torch.tensor(list(places), device=rows.device)
    return rows.new_zeros((size, *rows.shape[1:])).index_copy(0, at, rows)


def widen(rows: Tensor, width: int) -> Tensor:
    """Zeros after the rows of each text, up to `width` of them.

    >>> widen(torch.ones(1, 1, 2), 3).shape
    torch.Size([1, 3, 2])
    """
    return torch.nn.functional.pad(rows, (0, 0, 0, max(width - rows.shape[1], 0)))


def _check(wanted: Architecture, options: Mapping[str, Any]) -> None:
    own = ("embedding_size",) if wanted.heads else ()
    known = ("model_name_or_path", *own, *Options.__annotations__)
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(f"{wanted.architecture} models have no option {unknown[0]!r}: known are {', '.join(known)}")
    compat = options.get("compat")
    if compat not in (None, "1.4"):
        raise ValueError(f"compat {compat!r} is unknown: use '1.4' or None")


def _default(checkpoint: Checkpoint, kind: Kind) -> TextFormat:
    """neural-cherche's, for a checkpoint that says nothing of formats."""
    length = min(_LENGTHS[kind], checkpoint.backbone.max_length, checkpoint.tokenizer.model_max_length)
    if not checkpoint.sparse:
        return TextFormat(length, prompt=_PREFIXES[kind])
    return TextFormat(length, masks=_MASKS, terms=length)


def _chosen(checkpoint: Checkpoint, style: TextFormat, kind: Kind, given: Mapping[str, Any]) -> TextFormat:
    """The same with what the caller gave."""
    longest = checkpoint.backbone.max_length
    length = given.get(f"max_length_{kind}", style.max_length)
    if length > longest:
        raise ValueError(f"max_length_{kind} {length} is more than the {longest} tokens that this model reads")
    own: dict[str, Any] = {"max_length": length if given.get("truncation", True) else longest}
    own["prompt"] = given.get(f"{kind}_prefix", style.prompt)
    own["special_tokens"] = given.get("add_special_tokens", style.special_tokens)
    if checkpoint.sparse:
        own["masks"] = given.get("n_mask_tokens", style.masks)
        own["terms"] = length if f"max_length_{kind}" in given and style.terms else style.terms
    return replace(style, **own)
