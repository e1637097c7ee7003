"""The training loop: one step is one function, a run can be stopped and taken up again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from cherche_models.losses import JointLoss, Parts, Targets, unfair
from cherche_models.models.base import Model, Output
from cherche_models.tokenizer import Kind
from cherche_models.train import state
from cherche_models.train.data import Example
from cherche_models.train.teacher import Teacher

Batches = Callable[[int], list[Example]]
Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run goes; a resumed run must have the same.

    Attributes
    ----------
    steps : int
    negatives : int
        Hard negatives drawn for each query.
    learning_rate, weight_decay : float
        Of AdamW; biases and norms do not decay.
    head_rate : float
        Times the learning rate, for what lies outside the backbone: a new head starts from nothing.
    warmup : float
        Share of the steps over which the rate rises; afterwards it falls to 0, both linearly.
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

    def rate(self, step: int) -> float:
        """Learning rate of a step.

        >>> Settings(steps=10, learning_rate=1.0, warmup=0.2).rate(0)
        0.5
        """
        rise = max(1, math.ceil(self.steps * self.warmup))
        fall = max(1, self.steps - rise)
        return self.learning_rate * min((step + 1) / rise, max(0.0, (self.steps - step) / fall))


def fit(
    model: Model,
    batches: Batches,
    loss: JointLoss,
    settings: Settings,
    *,
    teacher: Teacher | None = None,
    folder: Path | None = None,
    report: Report | None = None,
) -> list[float]:
    """Train a model in place and leave it in eval mode.

    Every random choice of a step follows from the seed and the step's number, so
    a run that was interrupted and called again with the same `folder` goes on to
    the same losses as one that was not.

    Parameters
    ----------
    model : Model
        In float32.
    batches : callable
        Examples of a step, by its number; see `data.mixed`.
    loss : JointLoss
    settings : Settings
    teacher : Teacher, optional
        Needed where the loss gives it a weight.
    folder : Path, optional
        Where states are saved, and found again.
    report : callable, optional
        Called with the number and the parts of each step's loss, by the names of `Parts`.

    Returns
    -------
    list of float
        Total loss of each step that ran in this call.

    Raises
    ------
    ValueError
        If the loss is not finite (naming the step), if the loss asks for a teacher
        that is not there, or a saved state was made with other settings.
    """
    if (loss.teacher or loss.tokens) and teacher is None:
        raise ValueError("the loss gives the teacher a weight, but there is no teacher")
    if loss.tokens and teacher is not None and not teacher.shares_vocabulary(model.tokenizer):
        raise ValueError("the teacher's tokens are not the model's: give their similarities no weight")
    optimizer = _optimizer(model, settings)
    path = folder / "state.safetensors" if folder else None
    start = state.load(path, model, optimizer, settings) if path and path.exists() else 0
    losses = []
    model.train()
    try:
        for step in range(start, settings.steps):
            parts = _step(model, optimizer, batches(step), loss, settings, teacher, step)
            losses.append(float(parts.total.detach()))
            if report:
                report(step, {name: float(part.detach()) for name, part in parts._asdict().items()})
            if path and ((step + 1) % settings.save_every == 0 or step + 1 == settings.steps):
                state.save(path, model, optimizer, settings, step + 1)
    finally:
        model.eval()
    return losses


def _step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    loss: JointLoss,
    settings: Settings,
    teacher: Teacher | None,
    step: int,
) -> Parts:
    torch.manual_seed(settings.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = settings.rate(step) * group["share"]
    queries = [example.query for example in examples]
    documents = candidates(examples, settings.negatives, f"{settings.seed}/{step}")
    targets = _targets(examples, queries, documents, teacher if loss.teacher else None)
    asked = _input(model, queries, "query", settings.query_length)
    offered = _input(model, documents, "document", settings.document_length)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bf16):
        outputs: tuple[Output, Output] = model(*asked, "query"), model(*offered, "document")
        if loss.tokens and teacher is not None:
            targets = targets._replace(tokens=(teacher.tokens(*asked), teacher.tokens(*offered)))
    parts = loss(*outputs, targets, step)
    if not bool(torch.isfinite(parts.total)):
        raise ValueError(f"the loss of step {step} is {float(parts.total.detach())}: lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(parts.total)
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return parts


def candidates(examples: Sequence[Example], negatives: int, seed: str) -> list[str]:
    """Distinct documents of a batch: all positives first, then the negatives drawn for each query.

    >>> candidates([Example("q", "a", ("b",)), Example("r", "a", ("c", "b"))], 2, "0")
    ['a', 'b', 'c']
    """
    draw = random.Random(seed)
    drawn = [draw.sample(e.negatives, min(negatives, len(e.negatives))) for e in examples]
    return list(dict.fromkeys(chain((e.positive for e in examples), sorted(chain(*drawn)))))


def _targets(
    examples: Sequence[Example], queries: Sequence[str], documents: Sequence[str], teacher: Teacher | None
) -> Targets:
    column = {document: i for i, document in enumerate(documents)}
    positives = [example.positive for example in examples]
    known: dict[str, set[str]] = {}
    for example in examples:
        known.setdefault(example.query, set()).update((example.positive, *example.answers))
    return Targets(
        torch.tensor([column[positive] for positive in positives]),
        unfair(documents, positives, [known[query] for query in queries]),
        None if teacher is None else teacher.scores(queries, documents),
    )


def _input(model: Model, texts: Sequence[str], kind: Kind, length: int) -> tuple[Tensor, Tensor]:
    tokens = model.tokenize(texts, kind, min(length, model.formats[kind].max_length))
    return model.collate(tokens, kind)


def _optimizer(model: Model, settings: Settings) -> torch.optim.AdamW:
    words = model.backbone.model.get_input_embeddings().weight
    words.requires_grad_(settings.word_rate > 0)
    rates = {id(parameter): 1.0 for parameter in model.backbone.parameters()} | {id(words): settings.word_rate}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for parameter in model.parameters():
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        share = rates.get(id(parameter), settings.head_rate)
        groups.setdefault((decay, share), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": found, "weight_decay": decay, "share": share} for (decay, share), found in groups.items()],
        lr=settings.learning_rate,
    )
