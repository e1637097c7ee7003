"""AdamW with a learning rate for each kind of weight, and an exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cherche_models.models.base import Model
from cherche_models.train.settings import Settings


def adamw(model: Model, settings: Settings) -> torch.optim.AdamW:
    """AdamW over the trainable weights; each group's `share` is its factor of the learning rate.

    Raises
    ------
    ValueError
        If all weights are frozen.
    """
    words = model.backbone.model.get_input_embeddings().weight
    if settings.word_rate == 0:
        words.requires_grad_(False)
    encoder: Any = model.backbone.model.base_model
    rates = {
        **{id(parameter): settings.vocabulary_rate for parameter in model.backbone.parameters()},
        **{id(parameter): 1.0 for parameter in encoder.parameters()},
        id(words): settings.word_rate,
    }
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            share = rates.get(id(parameter), settings.head_rate)
            groups.setdefault((decay, share), []).append(parameter)
    if not groups:
        raise ValueError("every weight is frozen: there is nothing to train")
    return torch.optim.AdamW(
        [{"params": found, "weight_decay": decay, "share": share} for (decay, share), found in groups.items()],
        lr=settings.learning_rate,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate to `rate` times the group's share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable weights by name; tied weights once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class Average:
    """An exponential moving average of the trainable weights.

    Parameters
    ----------
    model : nn.Module
    keep : float
        Decay. At most ``(1 + n) / (10 + n)`` after n updates, so that the initial
        weights do not dominate early averages.
    """

    def __init__(self, model: nn.Module, keep: float) -> None:
        self._parameters = trained(model)
        self._keep = keep
        self.moves = 0
        self.values = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def move(self) -> None:
        """Update the average with the current weights."""
        keep = min(self._keep, (1 + self.moves) / (10 + self.moves))
        self.moves += 1
        for name, value in self.values.items():
            value.lerp_(self._parameters[name].detach(), 1.0 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the average into the model for the duration of the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            held = parameter.detach().clone()
            parameter.data.copy_(self.values[name])
            self.values[name].copy_(held)
