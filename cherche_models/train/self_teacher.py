"""A model as the teacher of its own further training, so that a short run moves it only as far as its data asks for."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from cherche_models.losses import JointLoss, late_scores, sparse_scores
from cherche_models.models.base import Model, Output
from cherche_models.tokenizer import Kind
from cherche_models.train import gradient
from cherche_models.train.settings import Settings

_TEXTS = 32


class SelfTeacher:
    """A frozen copy of a model, whose scores are the mean of its heads'.

    Each head learns from both of them: self-knowledge distillation (Chen et al. 2024, "M3-Embedding",
    arXiv:2402.03216, section 3.2, with the mean in place of their weighted sum).

    Parameters
    ----------
    model : Model
        As it is before training.
    loss : JointLoss
        Its factors bring the heads' scores to one scale.
    settings : Settings
        Maximum lengths and number format of the training.

    Attributes
    ----------
    digest : str
        Of the model.
    """

    def __init__(self, model: Model, loss: JointLoss, settings: Settings) -> None:
        self._model = deepcopy(model).eval().requires_grad_(False)
        self.digest = model.digest
        self._loss, self._settings = loss, settings

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Mean logits of the heads, shape (queries, documents)."""
        asked = self._encoded(queries, "query")
        return torch.cat(
            [
                self._scores(asked, self._encoded(documents[start : start + _TEXTS], "document"))
                for start in range(0, len(documents), _TEXTS)
            ],
            dim=1,
        )

    def _encoded(self, texts: Sequence[str], kind: Kind) -> Output:
        with torch.no_grad():  # tensors of inference mode could not be part of the loss's graph
            inputs = gradient.encoded(self._model, texts, kind, self._settings)
            return gradient.forward(self._model, inputs, kind, self._settings)

    def _scores(self, queries: Output, documents: Output) -> Tensor:
        found = heads(queries, documents)
        scales = {"sparse": self._loss.sparse_scale, "maxsim": self._loss.maxsim_scale}
        return torch.stack([scales[name] * scores for name, scores in found.items()]).mean(dim=0)


def heads(queries: Output, documents: Output) -> dict[str, Tensor]:
    """Scores of each head that the outputs have, in float32, shape (queries, documents)."""
    found = {}
    if queries.weights is not None and documents.weights is not None:
        found["sparse"] = sparse_scores(queries.weights.float(), documents.weights.float())
    if queries.embeddings is not None and documents.embeddings is not None:
        found["maxsim"] = late_scores(queries, documents).float()
    return found


def calibrated(
    model: Model, queries: Sequence[str], documents: Sequence[str], loss: JointLoss, settings: Settings, spread: float
) -> dict[str, float]:
    """Factors with which the scores of each head differ by `spread` among the candidates of a query.

    Dot products of term weights are several times as large as MaxSim, and both differ from model to model; a softmax
    over them is as peaked for every model with these factors.

    Parameters
    ----------
    model : Model
    queries, documents : sequence of str
        Each query is scored with every document.
    loss, settings : JointLoss, Settings
    spread : float
        Standard deviation over the candidates, mean over the queries.

    Returns
    -------
    dict
        By head, ``sparse`` or ``maxsim``, of those that the model has.
    """
    teacher = SelfTeacher(model, loss, settings)
    found = heads(teacher._encoded(queries, "query"), teacher._encoded(documents, "document"))
    return {
        name: round(spread / max(float(scores.std(dim=1).mean()), spread / 100), 6) for name, scores in found.items()
    }
