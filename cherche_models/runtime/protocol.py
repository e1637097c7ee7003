"""The interface between a model and the runtime of its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.runtime import packed, screen
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.head import hide_padding, max_logits
from cherche_models.runtime.screen import Screen


class Runtime(Protocol):
    """Runs the encoder and the vocabulary head of a checkpoint, for inference.

    Outputs of runtimes agree within rounding: 1e-4 in float32, 1 % of a weight in bfloat16.
    """

    def packs(self) -> bool:
        """Whether it takes packed batches."""
        ...

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden), or (tokens, hidden) of a packed batch."""
        ...

    def transformed(self, hidden: Tensor) -> Tensor:
        """Input of the vocabulary decoder; any leading shape."""
        ...

    def max_logits(self, transformed: Tensor, mask: Tensor) -> Tensor:
        """Largest logit of each term, bias included, float32, shape (batch, vocabulary)."""
        ...

    def positive_logits(self, transformed: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor, list[int]]:
        """On the CPU: terms whose largest logit is positive, see `screen.positive_logits`."""
        ...


class TorchRuntime:
    """Runs the checkpoint's torch modules on their device.

    Parameters
    ----------
    backbone : Backbone
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._is_known: bool | None = None
        self._gain: float | None = None
        self._screen: Screen | None = None

    def packs(self) -> bool:
        """Whether it takes packed batches: on a CPU, of encoders whose layout is known; never while training."""
        if self._backbone.device.type != "cpu" or self._backbone.training:
            return False
        if self._is_known is None:
            self._is_known = packed.is_known(self._backbone)
        return self._is_known

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden), or (tokens, hidden) of a packed batch."""
        if batch.packed:
            return packed.hidden_states(self._backbone, batch.input_ids, batch.lengths)
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

    def positive_logits(self, transformed: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor, list[int]]:
        """On the CPU: terms whose largest logit is positive, see `screen.positive_logits`."""
        weight, bias = self._backbone.decoder.weight, self._backbone.decoder.bias
        return screen.positive_logits(transformed, lengths, weight, bias, self._screen_of(weight, bias))

    def _screen_of(self, weight: Tensor, bias: Tensor | None) -> Screen | None:
        if self._gain is None:
            self._gain = screen.gain(weight)
        if self._gain < screen.ENOUGH:
            return None
        if self._screen is None or not self._screen.fits(weight, bias):
            self._screen = Screen.of(weight, bias)
        return self._screen
