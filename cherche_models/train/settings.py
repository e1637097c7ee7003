"""Hyperparameters of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Decay = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyperparameters of a run; a resumed run must have the same.

    Attributes
    ----------
    steps : int
        Number of batches.
    negatives : int
        Hard negatives drawn for each query.
    learning_rate, weight_decay : float
        Of AdamW; biases and norms do not decay.
    head_rate : float
        Factor of the learning rate for weights outside the backbone, such as a new head.
    vocabulary_rate : float
        Factor of the learning rate for the masked-LM head, apart from the word embeddings tied to it.
    warmup : float
        Share of the steps over which the learning rate rises linearly.
    word_rate : float
        Factor of the learning rate for the word embeddings; 0 freezes them. Adam normalises
        gradients, so rows of rare words move as far as those of frequent ones and lose
        their pretrained meaning.
    clip : float
        Maximum norm of the whole gradient.
    query_length, document_length : int
        Maximum tokens during training; the model's own maxima are unchanged.
    seed : int
    save_every : int
        Steps between saved states.
    bf16 : bool
        Multiply in bfloat16 (autocast); weights, moments and losses stay in float32.
    dropout : bool
        Whether the encoder drops units as its checkpoint says. Without it attention is one fused
        operation, and a step takes about a quarter less time on a CPU.
    accumulate : int
        Gradient accumulation: steps per weight update. The last window may be shorter.
    chunk : int
        Gradient caching: texts encoded at once; 0 for the whole batch. Memory grows with the
        chunk, the loss covers the whole batch, and each text is encoded twice.
    in_batch : bool
        Use the candidates of other queries as negatives too.
    decay : {"linear", "cosine", "constant"}
        Learning rate schedule after the warm-up; linear and cosine fall to 0.
    ema : float
        Decay of an exponential moving average of the weights, such as 0.999; the average
        is measured and returned in place of the weights. 0 for none.
    temperature : float
        Divisor of the examples' teacher scores.
    """

    steps: int
    negatives: int = 2
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    head_rate: float = 1.0
    word_rate: float = 1.0
    vocabulary_rate: float = 1.0
    warmup: float = 0.1
    clip: float = 1.0
    query_length: int = 64
    document_length: int = 256
    seed: int = 0
    save_every: int = 100
    bf16: bool = False
    dropout: bool = True
    accumulate: int = 1
    chunk: int = 0
    in_batch: bool = True
    decay: Decay = "linear"
    ema: float = 0.0
    temperature: float = 1.0

    def rate(self, step: int) -> float:
        """Learning rate of a step.

        >>> Settings(steps=10, learning_rate=1.0, warmup=0.2).rate(0)
        0.5
        """
        rise = max(1, math.ceil(self.steps * self.warmup))
        left = max(0.0, (self.steps - step) / max(1, self.steps - rise))
        if self.decay == "cosine":
            left = (1.0 - math.cos(math.pi * min(1.0, left))) / 2
        return self.learning_rate * min((step + 1) / rise, 1.0 if self.decay == "constant" else left)

    def window(self, step: int) -> tuple[int, int]:
        """Accumulation window of a step: its first step, and one past its last.

        >>> Settings(steps=7, accumulate=3).window(6)
        (6, 7)
        """
        first = step - step % self.accumulate
        return first, min(first + self.accumulate, self.steps)
