"""Leave layers as they are: layers of the encoder, not tensors of a list."""

from __future__ import annotations

from typing import Any

from torch import nn

from cherche_models.models.base import Model


def layers(model: Model) -> list[nn.Module]:
    """The encoder's layers, lowest first.

    Raises
    ------
    ValueError
        If the encoder keeps them in an unknown way.
    """
    encoder: Any = model.backbone.model.base_model
    count = int(model.backbone.model.config.num_hidden_layers)
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise ValueError(f"no list of {count} layers in a {type(encoder).__name__}: freeze its parameters yourself")


def freeze(model: Model, keep: int) -> None:
    """Train the encoder's last layers alone, and what lies above them.

    Frozen are the embeddings and all layers but the last `keep`. A masked-LM
    decoder that is tied to the word embeddings is frozen with them.

    Parameters
    ----------
    model : Model
    keep : int
        Layers that are trained; with all of them the embeddings alone are frozen.

    Raises
    ------
    ValueError
        If the model has fewer layers.
    """
    found = layers(model)
    if not 0 <= keep <= len(found):
        raise ValueError(f"cannot train the last {keep} of {len(found)} layers: give a number from 0 to {len(found)}")
    encoder: Any = model.backbone.model.base_model
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for layer in found[len(found) - keep :]:
        layer.requires_grad_(True)
    _free_above(encoder, found)


def _free_above(encoder: nn.Module, found: list[nn.Module]) -> None:
    """What the encoder does after its layers, such as ModernBERT's last norm, is trained."""
    inside = {id(parameter) for layer in found for parameter in layer.parameters()}
    embeddings = {
        id(parameter)
        for name, module in encoder.named_children()
        if "embed" in name.lower()
        for parameter in module.parameters()
    }
    for parameter in encoder.parameters():
        if id(parameter) not in inside | embeddings:
            parameter.requires_grad_(True)
