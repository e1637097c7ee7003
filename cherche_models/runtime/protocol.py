"""The interface between a model and the runtime of its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.runtime import native, packed, screen
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.graphs import Graphs
from cherche_models.runtime.head import hide_padding, max_logits
from cherche_models.runtime.native import Native
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

    def short(self) -> native.Choice:
        """Up to which length something else runs a query faster."""
        ...

    def native(self, check: bool = True) -> Native | None:
        """What that is."""
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
        self._choice: native.Choice | None = None
        self._native: Native | None = None
        self._graphs = Graphs(backbone)

    def __getstate__(self) -> dict[str, object]:
        # A copy has weights of its own, and addresses in a library cannot be copied.
        return {**self.__dict__, "_choice": None, "_native": None, "_graphs": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._graphs = Graphs(self._backbone)

    def packs(self) -> bool:
        """Whether it takes packed batches: on a CPU, of encoders whose layout is known; never while training."""
        if self._backbone.device.type != "cpu" or self._backbone.training:
            return False
        if self._is_known is None:
            self._is_known = packed.is_known(self._backbone)
        return self._is_known

    @property
    def _on_cuda(self) -> bool:
        return self._backbone.device.type == "cuda"

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden), or (tokens, hidden) of a packed batch."""
        if batch.packed:
            return packed.hidden_states(self._backbone, batch.input_ids, batch.lengths)
        small = self._graphs.hidden_states(batch.input_ids, batch.attention_mask) if self._on_cuda else None
        hidden: Tensor = self._backbone(batch.input_ids, batch.attention_mask) if small is None else small
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

    def short(self) -> native.Choice:
        """Up to which length something else runs a query faster, as measured at the first call; see `native.choose`."""
        if not self.packs():
            return native.Choice(0, self._graphs.measured() if self._on_cuda else "")
        if self._choice is None:
            self._choice = native.choose(self._backbone, self._run)
        return self._choice

    def native(self, check: bool = True) -> Native | None:
        """What runs queries of at most ``short().most`` tokens; None for this runtime itself.

        Without the check it may read weights that the model had.
        """
        chosen = self.short()
        if chosen.kernel is None:
            return None
        found = self._native
        if found is not None and not check:
            return found
        if found is None or not found.fits():
            try:
                found = self._native = Native(self._backbone, chosen.kernel)
            except native.Unknown as error:  # it was changed since
                self._choice = native.Choice(0, f"torch, since {error}")
                return None
        return found

    def _run(self, ids: Tensor) -> None:
        hidden = packed.hidden_states(self._backbone, ids, [len(ids)])
        if self._backbone.has_vocabulary:
            self.positive_logits(self.transformed(hidden), [len(ids)])

    def _screen_of(self, weight: Tensor, bias: Tensor | None) -> Screen | None:
        if self._gain is None:
            self._gain = screen.kept_gain(weight)
        if self._gain < screen.ENOUGH:
            return None
        if self._screen is None or not self._screen.fits(weight, bias):
            self._screen = Screen.of(weight, bias)
        return self._screen
