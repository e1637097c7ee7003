"""neural-cherche: a masked-LM checkpoint, ``metadata.json``, and ``linear.pt`` where there is a projection."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts.checkpoint import LINEAR, Checkpoint, Head
from cherche_models.layouts.files import read_json, write_json
from cherche_models.layouts.request import Architecture, Request
from cherche_models.layouts.tensors import read_pickle
from cherche_models.tokenizer import Kind, TextFormat

# neural-cherche's own defaults (1.4.3).
_LENGTHS: dict[Kind, tuple[str, int]] = {
    "document": ("max_length_document", 256),
    "query": ("max_length_query", 64),
}
_ALL = ("splade", "colbert", "sparse_embed")


def matches(folder: Path) -> bool:
    """Whether the folder has neural-cherche's files."""
    return (folder / "linear.pt").is_file() or "max_length_query" in read_json(folder / "metadata.json")


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint that the files describe.

    Its quirks are kept: ``[MASK]`` tokens after each text, and no more term
    weights than the maximum length. Padding is masked, not scored as zero.

    Raises
    ------
    CheckpointError
        If ``linear.pt`` is needed and missing, or holds more than tensors.
    """
    metadata = read_json(folder / "metadata.json")
    wanted = request.choose(_found(folder, metadata), _ALL, folder)
    body = backbone.load(folder, vocabulary=wanted.sparse, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(folder)
    styles = {kind: _format(metadata, kind, wanted, body.max_length) for kind in _LENGTHS}
    heads = _heads(folder, wanted, body.hidden_size, request) if wanted.heads else {}
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads=heads, dim=request.dim)


def holds(checkpoint: Checkpoint) -> bool:
    """True: `export` reports which models neural-cherche's layout cannot hold."""
    return True


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write what neural-cherche loads: ``linear.pt`` is a pickle of one tensor.

    Of a joint model, which it does not have, the term weights are written, with a warning; and of a sparse one
    that keeps all terms of a text, another says how many neural-cherche keeps.

    Raises
    ------
    ValueError
        If it has no such model, or no setting for one of the model's text formats.
    """
    if checkpoint.architecture == "joint":
        warnings.warn(
            "neural-cherche has no model with both heads: the term weights alone are exported, as a splade model",
            stacklevel=2,
        )
        checkpoint = replace(checkpoint, architecture="splade", heads={})
    if checkpoint.architecture not in _ALL:
        raise ValueError(f"neural-cherche has no {checkpoint.architecture} model: export it in another format")
    _check(checkpoint)
    if checkpoint.sparse and not all(style.terms for style in checkpoint.formats.values()):
        lengths = ", ".join(f"{style.max_length} of a {kind}" for kind, style in checkpoint.formats.items())
        warnings.warn(f"neural-cherche keeps at most as many terms as tokens: {lengths}", stacklevel=2)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.backbone.save(folder)
    checkpoint.tokenizer.save(folder, checkpoint.formats["document"].max_length)
    for head in checkpoint.heads.values():
        torch.save({"weight": head.tensor(LINEAR).detach().cpu().float().contiguous()}, folder / "linear.pt")
    write_json(folder / "metadata.json", _metadata(checkpoint))


def _heads(folder: Path, wanted: Architecture, hidden: int, request: Request) -> dict[str, Head]:
    """The projection of ``linear.pt``; none where a new one is accepted."""
    path = folder / "linear.pt"
    if not path.is_file():
        request.require_new_head(folder)
        return {}
    weight = read_pickle(path).get("weight")
    if weight is None or weight.shape[1] != hidden:
        raise CheckpointError(f"{path} has no weight from {hidden} dimensions", "complete the checkpoint")
    config = {"attention": "terms"} if wanted.sparse else {}
    return {name: Head({LINEAR: weight.to(request.dtype)}, config) for name in wanted.heads}


def _check(checkpoint: Checkpoint) -> None:
    if any(set(head.tensors) != {LINEAR} for head in checkpoint.heads.values()):
        raise ValueError("neural-cherche's linear.pt has a place for one matrix: save the model with `save` instead")
    skipped = any(head.config.get("skiplist_words") for head in checkpoint.heads.values())
    for kind, style in checkpoint.formats.items():
        odd = [name for name in ("expand", "attend_expansion") if getattr(style, name)]
        odd += [] if style.marker is None else ["marker"]
        odd += ["terms"] if checkpoint.sparse and style.terms not in (0, style.max_length) else []
        odd += ["skip"] if skipped else []
        if odd:
            raise ValueError(
                f"neural-cherche's layout has no place for the {kind} format's {', '.join(odd)}: "
                "save the model with `save` instead"
            )


def _metadata(checkpoint: Checkpoint) -> dict[str, object]:
    styles = checkpoint.formats
    own: dict[str, object] = {f"max_length_{kind}": styles[kind].max_length for kind in _LENGTHS}
    own |= {f"{kind}_prefix": styles[kind].prompt for kind in _LENGTHS}
    own |= {"padding": "max_length", "truncation": True, "add_special_tokens": styles["query"].special_tokens}
    return {**own, "n_mask_tokens": styles["query"].masks} if checkpoint.sparse else own


def _found(folder: Path, metadata: dict[str, Any]) -> str:
    if not (folder / "linear.pt").is_file():
        return "splade"
    return "sparse_embed" if "n_mask_tokens" in metadata else "colbert"


def _format(metadata: dict[str, Any], kind: Kind, wanted: Architecture, longest: int) -> TextFormat:
    name, default = _LENGTHS[kind]
    length = min(metadata.get(name) or default, longest)
    prefix = "" if wanted.sparse else {"document": "[D] ", "query": "[Q] "}[kind]
    prompt = str(metadata.get(f"{kind}_prefix", prefix))
    plain = TextFormat(length, prompt=prompt, special_tokens=bool(metadata.get("add_special_tokens", True)))
    if not wanted.sparse:
        return plain
    return replace(plain, masks=metadata.get("n_mask_tokens", 3), terms=length)
