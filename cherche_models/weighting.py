"""How much each token of a query counts in MaxSim, by the model's own table of idf.

``sum_i w_i max_j q_i . d_j`` is the MaxSim of query vectors of length ``w_i``, so that nothing that scores, and nothing
that is stored of documents, knows of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cherche_models.types import Encoding, Floats, TokenEmbeddings

_LEAST_IDF = 0.01
"""What a token weighs at least: vectors keep a direction."""


@dataclass(frozen=True, slots=True)
class Weighting:
    """Of the tokens of a query.

    Attributes
    ----------
    idf_power : float
        An ordinary token weighs its idf to this power, at most 8.
    special_share : float
        What each special token, such as ``[CLS]``, weighs of the sum of the ordinary ones, at most 100 times it.
    """

    idf_power: float
    special_share: float

    def weights(self, ids: Sequence[int], table: Floats, special: Collection[int]) -> Floats:
        """Weight of each token, 1 on average, so that a MaxSim keeps its range.

        Parameters
        ----------
        ids : sequence of int
        table : float32 array, shape (vocabulary,)
            Idf of each term.
        special : collection of int
            Ids of special tokens.

        Returns
        -------
        float32 array, shape (ids,)
            Ones where all tokens are special.

        >>> table = np.array([0, 1, 3], np.float32)
        >>> Weighting(idf_power=1, special_share=0.5).weights([0, 1, 2, 0], table, {0}).tolist()
        [1.0, 0.5, 1.5, 1.0]
        """
        own = np.array([i in special for i in ids], bool)
        if bool(own.all()):
            return np.ones(len(ids), np.float32)
        found = np.maximum(table[list(ids)].astype(np.float64), _LEAST_IDF) ** self.idf_power
        found[own] = self.special_share * found[~own].sum()
        scaled: Floats = (found * (len(ids) / found.sum())).astype(np.float32)
        return scaled

    def applied(self, encoding: Encoding, ids: Sequence[int], table: Floats, special: Collection[int]) -> Encoding:
        """An encoding of a query with one vector for each of its tokens, which get their weights for lengths."""
        rows = encoding.embeddings
        if rows is None or not len(rows):
            return encoding
        weighed = rows.vectors * self.weights(ids, table, special)[:, None]
        return Encoding(encoding.weights, TokenEmbeddings(weighed), encoding.unknown_language)

    def stored(self) -> dict[str, Any]:
        """As ``cherche.json`` has it."""
        return {"idf_power": self.idf_power, "special_share": self.special_share}
