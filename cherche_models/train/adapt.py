"""Adapt a model to a user's own documents, without judgements: a short, bounded run that the model itself holds back.

Queries are made of the documents (`train.made`), the model before training is the teacher unless another is given, and
the trained weights are averaged with those before (Wortsman et al. 2022, arXiv:2109.01903, "Robust fine-tuning of
zero-shot models"), with the share that is best on held-out documents. Other held-out documents, or judged queries,
say whether it is better.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.evaluate import compare
from cherche_models.losses import JointLoss
from cherche_models.models.base import Model
from cherche_models.runtime.device import pick_dtype
from cherche_models.train import card, query_table
from cherche_models.train.adapt_state import State
from cherche_models.train.average import average
from cherche_models.train.codebook import train_codebook
from cherche_models.train.fit import fit
from cherche_models.train.made import Made, make
from cherche_models.train.optimizer import trained
from cherche_models.train.plan import Cost, TrainingPlan, cost
from cherche_models.train.processes import Processes
from cherche_models.train.reports import OnEvent, Reports
from cherche_models.train.run import RUN, completed_steps, shipped
from cherche_models.train.self_teacher import SelfTeacher, calibrated
from cherche_models.train.settings import Settings
from cherche_models.train.staged import JudgedSet, Mixing, means, ndcg, rankings
from cherche_models.train.stream import shuffled
from cherche_models.train.teacher import AnyTeacher, Ensemble, Teacher

ARCHITECTURES = ("joint", "splade", "colbert")
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the trained weights in the mean with those before; one is chosen."""
_PASSES = 3  # over the examples at most
_SPREAD = 2.0  # of a query's scores in the softmax; that of MaxSim with 32 query tokens
CHANCE = 0.05
_MOST_EXAMPLES, _PAIRS = 10_000, 500
_RATE, _WIDTH, _LARGEST_RATE = 2e-5, 768, 2e-4  # BERT-base's usual learning rate; narrower models take larger ones
# Constant and small: the base is sparse, and is only to stay so.
_LOSS = JointLoss(teacher=1.0, query_flops=3e-3, document_flops=5e-3, schedule="constant")


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a model is adapted.

    Attributes
    ----------
    steps : int
        At most.
    minutes : float
        Of training, at most; encoding for the measurements is not counted.
    batch : int
        Queries of a step.
    learning_rate : float
        0 for one that fits the width of the model.
    teachers : tuple of str
        Folders of sentence encoders; without one the model as it is teaches.
    seed : int
    mixing : Mixing
        How the stages of a search are combined.
    """

    steps: int = 400
    minutes: float = 20.0
    batch: int = 12
    learning_rate: float = 0.0
    teachers: tuple[str, ...] = ()
    seed: int = 0
    mixing: Mixing = field(default_factory=Mixing)

    def fixed(self) -> dict[str, Any]:
        """What a run cannot be resumed with another value of, as JSON has it; the mixing only measures."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "mixing"},
            "teachers": [*self.teachers],
        }


def adapt(
    base: str,
    texts: Mapping[str, Sequence[str]],
    out: Path,
    on_event: OnEvent,
    options: Adaptation,
    judged: JudgedSet | None = None,
) -> dict[str, Any]:
    """Adapt a model, measure it before and after, and save it; the same call resumes an interrupted run.

    Parameters
    ----------
    base : str
        A folder, the id of a repository on the hub, or the name of a shipped model.
    texts : mapping of id → text of each field
        Documents to train on; those of an interrupted run are kept, and these ignored.
    out : Path
        Folder of the model; its subfolder ``training`` holds the state, with the texts.
    on_event : callable
        As of `train.run.run`.
    options : Adaptation
    judged : JudgedSet or None
        What the report is measured on instead of made queries, which flatter an adapted model.

    Returns
    -------
    dict
        ``folder``, ``base``, ``architecture``, ``documents``, ``examples``, ``steps``, ``seconds``; ``share`` of the
        trained weights, and ``shares``, nDCG@10 on the development set by share; ``measured_on`` (``judged`` or
        ``made``), ``queries``, ``scored`` documents; ``stages``, of each the paired comparison of the model after,
        ``b``, with that before, ``a``; ``decides``, the last stage, by which it is ``better`` or not; and ``worse``,
        stages that are, beyond chance.

    Raises
    ------
    CheckpointError
        If a model cannot be loaded, or is of a kind that is not trained here.
    DataError
        If there are too few documents.
    ValueError
        If `out` is the base, or holds another run.
    """
    source = shipped(base)
    if Path(source).is_dir() and Path(source).resolve() == out.resolve():
        raise CheckpointError(f"{out} is the model that is to be adapted", "name another folder with --out")
    before, model = _loaded(source), _loaded(source)
    state = State.begin(
        out / RUN,
        {"model": model.digest, **options.fixed()},
        lambda: make(texts, most=_MOST_EXAMPLES, seed=options.seed),
    )
    seconds = _train(model, state, base, options, on_event)
    shares = {
        share: list(_measured(_mixed(model, before, share), state.made.development, options.mixing).values())[-1]
        for share in SHARES
    }
    share = max(shares, key=lambda value: (shares[value], -value))
    mean = _mixed(model, before, share)
    _complete(mean, before, state.made)
    report = {
        "folder": str(out),
        "base": base,
        "architecture": before.architecture,
        "documents": state.made.used,
        "examples": len(state.made.examples),
        "steps": state.steps,
        "seconds": seconds,
        "share": share,
        "shares": {f"{value:g}": round(found, 4) for value, found in shares.items()},
        "measured_on": "judged" if judged else "made",
        **_compared(before, mean, judged or state.made.test, options.mixing),
    }
    hub.save(mean, out)
    card.write_adapted(out, report, source)
    return report


