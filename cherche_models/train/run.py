"""Run a recipe: plan, train, save the model, plot its curves and write its card."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cherche_models import hub
from cherche_models.models.base import Model
from cherche_models.train import card, curves, head, provenance, query_table, run_state, sources
from cherche_models.train.fit import fit
from cherche_models.train.lora import lora
from cherche_models.train.optimizer import trained
from cherche_models.train.plan import TrainingPlan, cost
from cherche_models.train.processes import Processes, connected
from cherche_models.train.recipe_file import QueryTable, Recipe
from cherche_models.train.recipe_file import read as read_recipe
from cherche_models.train.reports import OnEvent as OnEvent
from cherche_models.train.reports import Reports, summary
from cherche_models.train.rows import Example
from cherche_models.train.sources import Sources
from cherche_models.train.teacher import Teacher
from cherche_models.train.watch import Watch
from cherche_models.utils.freeze import freeze

RUN = "training"
"""Subfolder of the model's folder for states, log, and mined or scored data."""
_MEASUREMENTS = 10
_PCA_TEXTS = 512


@dataclass(slots=True)
class _Prepared:
    recipe: Recipe
    model: Model
    made_of: provenance.MadeOf
    found: Sources
    teacher: Teacher | None
    processes: Processes
    folder: Path
    on_event: OnEvent


def run(path: Path, out: Path, on_event: OnEvent, *, plan_only: bool = False) -> dict[str, Any]:
    """Run the recipe of a file; the same call resumes an interrupted run.

    Parameters
    ----------
    path : Path
    out : Path
        Folder of the model; its subfolder ``training`` holds the state of the run.
    on_event : callable
    plan_only : bool
        Stop after the plan.

    Returns
    -------
    dict
        ``plan``, and after training: ``folder``, ``steps``, ``seconds``, ``before``, ``best``, ``at``,
        ``final_loss``, ``curves``, and ``narrow``, the measurements after narrowing.

    Raises
    ------
    RecipeError, DataError, CheckpointError, ValueError, ImportError, OSError
        Naming the item that prevents the run and the next step; a folder that holds the run of another recipe too.
    """
    processes = connected()
    emit: OnEvent = on_event if processes.is_first else (lambda *_: None)
    recipe = read_recipe(path)
    prepared = _prepare(recipe, out / RUN, processes, emit)
    with _adapted(prepared.model, recipe):
        plan = _plan(prepared)
        emit("plan", plan.values())
        if plan_only:
            return {"plan": plan.values()}
        figures = _train(prepared, plan)
    if processes.is_first:
        _write_outputs(prepared, plan, figures, path, out)
    processes.share(None)  # a barrier: no process returns before the model is written
    result = {"plan": plan.values(), "folder": str(out), **figures}
    emit("done", result)
    return result


def _prepare(recipe: Recipe, folder: Path, processes: Processes, on_event: OnEvent) -> _Prepared:
    torch.manual_seed(recipe.training.seed)
    model = hub.load(
        recipe.base,
        device=recipe.device or None,
        dtype="fp32",
        architecture=recipe.architecture,
        new_head=True,
        dim=recipe.dim,
    )
    _configure(model, recipe)
    made_of = provenance.of_recipe(recipe, model.digest)
    if state := run_state.found_in(folder):  # `fit` checks again, but after hours of mining
        provenance.check(folder, state[1], made_of)
    found = sources.gather(recipe, folder, processes, on_event)
    teacher = None
    if (table := recipe.teacher) and table.sentence_transformer and recipe.loss.is_taught:
        length = table.max_length or 512
        teacher = Teacher(hub.resolve(table.sentence_transformer), temperature=table.temperature, max_length=length)
    return _Prepared(recipe, model, made_of, found, teacher, processes, folder, on_event)


def _configure(model: Model, recipe: Recipe) -> None:
    """Apply the recipe's head, lengths and frozen layers.

    Raises
    ------
    ValueError
        If the model lacks what the recipe changes.
    """
    if recipe.query_table and not model.sparse:
        raise ValueError(f"a {model.architecture} model has no term weights: leave out query_table")
    if recipe.head.identity:
        head.identity(model)
    if recipe.head.skip_punctuation:
        head.skip_punctuation(model)
    if recipe.head.narrow:
        head.check_narrow(model, recipe.head.narrow)
    head.lengthen(model, {"query": recipe.query_length, "document": recipe.document_length})
    if recipe.train_layers is not None:
        freeze(model, recipe.train_layers)


def shipped(base: str) -> str:
    """The folder of a model that is part of the package; other names unchanged."""
    folder = hub.PRETRAINED / base
    return str(folder) if base and folder.is_dir() else base


def _adapted(model: Model, recipe: Recipe) -> AbstractContextManager[object]:
    if recipe.lora is None:
        return nullcontext()
    return lora(model, recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout)


