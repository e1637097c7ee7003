"""Losses of given scores and the FLOPS schedule, with neural-cherche's names, for custom training loops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cherche_models.losses.flops import flops, quadratic
from cherche_models.losses.ranking import ranking
from cherche_models.types import Compat


class Ranking(nn.Module):
    """Cross entropy of each positive against its negatives."""

    def forward(self, positive_scores: Tensor, negative_scores: Tensor) -> Tensor:
        """The loss, a scalar.

        Parameters
        ----------
        positive_scores : Tensor, shape (batch,)
        negative_scores : Tensor, shape (batch,) or (batch, negatives)
            -inf for negatives to leave out.

        >>> round(float(Ranking()(torch.tensor([1.0]), torch.tensor([0.0]))), 4)
        0.3133
        """
        negatives = negative_scores.unsqueeze(1) if negative_scores.ndim == 1 else negative_scores
        scores = torch.cat([positive_scores.unsqueeze(1), negatives], dim=1)
        return ranking(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


class Flops(nn.Module):
    """FLOPS regularisation: the FLOPS of anchors plus those of documents.

    Parameters
    ----------
    compat : {"1.4"} or None
        Compute it as that release of neural-cherche: the clipped distance from the
        threshold, whose gradient is 0 outside a narrow window and changes sign inside it.
    """

    def __init__(self, compat: Compat | None = None) -> None:
        super().__init__()
        self.compat: Compat | None = compat

    def forward(
        self,
        anchor_activations: Tensor,
        positive_activations: Tensor,
        negative_activations: Tensor,
        threshold: float | None = None,
        max_flops_loss: float | None = None,
    ) -> Tensor:
        """The loss, a scalar.

        Parameters
        ----------
        anchor_activations, positive_activations, negative_activations : tensors, shape (batch, vocabulary)
        threshold : float or None
            FLOPS below it cost nothing; None for 0, or 30 with compat 1.4.
        max_flops_loss : float or None
            Maximum loss. A larger one is scaled down together with its gradient, not clipped.
            None for no maximum, or 1 with compat 1.4.

        >>> weights = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
        >>> float(Flops()(weights, weights, weights)), float(Flops()(weights, weights, weights, threshold=4.0))
        (10.0, 6.0)
        >>> float(Flops(compat="1.4")(weights, weights, weights))
        1.0
        """
        documents = torch.cat([positive_activations, negative_activations])
        if self.compat:
            cost = flops(torch.cat([anchor_activations, documents]))
            distance = ((30.0 if threshold is None else threshold) - cost).abs()
            return distance.clip(max=1.0 if max_flops_loss is None else max_flops_loss)
        return bounded(flops(anchor_activations) + flops(documents), threshold, max_flops_loss)


def bounded(cost: Tensor, threshold: float | None = None, most: float | None = None) -> Tensor:
    """The cost above a threshold, scaled down to at most `most`; the gradient does not vanish at the maximum.

    Raises
    ------
    ValueError
        If `most` is not above 0.

    >>> cost = torch.tensor(12.0, requires_grad=True)
    >>> loss = bounded(cost, threshold=2.0, most=5.0)
    >>> loss.item(), torch.autograd.grad(loss, cost)[0].item()
    (5.0, 0.5)
    """
    if most is not None and most <= 0:
        raise ValueError(f"max_flops_loss {most} is not above 0")
    above = cost if threshold is None else torch.relu(cost - threshold)
    return above if most is None else above * (most / above.detach().clamp(min=most))


class FlopsScheduler:
    """Quadratic schedule of a regulariser's weight.

    Parameters
    ----------
    weight : float
        Final weight.
    steps : int
        Steps until the final weight.

    >>> scheduler = FlopsScheduler(weight=1.0, steps=4)
    >>> [scheduler.get() for _ in range(4)]
    [0.25, 0.5625, 1.0, 1.0]
    """

    def __init__(self, weight: float = 3e-6, steps: int = 10000) -> None:
        self.final = weight
        self.weight = 0.0
        self.steps = steps
        self._step = 1

    def get(self) -> float:
        """Weight of the next step."""
        self._step += 1
        self.weight = self.final * quadratic(self._step, self.steps)
        return self.weight