def _loaded(source: str) -> Model:
    model = hub.load(source, dtype="fp32")
    if model.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{source} is a {model.architecture} model", f"name a {' or '.join(ARCHITECTURES)} model with --model"
        )
    return model


def _train(model: Model, state: State, base: str, options: Adaptation, on_event: OnEvent) -> float:
    """Train a model in place; seconds."""
    made, folder = state.made, state.folder
    batches = shuffled(made.examples, options.batch, options.seed)
    settings = Settings(
        steps=max(1, state.steps),
        negatives=2,
        learning_rate=options.learning_rate or min(_LARGEST_RATE, _RATE * _WIDTH / model.backbone.hidden_size),
        word_rate=0.0,
        document_length=192,
        save_every=25,
        seed=options.seed,
        bf16=pick_dtype(None, model.device) is torch.bfloat16,
    )
    sample = batches(0)
    documents = [text for example in sample for text in (example.positive, *example.negatives[:2])]
    scales = calibrated(model, [example.query for example in sample], documents, _LOSS, settings, _SPREAD)
    loss = replace(_LOSS, sparse_scale=scales.get("sparse", 1.0), maxsim_scale=scales.get("maxsim", 1.0))
    teacher = _teacher(model, loss, settings, options)

    before = _measured(model, made.development, options.mixing)
    measured = cost(model, batches, loss, settings, teacher, Processes())
    if not state.steps:
        allowed = int(options.minutes * 60 / measured.seconds_per_step)
        useful = -(-_PASSES * len(made.examples) // options.batch)
        state.decide(max(1, min(options.steps, allowed, useful)))
        settings = replace(settings, steps=state.steps)
    plan = _plan(model, state, base, options, measured, before)
    on_event("plan", plan.values())
    reports = Reports(folder, settings, loss, on_event)
    started = time.perf_counter()
    fit(model, batches, loss, settings, teacher=teacher, folder=folder, report=reports.step)
    return round(time.perf_counter() - started, 1)


def _plan(
    model: Model, state: State, base: str, options: Adaptation, measured: Cost, before: Mapping[str, float]
) -> TrainingPlan:
    made, done = state.made, completed_steps(state.folder)
    name = f"queries made of {made.used:,} documents"
    return TrainingPlan(
        base=base,
        architecture=model.architecture,
        device=str(model.device),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=sum(parameter.numel() for parameter in trained(model).values()),
        sources=[{"name": name, "examples": len(made.examples), "refused": 0, "first": [], "ignored": []}],
        steps=state.steps,
        done=done,
        batch=options.batch,
        processes=1,
        passes=state.steps * options.batch / len(made.examples),
        seconds_per_step=measured.seconds_per_step,
        seconds=(state.steps - done) * measured.seconds_per_step,
        memory=measured.memory,
        measured_on=f"{len(made.development.queries):,} made queries on held-out documents",
        before=dict(before),
    )


def _teacher(model: Model, loss: JointLoss, settings: Settings, options: Adaptation) -> AnyTeacher:
    if not options.teachers:
        return SelfTeacher(model, loss, settings)
    found = [Teacher(hub.resolve(source), max_length=settings.document_length) for source in options.teachers]
    return found[0] if len(found) == 1 else Ensemble(found)


def _measured(model: Model, judged: JudgedSet, mixing: Mixing) -> dict[str, float]:
    """Mean nDCG@10 of each stage."""
    return means(ndcg(rankings(model, judged, mixing), judged))


def _mixed(model: Model, before: Model, share: float) -> Model:
    """The mean of the trained weights, with a share, and those before."""
    return model if share == 1 else average([model, before], [share, 1 - share], aligned=True)


def _complete(mean: Model, before: Model, made: Made) -> None:
    """Give a model the codebook and the table of query weights that it had before, fitted to its new weights."""
    if before.codebook is not None:
        texts = list(dict.fromkeys(example.positive for example in made.examples))
        train_codebook(mean, texts, len(before.codebook.centroids))
    if before.query_table is not None:
        table = query_table.idf(mean, [text for example in made.examples for text in example.answers[:1]])
        pairs = [(example.query, example.positive) for example in made.examples[:_PAIRS]]
        mean.query_table = query_table.scaled(mean, table, pairs)


def _compared(before: Model, after: Model, judged: JudgedSet, mixing: Mixing) -> dict[str, Any]:
    """nDCG@10 of every stage before and after, paired, and whether the model is better."""
    values = [ndcg(rankings(model, judged, mixing), judged) for model in (before, after)]
    stages = {stage: asdict(compare(values[0][stage], values[1][stage])) for stage in values[0]}
    decides = list(stages)[-1]
    worse = [stage for stage, one in stages.items() if one["difference"] < 0 and one["p_value"] < CHANCE]
    return {
        "queries": len(judged.queries),
        "scored": len(judged.documents),
        "stages": {stage: {key: _rounded(value) for key, value in one.items()} for stage, one in stages.items()},
        "decides": decides,
        "worse": worse,
        "better": stages[decides]["difference"] > 0 and not worse,
    }


def _rounded(value: float | None) -> float | None:
    return round(value, 4) if isinstance(value, float) else value
