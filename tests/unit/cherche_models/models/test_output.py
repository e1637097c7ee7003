"""A forward pass gives what the model has heads for."""

from __future__ import annotations

import torch

from cherche_models.models import ColBERT, Joint, Splade
from cherche_models.models.output import Output


def test_a_head_that_there_is_not_gives_none(joint: Joint) -> None:
    assert Output() == (None, None, None, None)
    ids = torch.ones(1, 4, dtype=torch.long)
    own = joint.backbone, joint.tokenizer
    given = {Splade: (True, False), ColBERT: (False, True), Joint: (True, True)}
    for kind, (weights, embeddings) in given.items():
        output = kind(*own)(ids, ids)
        assert (output.weights is not None, output.embeddings is not None) == (weights, embeddings)
        assert (output.mask is not None) == embeddings
