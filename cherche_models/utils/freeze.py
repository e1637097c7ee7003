"""Freeze the encoder's lower layers."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import nn

from cherche_models.backbone import Backbone

M = TypeVar("M", bound=nn.Module)


class HasBackbone(Protocol):
    """A model with a backbone."""

    @property
    def backbone(self) -> Backbone:
        """Its transformer."""


def freeze_layers(model: M, n_layers: int = 5) -> M:
    """Freeze the embeddings and all encoder layers but the last; heads are not changed.

    Parameters
    ----------
    model : Module
        A model of this library or of transformers.
    n_layers : int
        HasBackbone layers to train.

    Returns
    -------
    Module
        The same object.

    Raises
    ------
    ValueError
        If `n_layers` is negative, or the model has no list of layers.

    >>> layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    >>> encoder = nn.ModuleDict({"embed": nn.Embedding(2, 2), "layers": layers})
    >>> [name for name, p in freeze_layers(encoder, 1).named_parameters() if p.requires_grad]
    ['layers.1.weight', 'layers.1.bias']
    """
    if n_layers < 0:
        raise ValueError(f"n_layers {n_layers} is below 0")
    encoder = _encoder(model)
    layers = max((part for part in encoder.modules() if isinstance(part, nn.ModuleList)), key=len, default=None)
    if layers is None:
        raise ValueError(f"a {type(encoder).__name__} has no list of layers: freeze its parameters yourself")
    encoder.requires_grad_(False)
    for layer in list(layers)[max(len(layers) - n_layers, 0) :]:
        layer.requires_grad_(True)
    return model


def layers(model: HasBackbone) -> list[nn.Module]:
    """The encoder's layers, lowest first.

    Raises
    ------
    ValueError
        If the encoder has no list of that many modules.
    """
    encoder: Any = model.backbone.model.base_model
    count = int(model.backbone.model.config.num_hidden_layers)
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise ValueError(f"no list of {count} layers in a {type(encoder).__name__}: freeze its parameters yourself")


def freeze(model: HasBackbone, keep: int) -> None:
    """Freeze the embeddings and all encoder layers but the last `keep`.

    The modules after the layers stay trainable. A masked-LM decoder tied to the
    word embeddings is frozen with them.

    Parameters
    ----------
    model : HasBackbone
        A model of this library.
    keep : int
        Layers to train.

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
    _unfreeze_after_layers(encoder, found)


def _encoder(model: nn.Module) -> nn.Module:
    """The transformer without its heads."""
    backbone = getattr(model, "backbone", None)
    whole = backbone.model if isinstance(backbone, nn.Module) else model
    inner = getattr(whole, "base_model", whole)
    return inner if isinstance(inner, nn.Module) else model


def _unfreeze_after_layers(encoder: nn.Module, found: list[nn.Module]) -> None:
    """Train the encoder's modules that are neither embeddings nor layers, such as ModernBERT's final norm."""
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
