"""Random tensors and outputs of the tests of losses."""

from __future__ import annotations

import torch
from torch import Tensor

from cherche_models.losses import Targets
from cherche_models.models import Output


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TARGETS = Targets(torch.tensor([0, 1]), torch.zeros(2, 4, dtype=torch.bool), noise(2, 4, seed=4))


def outputs(requires_grad: bool = True) -> tuple[list[Tensor], Output, Output]:
    tensors = [noise(2, 7).abs(), noise(4, 7, seed=1).abs(), noise(2, 3, 4, seed=2), noise(4, 5, 4, seed=3)]
    for tensor in tensors:
        tensor.requires_grad_(requires_grad)
    query_weights, document_weights, query_vectors, document_vectors = tensors
    queries = Output(query_weights, query_vectors, torch.ones(2, 3, dtype=torch.bool))
    documents = Output(document_weights, document_vectors, torch.ones(4, 5, dtype=torch.bool))
    return tensors, queries, documents
