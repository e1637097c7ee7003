"""How a training run goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Decay = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run goes; a resumed run must have the same.

    Attributes
    ----------
    steps : int
        Batches that are seen.
    negatives : int
        Hard negatives drawn for each query.
    learning_rate, weight_decay : float
        Of AdamW; biases and norms do not decay.
    head_rate : float
        Times the learning rate, for what lies outside the backbone: a new head starts from nothing.
    warmup : float
        Share of the steps over which the rate rises, linearly.
    word_rate : float
        Times the learning rate, for the word embeddings. Adam moves a row that few
        texts touch as far as one that all touch, so rare words forget what they meant.
    clip : float
        Largest norm of the whole gradient.
    query_length, document_length : int
        Tokens kept in training; the model's own maxima stay as they are.
    seed : int
    save_every : int
        Steps between saved states.
    bf16 : bool
        Multiply in bfloat16; weights, moments and losses stay in float32.
    accumulate : int
        Steps whose mean gradient moves the weights once; what the last, shorter window holds moves them too.
    chunk : int
        Texts that are encoded at once; 0 for the whole batch. Memory follows the
        chunk, the loss sees the whole batch, and each text is encoded twice.
    in_batch : bool
        Whether candidates of other queries are negatives too.
    decay : {"linear", "cosine", "constant"}
        How the rate falls after the warm-up: to 0, or not at all.
    ema : float
        Share that an average of the weights keeps of itself at each move, such as
        .999; the average is what is measured and what remains. 0 for none.
    temperature : float
        What the scores of examples are divided by.
    """

    steps: int
    negatives: int = 2
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    head_rate: float = 1.0
    word_rate: float = 1.0
    warmup: float = 0.1
    clip: float = 1.0
    query_length: int = 64
    document_length: int = 256
    seed: int = 0
    save_every: int = 100
    bf16: bool = False
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
        """First step of the window that a step belongs to, and the one after its last.

        >>> Settings(steps=7, accumulate=3).window(6)
        (6, 7)
        """
        first = step - step % self.accumulate
        return first, min(first + self.accumulate, self.steps)
