"""neural-cherche: a masked-LM checkpoint, ``metadata.json``, and ``linear.pt`` where there is a projection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json, read_pickle, write_json
from cherche_models.layouts.request import Architecture, Request
from cherche_models.models import ColBERT, Model, SparseEmbed, Splade
from cherche_models.tokenizer import Kind, TextFormat

_LENGTHS: dict[Kind, tuple[str, int]] = {
    "document": ("max_length_document", 256),
    "query": ("max_length_query", 64),
}
_ALL: tuple[Architecture, ...] = ("splade", "colbert", "sparse_embed")


def matches(folder: Path) -> bool:
    """Whether the folder has neural-cherche's files."""
    return (folder / "linear.pt").is_file() or "max_length_query" in read_json(folder / "metadata.json")


def load(folder: Path, request: Request) -> Model:
    """The model that the files speak of.

    Its quirks are kept: ``[MASK]`` tokens after each text, and no more term
    weights than the maximum length. Padding is masked, not scored as zero.

    Raises
    ------
    CheckpointError
        If ``linear.pt`` is needed and missing, or holds more than tensors.
    """
    metadata = read_json(folder / "metadata.json")
    found = _holds(folder, metadata)
    wanted = request.choose(found, _ALL, folder)
    body = backbone.load(folder, vocabulary=wanted != "colbert", dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(folder)
    styles = {kind: _format(metadata, kind, wanted, body.max_length) for kind in _LENGTHS}
    texts = (body, words, styles["document"], styles["query"])
    if wanted == "splade":
        return Splade(*texts)
    if not (folder / "linear.pt").is_file():
        request.require_new_head(folder)
        return ColBERT(*texts, dim=request.dim) if wanted == "colbert" else SparseEmbed(*texts, dim=request.dim)
    weight = read_pickle(folder / "linear.pt").get("weight")
    if weight is None or weight.shape[1] != body.hidden_size:
        raise CheckpointError(
            f"{folder / 'linear.pt'} has no weight from {body.hidden_size} dimensions", "complete the checkpoint"
        )
    if wanted == "colbert":
        colbert = ColBERT(*texts, dim=weight.shape[0])
        colbert.projection.linear.weight.data = weight.to(request.dtype)
        return colbert
    model = SparseEmbed(*texts, dim=weight.shape[0], attention="terms")
    model.linear.weight.data = weight.to(request.dtype)
    return model


def save(model: Model, folder: Path) -> None:
    """Write what neural-cherche loads: ``linear.pt`` is a pickle of one tensor.

    Raises
    ------
    ValueError
        If it has no such model, or no setting for one of the model's text formats.
    """
    if not isinstance(model, ColBERT | Splade) or model.architecture not in ("colbert", "splade", "sparse_embed"):
        raise ValueError(f"neural-cherche has no {model.architecture} model: export it in another format")
    _check(model)
    folder.mkdir(parents=True, exist_ok=True)
    model.backbone.save(folder)
    model.tokenizer.save(folder, model.formats["document"].max_length)
    if isinstance(model, ColBERT | SparseEmbed):
        linear = model.projection.linear if isinstance(model, ColBERT) else model.linear
        torch.save({"weight": linear.weight.detach().cpu().float().contiguous()}, folder / "linear.pt")
    write_json(folder / "metadata.json", _metadata(model))


def _check(model: ColBERT | Splade) -> None:
    for kind, style in model.formats.items():
        odd = [name for name in ("expand", "attend_expansion") if getattr(style, name)]
        odd += [] if style.marker is None else ["marker"]
        odd += ["terms"] if model.sparse and style.terms != style.max_length else []
        odd += ["skip"] if isinstance(model, ColBERT) and model.projection.skip.numel() else []
        if odd:
            raise ValueError(
                f"neural-cherche's layout has no place for the {kind} format's {', '.join(odd)}: "
                "save the model with `save` instead"
            )


def _metadata(model: ColBERT | Splade) -> dict[str, object]:
    styles = model.formats
    own: dict[str, object] = {f"max_length_{kind}": styles[kind].max_length for kind in _LENGTHS}
    own |= {f"{kind}_prefix": styles[kind].prompt for kind in _LENGTHS}
    own |= {"padding": "max_length", "truncation": True, "add_special_tokens": styles["query"].special_tokens}
    return {**own, "n_mask_tokens": styles["query"].masks} if model.sparse else own


def _holds(folder: Path, metadata: dict[str, Any]) -> Architecture:
    if not (folder / "linear.pt").is_file():
        return "splade"
    return "sparse_embed" if "n_mask_tokens" in metadata else "colbert"


def _format(metadata: dict[str, Any], kind: Kind, wanted: Architecture, longest: int) -> TextFormat:
    name, default = _LENGTHS[kind]
    length = min(int(metadata.get(name, default)), longest)
    prefix = {"document": "[D] ", "query": "[Q] "}[kind] if wanted == "colbert" else ""
    prompt = str(metadata.get(f"{kind}_prefix", prefix))
    plain = TextFormat(length, prompt=prompt, special_tokens=bool(metadata.get("add_special_tokens", True)))
    if wanted == "colbert":
        return plain
    return replace(plain, masks=int(metadata.get("n_mask_tokens", 3)), terms=length)
