"""The interface between a model and the runtime of its encoder."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.head import hide_padding, max_logits


class Runtime(Protocol):
    """Runs the encoder and the vocabulary head of a checkpoint, for inference.

    Outputs of runtimes agree within rounding: 1e-4 in float32, 1 % of a weight in bfloat16.
    """

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden)."""
        ...

    def transformed(self, hidden: Tensor) -> Tensor:
        """Input of the vocabulary decoder; any leading shape."""
        ...

    def max_logits(self, transformed: Tensor, mask: Tensor) -> Tensor:
        """Largest logit of each term, bias included, float32, shape (batch, vocabulary)."""
        ...


class TorchRuntime:
    """Runs the checkpoint's torch modules on their device.

    Parameters
    ----------
    backbone : Backbone
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden)."""
        hidden: Tensor = self._backbone(batch.input_ids, batch.attention_mask)
        return hidden

    def transformed(self, hidden: Tensor) -> Tensor:
        """Input of the vocabulary decoder; any leading shape."""
        return self._backbone.transform(hidden)

    def max_logits(self, transformed: Tensor, mask: Tensor) -> Tensor:
        """Largest logit of each term, bias included, float32, shape (batch, vocabulary)."""
        decoder = self._backbone.decoder
        logits = max_logits(hide_padding(transformed, mask), decoder.weight.to(transformed.dtype)).float()
        return logits if decoder.bias is None else logits.add_(decoder.bias.float())
