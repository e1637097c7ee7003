"""MaxSim over packed documents on any torch device.

The same scores as `cherche_models.scores.maxsim`, for documents on a GPU or for
many queries at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cherche_models.scores import Packed, Scores, pack
from cherche_models.types import TokenEmbeddings

_SIMILARITIES = 1 << 24
"""Maximum similarities in memory at once: 64 MiB of float32."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTensor:
    """Token embeddings of several documents in one matrix, on a device.

    Attributes
    ----------
    vectors : Tensor, shape (all tokens, dim)
    owners : int64 Tensor, shape (all tokens,)
        Document of each row, non-decreasing.
    documents : int
    """

    vectors: Tensor
    owners: Tensor
    documents: int

    @classmethod
    def of(
        cls,
        documents: Packed,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> PackedTensor:
        """Copy packed documents to a device."""
        owners = np.repeat(np.arange(len(documents)), np.diff(documents.offsets))
        return cls(
            torch.from_numpy(documents.vectors).to(device, dtype), torch.from_numpy(owners).to(device), len(documents)
        )


def maxsim(queries: Sequence[TokenEmbeddings], documents: PackedTensor) -> Scores:
    """MaxSim of each query with each document (Khattab & Zaharia 2020, eq. 3).

    Parameters
    ----------
    queries : sequence of TokenEmbeddings
    documents : PackedTensor

    Returns
    -------
    float32 array, shape (queries, documents); -inf where either has no tokens.

    Raises
    ------
    ValueError
        If queries and documents differ in dimension.

    >>> query = TokenEmbeddings(np.array([[1, 0], [0, 1]], dtype=np.float32))
    >>> document = TokenEmbeddings(np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))
    >>> maxsim([query], PackedTensor.of(pack([document]))).round(4).tolist()
    [[1.7999999523162842]]
    """
    packed = pack(queries)
    scores = torch.full((len(queries), documents.documents), -torch.inf, device=documents.vectors.device)
    if not packed.vectors.size or not documents.vectors.numel():
        return scores.cpu().numpy()
    if packed.vectors.shape[1] != documents.vectors.shape[1]:
        raise ValueError(
            f"query tokens have {packed.vectors.shape[1]} dimensions, document tokens "
            f"{documents.vectors.shape[1]}: encode both with the same model"
        )
    rows = max(1, _SIMILARITIES // documents.vectors.shape[0])
    parts = np.split(packed.vectors, range(rows, len(packed.vectors), rows))
    best = torch.cat([_best(torch.from_numpy(part), documents) for part in parts])
    owners = torch.repeat_interleave(torch.arange(len(queries)), torch.from_numpy(np.diff(packed.offsets))).to(
        best.device
    )
    totals = torch.zeros_like(scores).index_add_(0, owners, best)
    has_tokens = torch.from_numpy(np.diff(packed.offsets) > 0).to(best.device)
    return torch.where(has_tokens.unsqueeze(1), totals, scores).cpu().numpy()


def _best(tokens: Tensor, documents: PackedTensor) -> Tensor:
    """Largest similarity of each query token in each document, shape (tokens, documents)."""
    similarity = (tokens.to(documents.vectors) @ documents.vectors.T).float()
    best = similarity.new_full((tokens.shape[0], documents.documents), -torch.inf)
    return best.scatter_reduce_(1, documents.owners.expand_as(similarity), similarity, "amax")
