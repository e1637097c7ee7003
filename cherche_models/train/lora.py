"""Low-rank adapters while training (Hu et al. 2021, "LoRA"), merged into the weights afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from cherche_models.models.base import Model


@contextmanager
def lora(model: Model, rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> Iterator[int]:
    """Train low-rank adapters of the encoder's linear layers; needs the extra ``train`` (peft).

    Within the block, all other weights of the backbone are frozen; weights outside it,
    such as a new projection, are trained. At the end of the block the adapters are
    merged, so the model can be saved as an ordinary checkpoint.

    Parameters
    ----------
    model : Model
    rank : int
    alpha : int
        Adapters are scaled by ``alpha / rank``.
    dropout : float

    Yields
    ------
    int
        Number of weights in the adapters.

    Raises
    ------
    ImportError
        If peft is not installed.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise ImportError("adapters need peft — run: pip install 'cherche-sidecar[train]'") from error
    body: Any = model.backbone.model
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets(body.base_model))
    tuner: Any = LoraModel(body, config, "default")
    for name, parameter in body.named_parameters():
        parameter.requires_grad_("lora_" in name)
    try:
        yield sum(parameter.numel() for parameter in body.parameters() if parameter.requires_grad)
    finally:
        tuner.merge_and_unload()
        for parameter in model.parameters():
            parameter.requires_grad_(True)


def targets(encoder: nn.Module) -> list[str]:
    """Suffixes of the names of the encoder's linear layers, which peft matches.

    >>> targets(nn.ModuleDict({"query": nn.Linear(2, 2), "norm": nn.LayerNorm(2)}))
    ['query']
    """
    found = {name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    return sorted({_without_number(name) for name in found})


def _without_number(name: str) -> str:
    """The part of a dotted name after its last number."""
    parts = name.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[last + 1 :])
