"""neural-cherche: a masked-LM checkpoint, ``metadata.json``, and ``linear.pt`` where there is a projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json, read_pickle
from cherche_models.layouts.request import Architecture, Request
from cherche_models.models import ColBERT, Model, SparseEmbed, Splade
from cherche_models.tokenizer import Kind, TextFormat

_LENGTHS: dict[Kind, tuple[str, int]] = {
    "document": ("max_length_document", 256),
    "query": ("max_length_query", 64),
}


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
    wanted = request.choose(found, _also(found), folder)
    body = backbone.load(folder, vocabulary=wanted != "colbert", dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(folder)
    styles = {kind: _format(metadata, kind, wanted, body.max_length) for kind in _LENGTHS}
    texts = (body, words, styles["document"], styles["query"])
    if wanted == "splade":
        return Splade(*texts)
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


def _holds(folder: Path, metadata: dict[str, Any]) -> Architecture:
    if not (folder / "linear.pt").is_file():
        return "splade"
    return "sparse_embed" if "n_mask_tokens" in metadata else "colbert"


def _also(found: Architecture) -> tuple[Architecture, ...]:
    return ("splade",) if found == "splade" else ("splade", "colbert", "sparse_embed")


def _format(metadata: dict[str, Any], kind: Kind, wanted: Architecture, longest: int) -> TextFormat:
    name, default = _LENGTHS[kind]
    length = min(int(metadata.get(name, default)), longest)
    prefix = {"document": "[D] ", "query": "[Q] "}[kind] if wanted == "colbert" else ""
    prompt = str(metadata.get(f"{kind}_prefix", prefix))
    if wanted == "colbert":
        return TextFormat(length, prompt=prompt)
    return TextFormat(length, prompt=prompt, masks=int(metadata.get("n_mask_tokens", 3)), terms=length)
