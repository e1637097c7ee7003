"""Models by the name of a checkpoint, with the arguments and defaults of neural-cherche's constructors."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from cherche_models.errors import CheckpointError
from cherche_models.tokenizer import Kind, TextFormat
from cherche_models.types import Compat

if TYPE_CHECKING:
    from cherche_models.models.base import Model, Padding

_KINDS: tuple[Kind, ...] = ("document", "query")
_LENGTHS: dict[Kind, int] = {"document": 256, "query": 64}
_PREFIXES: dict[Kind, str] = {"document": "[D] ", "query": "[Q] "}
_MASKS = 3
_HEADS = {"colbert": ("embedding_size",), "sparse_embed": ("embedding_size",)}


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
        ``fp32`` unless told, which training needs; ``bf16`` is faster on a CPU that has it.
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


def open_model(source: str | Path, architecture: str, options: Mapping[str, Any]) -> Model:
    """Load a checkpoint as one architecture.

    What is given wins over what the checkpoint says, and that over neural-cherche's
    defaults. A checkpoint without a projection gets a random one, with a warning.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it cannot be loaded.
    TypeError, ValueError
        If an option is unknown or has no sensible value.
    """
    known = ("model_name_or_path", *_HEADS.get(architecture, ()), *Options.__annotations__)
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(f"{architecture} models have no option {unknown[0]!r}: known are {', '.join(known)}")
    compat = options.get("compat")
    if compat not in (None, "1.4"):
        raise ValueError(f"compat {compat!r} is unknown: use '1.4' or None")
    hub: Any = importlib.import_module("cherche_models.hub")  # which imports the models
    folder: Path = hub.resolve(source, options.get("revision"), allow_pickle=options.get("allow_pickle", False))
    model = _load(hub, folder, architecture, options)
    own = hub.has_formats(folder)
    for kind in _KINDS:
        style = model.formats[kind] if own else _default(model, kind)
        model.formats[kind] = style if own and compat else _chosen(model, style, kind, options)
    model.padding = _padding(options.get("padding", "max_length"))
    model.compat = compat
    if compat and architecture == "sparse_embed":
        model.attention = "terms"
    return _frozen(model, options.get("freeze_layers_except_last_n"))


def _load(hub: Any, folder: Path, architecture: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - hub is imported when called; the model's class is the caller's
    how: dict[str, Any] = {"architecture": architecture, "dim": options.get("embedding_size", 128)}
    how |= {"dtype": options.get("dtype", "fp32")}
    how |= {"device": options.get("device"), "allow_pickle": options.get("allow_pickle", False)}
    if architecture == "splade":
        return hub.load(folder, **how)
    try:
        return hub.load(folder, **how)
    except CheckpointError:
        model = hub.load(folder, new_head=True, **how)
    warnings.warn(f"{folder} has no trained projection: this one is random, and has to be trained", stacklevel=5)
    return model


def _default(model: Model, kind: Kind) -> TextFormat:
    """neural-cherche's, for a checkpoint that says nothing of formats."""
    length = min(_LENGTHS[kind], model.backbone.max_length, model.tokenizer.model_max_length)
    if not model.sparse:
        return TextFormat(length, prompt=_PREFIXES[kind])
    return TextFormat(length, masks=_MASKS, terms=length)


def _chosen(model: Model, style: TextFormat, kind: Kind, given: Mapping[str, Any]) -> TextFormat:
    """The same with what the caller gave."""
    longest = model.backbone.max_length
    length = given.get(f"max_length_{kind}", style.max_length)
    if length > longest:
        raise ValueError(f"max_length_{kind} {length} is more than the {longest} tokens that this model reads")
    own: dict[str, Any] = {"max_length": length if given.get("truncation", True) else longest}
    own["prompt"] = given.get(f"{kind}_prefix", style.prompt)
    own["special_tokens"] = given.get("add_special_tokens", style.special_tokens)
    if model.sparse:
        own["masks"] = given.get("n_mask_tokens", style.masks)
        own["terms"] = length if f"max_length_{kind}" in given and style.terms else style.terms
    return replace(style, **own)


def _padding(given: bool | str) -> Padding:
    if given is True or given == "max_length":
        return "max_length"
    if given is False or given == "longest":
        return "longest"
    raise ValueError(f"padding {given!r} is unknown: use 'max_length' or 'longest'")


def _frozen(model: Model, layers: int | None) -> Model:
    if layers is not None:
        from cherche_models.utils.freeze import freeze_layers

        freeze_layers(model, layers)
    return model
