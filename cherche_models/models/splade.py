"""SPLADE: term weights from a masked-LM head.

Formal et al. 2021, "SPLADE v2", eq. 6: ``w_j = max_i log(1 + ReLU(logit_ij))``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.models.base import Model, Output
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.head import max_logits
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights

Activation = Literal["relu", "log1p_relu"]


class Splade(Model):
    """Term weights over the vocabulary, expanded by the model.

    Parameters
    ----------
    backbone : Backbone
        With a masked-LM head.
    tokenizer : Tokenizer
    document, query : TextFormat or None
        None for the backbone's maximum length and no prompt.
    activation : {"relu", "log1p_relu"}
        ``log1p_relu`` takes the logarithm twice, as OpenSearch's v3 models do
        (Geng et al. 2025, arXiv 2504.14839).
    """

    architecture = "splade"
    sparse = True

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        activation: Activation = "relu",
    ) -> None:
        default = TextFormat(backbone.max_length)
        super().__init__(tokenizer, document or default, query or default)
        self.backbone = backbone
        self.activation = activation

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Dense term weights, shape (batch, vocabulary)."""
        hidden = self.backbone(input_ids, attention_mask)
        return Output(weights=self.term_weights(hidden, attention_mask.bool()))

    def term_weights(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Differentiable head: hidden states (batch, length, hidden) to weights (batch, vocabulary)."""
        decoder = self.backbone.decoder
        logits = max_logits(self.backbone.transform(hidden), mask, decoder.weight)
        return activate(logits, decoder.bias, self.activation)

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Term weights of one batch."""
        output = self(batch.input_ids, batch.attention_mask, kind)
        return [Encoding(weights, None) for weights in sparsify(output.weights, batch)]


def activate(logits: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    """Largest logits to weights: bias, ReLU, log(1 + x), in float32.

    >>> activate(torch.tensor([-1.0, 1.718281828]), None, "relu").tolist()
    [0.0, 1.0]
    """
    weights = logits.float() if bias is None else logits.float() + bias.float()
    weights = torch.log1p(torch.relu(weights))
    return torch.log1p(weights) if activation == "log1p_relu" else weights


def sparsify(weights: Tensor, batch: Batch) -> list[TermWeights]:
    """Positive weights of each row.

    Raises
    ------
    ValueError
        If a row holds NaN or infinity, naming the text's position.
    """
    broken = ~torch.isfinite(weights).all(dim=1)
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        raise ValueError(f"the model gave NaN or infinite weights for text {batch.positions[row]}")
    array = weights.cpu().numpy()
    found = []
    for row in array:
        ids = row.nonzero()[0]
        found.append(TermWeights(ids.astype("uint32"), row[ids]))
    return found
