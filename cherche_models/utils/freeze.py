"""Train the last layers only."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def freeze_layers(model: M, n_layers: int = 5) -> M:
    """Freeze the embeddings and all encoder layers but the last; heads stay as they are.

    Parameters
    ----------
    model : Module
        One of ours, or a transformers model.
    n_layers : int
        Encoder layers that go on learning.

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
        raise ValueError(f"a {type(encoder).__name__} has no list of layers: freeze its parameters by hand")
    encoder.requires_grad_(False)
    for layer in list(layers)[max(len(layers) - n_layers, 0) :]:
        layer.requires_grad_(True)
    return model


def _encoder(model: nn.Module) -> nn.Module:
    """The transformer without heads."""
    backbone = getattr(model, "backbone", None)
    whole = backbone.model if isinstance(backbone, nn.Module) else model
    inner = getattr(whole, "base_model", whole)
    return inner if isinstance(inner, nn.Module) else model