def _plan(prepared: _Prepared) -> TrainingPlan:
    """Measure the model before training, and time and memory of a few steps at learning rate 0."""
    recipe, found, model = prepared.recipe, prepared.found, prepared.model
    started = time.perf_counter()
    if found.measure:
        prepared.on_event("note", {"text": f"measuring the base on {found.measured_on}"})
    before = dict(found.measure(model)) if found.measure and prepared.processes.is_first else {}
    measuring = time.perf_counter() - started
    prepared.on_event("note", {"text": "measuring time and memory of a few steps"})
    measured = cost(model, found.batches, recipe.loss, recipe.training, prepared.teacher, prepared.processes)
    done = completed_steps(prepared.folder)
    left = max(0, recipe.training.steps - done)
    times = -(-left // _interval(recipe)) if found.measure else 0
    known = min(found.sizes) >= 0
    return TrainingPlan(
        base=recipe.base,
        architecture=model.architecture,
        device=str(model.device),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=sum(parameter.numel() for parameter in trained(model).values()),
        sources=_described(found),
        steps=recipe.training.steps,
        done=done,
        batch=recipe.batch,
        processes=prepared.processes.count,
        passes=recipe.training.steps * recipe.batch / sum(found.sizes) if known else 0.0,
        seconds_per_step=measured.seconds_per_step,
        seconds=left * measured.seconds_per_step + times * measuring,
        memory=measured.memory,
        measured_on=found.measured_on,
        before=before,
    )


def _described(found: Sources) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "examples": size,
            "refused": refused.count,
            "first": [str(error) for error in refused.first[:3]],
            "ignored": sorted(refused.ignored),
        }
        for name, size, refused in zip(found.names, found.sizes, found.refused, strict=True)
    ]


def _interval(recipe: Recipe) -> int:
    """Steps between measurements."""
    every = recipe.evaluation.every if recipe.evaluation else 0
    return every or max(1, recipe.training.steps // _MEASUREMENTS)


def completed_steps(folder: Path) -> int:
    """Steps of the state that a run's folder holds; 0 without one."""
    found = run_state.found_in(folder)
    return found[0] if found else 0


def _train(prepared: _Prepared, plan: TrainingPlan) -> dict[str, Any]:
    recipe, processes, emit = prepared.recipe, prepared.processes, prepared.on_event
    reports = Reports(prepared.folder, recipe.training, recipe.loss, emit, is_first=processes.is_first)
    started = time.perf_counter()
    watch = None
    if prepared.found.measure:
        patience = recipe.evaluation.patience if recipe.evaluation else 0
        watch = Watch(prepared.found.measure, _interval(recipe), patience, report=reports.measured)
        if processes.is_first and plan.before and not plan.done:
            reports.measured(0, plan.before)
    if prepared.model.codebook is not None:
        emit("note", {"text": "the base's codebook will not fit: train one with cherche codebook for residual codes"})
    fit(
        prepared.model,
        prepared.found.batches,
        recipe.loss,
        recipe.training,
        teacher=prepared.teacher,
        folder=prepared.folder,
        report=reports.step,
        watch=watch,
        processes=processes,
        made_of=prepared.made_of,
    )
    return {**summary(prepared.folder), "seconds": time.perf_counter() - started, "before": plan.before}


def _write_outputs(prepared: _Prepared, plan: TrainingPlan, figures: dict[str, Any], path: Path, out: Path) -> None:
    """Write the model, recipe, curves and card."""
    if prepared.recipe.head.narrow:
        _narrow(prepared, figures)
    if prepared.recipe.query_table:
        prepared.model.query_table = _query_table(prepared, prepared.recipe.query_table)
    hub.save(prepared.model, out)
    if path.resolve() != (out / "recipe.toml").resolve():
        shutil.copyfile(path, out / "recipe.toml")
    picture = "curves.svg"
    try:
        curves.draw(prepared.folder / "log.jsonl", out / picture, out.resolve().name)
    except ImportError as error:
        prepared.on_event("note", {"text": str(error)})
        picture = ""
    figures["curves"] = picture
    recipe = prepared.recipe.model_copy(update={"base": shipped(prepared.recipe.base)})
    card.write(out, recipe, prepared.model.architecture, plan.values(), figures, picture)


def _query_table(prepared: _Prepared, wanted: QueryTable) -> torch.Tensor:
    """Weights of query terms from the run's own examples."""
    examples: dict[Example, None] = {}
    for step in range(prepared.recipe.training.steps):
        examples |= dict.fromkeys(prepared.found.batches(step))
        if len(examples) >= wanted.examples:
            break
    model, used = prepared.model, list(examples)[: wanted.examples]
    table = query_table.idf(model, dict.fromkeys(example.positive for example in used))
    if wanted.steps:
        table = query_table.learned(model, used, table, steps=wanted.steps, seed=prepared.recipe.training.seed)
    prepared.on_event("note", {"text": f"query weights of {len(used)} examples lie in idf.json"})
    return query_table.scaled(model, table, query_table.pairs(used))


def _narrow(prepared: _Prepared, figures: dict[str, Any]) -> None:
    """Keep the first principal components, and measure the model again."""
    dim, found = prepared.recipe.head.narrow, prepared.found
    texts: dict[str, None] = {}
    for step in range(prepared.recipe.training.steps):
        texts |= dict.fromkeys(example.positive for example in found.batches(step))
        if len(texts) >= _PCA_TEXTS:
            break
    head.narrow(prepared.model, list(texts), dim)
    figures["narrow"] = dict(found.measure(prepared.model)) if found.measure else {}
    shown = "".join(f"  {name} {value:.4f}" for name, value in figures["narrow"].items())
    prepared.on_event("note", {"text": f"token embeddings narrowed to {dim} dimensions{shown}"})
