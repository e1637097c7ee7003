"""Rerank by MaxSim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cherche_models.models import Model
from cherche_models.rank.base import ModelRanker
from cherche_models.retrieve.colbert import check_late_interaction, token_embeddings
from cherche_models.scores import maxsim, pack
from cherche_models.types import Encoding, Floats, TokenEmbeddings


class ColBERT(ModelRanker[Floats]):
    """Orders candidates by MaxSim.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : Model
        With token embeddings: ColBERT, or a joint model.
    device : str or None
        Moves the model there; MaxSim runs on the CPU, as there are few candidates.

    Raises
    ------
    ValueError
        If the model has no token embeddings.
    """

    def _check(self, model: Model) -> None:
        check_late_interaction(model)

    def _embedding(self, encoding: Encoding) -> Floats:
        return token_embeddings(encoding)

    def _score(self, query: Floats, documents: list[Floats]) -> NDArray[np.float32]:
        return maxsim(TokenEmbeddings(query), pack([TokenEmbeddings(rows) for rows in documents]))
