"""Weight averaging of models that were fine-tuned from one checkpoint.

Fine-tuned and original weights are connected by a path of low loss. Their mean keeps most of the gain on the new data
and loses less on the old (Wortsman et al. 2022, arXiv:2203.05482 and arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor

from cherche_models.models import ColBERT, Joint
from cherche_models.models.base import Model
from cherche_models.models.colbert import Projection

M = TypeVar("M", bound=Model)


def average(models: Sequence[M], shares: Sequence[float], *, aligned: bool = False) -> M:
    """Weighted mean of models that were trained from one checkpoint.

    A projection W scores a pair of tokens by qᵀWᵀWd, so W is determined only up to a rotation. WᵀW is averaged
    instead; the result is its symmetric square root, as wide as the hidden states. `head.narrow` reduces it again.

    Parameters
    ----------
    models : sequence of Model
    shares : sequence of float
        Positive; they sum to 1.
    aligned : bool
        The models were trained from one projection too: it is averaged as any other parameter, and keeps its width.

    Returns
    -------
    Model
        A copy of the first in float32, with the averaged parameters.

    Raises
    ------
    ValueError
        If the numbers of shares and models differ, a share is not positive, the shares do not sum to 1, the models
        differ in architecture or parameter shapes, or their projection is more than one matrix.
    """
    if len(models) != len(shares) or not models:
        raise ValueError(f"{len(models)} models and {len(shares)} shares: each model needs one")
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares are {', '.join(map(str, shares))}: give positive ones that sum to 1")
    mean = deepcopy(models[0]).float()
    states = [dict(model.state_dict()) if aligned else _parameters(model) for model in models]
    for state in states:
        _check_shapes(states[0], state)
    for model in () if aligned else models:
        if isinstance(model, ColBERT | Joint) and (
            len(model.projection.layers) or model.projection.linear.bias is not None
        ):
            raise ValueError("a projection with layers or a bias has no mean: average models with one matrix")
    mean.load_state_dict({name: _mean([state[name] for state in states], shares) for name in states[0]}, strict=False)
    if isinstance(mean, ColBERT | Joint) and not aligned:
        mean.projection = _projection(models, shares, mean.projection)
    return mean


def _parameters(model: Model) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if not name.startswith("projection.")}


def _check_shapes(first: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (first, other)]
    unlike = sorted(name for name in shapes[0].keys() | shapes[1] if shapes[0].get(name) != shapes[1].get(name))
    if unlike:
        raise ValueError(f"models differ in {', '.join(unlike[:3])}: average models trained from one checkpoint")


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack([share * value.float() for share, value in zip(shares, values, strict=True)]).sum(0)


def _projection(models: Sequence[Model], shares: Sequence[float], first: Projection) -> Projection:
    weights = [model.projection.linear.weight.float() for model in models if isinstance(model, ColBERT | Joint)]
    with torch.no_grad():
        gram = torch.stack([share * (w.T @ w) for share, w in zip(shares, weights, strict=True)]).sum(0)
        values, vectors = torch.linalg.eigh(gram)
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # rounding leaves zero eigenvalues slightly negative
    width = first.linear.in_features
    projection = Projection(width, width, first.skip.tolist()).to(root.device)
    with torch.no_grad():
        projection.linear.weight.copy_(root)
    return projection
