"""The recipe of `cherche-small`: term weights and token embeddings from one pass of a sentence encoder of six layers.

    python -m cherche_models.train.encoders ENCODERS
    python -m cherche_models.train.corpus CORPUS --without scifact
    python -m cherche_models.train.recipes.small --encoders ENCODERS --corpus CORPUS --out DIR

The base is all-MiniLM-L6-v2 (Apache-2.0). It has no masked-LM head: one is trained on its frozen hidden states
(`cherche_models.train.vocabulary`), tied to its word embeddings. Teachers are bge-small-en-v1.5 (MIT) and the
base itself; each encodes a text once, into ``DIR/teachers``. A second phase reads more long texts that are asked for in
whole sentences, which is one row of the corpus in five; the model is the mean of the weights after both. The run saves
its states in ``DIR``, and the same command resumes it. Boost and rerank weight are chosen on the dev sets of the
corpus, of which no document is trained on. ``DIR/cherche-small`` is the model, with int8 weights, ``DIR/small.json``
what the run did: settings, losses, the figures of every weight that was tried.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import hub
from cherche_models.evaluate import beir, read
from cherche_models.losses import JointLoss
from cherche_models.models import Joint
from cherche_models.train import curves, dev, log, stream
from cherche_models.train.average import average
from cherche_models.train.batch import candidates, drawn_negatives
from cherche_models.train.codebook import train_codebook
from cherche_models.train.fit import Settings, fit
from cherche_models.train.head import identity, lengthen, narrow, skip_punctuation
from cherche_models.train.query_table import idf, pairs, scaled
from cherche_models.train.rows import Example
from cherche_models.train.stream import Batches
from cherche_models.train.teacher import Ensemble, Teacher
from cherche_models.train.vocabulary import add_vocabulary
from cherche_models.weighting import Weighting

BASE = "all-MiniLM-L6-v2"
TEMPERATURES = {"bge-small-en-v1.5": 0.025, "e5-small-v2": 0.01, BASE: 0.05}
"""Of each teacher: divided by it, their cosines of a query and its candidates spread alike."""

SENTENCE_WORDS, PROSE_WORDS = 6, 60
"""Of a query and of its document, at least: of 240,000 rows 48,805 have as many."""

_TAUGHT_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class SmallRecipe:
    """The hyperparameters that are not those of `Settings`.

    Attributes
    ----------
    dim : int
        Dimensions of a token embedding.
    document_length, query_length : int
        Maximum tokens at inference.
    batch : int
        Queries of a step.
    head_texts, head_steps : int
        Documents and batches that train the masked-LM head.
    teachers : tuple of str
    """

    dim: int = 128
    document_length: int = 512
    query_length: int = 128
    batch: int = 16
    head_texts: int = 1500
    head_steps: int = 250
    teachers: tuple[str, ...] = ("bge-small-en-v1.5", BASE)


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of `fit`; the next one starts from its weights.

    Attributes
    ----------
    name : str
        Of the folder of its state.
    settings : Settings
    loss : JointLoss
    prose : float
        Share of the rows of a batch that ask for a long text in a whole sentence, see `is_prose`.
    """

    name: str
    settings: Settings
    loss: JointLoss
    prose: float = 0.0


RECIPE = SmallRecipe()
WEIGHTING = Weighting(idf_power=2.0, special_share=0.25)
"""Chosen once, on every other dev set and the demo, with the weights of the model that ships."""
SETTINGS = Settings(
    steps=450,
    negatives=4,
    learning_rate=8e-5,
    head_rate=5.0,
    vocabulary_rate=10.0,
    word_rate=0.0,
    document_length=192,
    query_length=48,
    save_every=25,
    ema=0.995,
)
LOSS = JointLoss(
    sparse=1.0,
    maxsim=1.0,
    rank=0.3,
    teacher=1.0,
    sparse_scale=0.5,
    maxsim_scale=2.0,
    query_flops=4e-3,
    document_flops=6e-3,
    flops_steps=150,
)
PHASES = (
    Phase("state", SETTINGS, LOSS),
    Phase(
        "state-prose",
        replace(SETTINGS, steps=300, learning_rate=5e-5, seed=1),
        replace(LOSS, flops_steps=0),  # the model is sparse when it starts
        prose=0.6,
    ),
)


def joint_from(base: Path, texts: Sequence[str], folder: Path, recipe: SmallRecipe) -> Joint:
    """The base with a masked-LM head, and its hidden states' principal components as token embeddings."""
    start = folder / "base"
    if not (start / "config.json").exists():
        add_vocabulary(base, texts[: recipe.head_texts], start, steps=recipe.head_steps)
    torch.manual_seed(0)
    model = hub.load(start, device="cpu", dtype="fp32", architecture="joint", new_head=True)
    assert isinstance(model, Joint)
    identity(model)
    skip_punctuation(model)
    lengthen(model, {"document": recipe.document_length, "query": recipe.query_length})
    narrow(model, list(texts[:300]), recipe.dim)
    return model


def texts_of(corpus: Path, limit: int) -> list[str]:
    """Texts spread evenly over the documents of the corpus, which lie field by field, in random order."""
    with (corpus / "documents.jsonl").open(encoding="utf-8") as lines:
        size = sum(1 for _ in lines)
    every = max(1, size // limit)
    with (corpus / "documents.jsonl").open(encoding="utf-8") as lines:
        found = [beir.text_of(json.loads(line)) for number, line in enumerate(lines) if number % every == 0]
    found = found[:limit]
    random.Random(0).shuffle(found)
    return found


def teachers(encoders: Path, folder: Path, names: Sequence[str], length: int) -> Ensemble:
    """The teachers, each with its vectors on disk."""
    return Ensemble(
        [
            Teacher(encoders / name, temperature=TEMPERATURES[name], max_length=length, vectors=folder / name)
            for name in names
        ]
    )


def teach(teacher: Ensemble, batches: Batches, settings: Settings) -> None:
    """Encode the texts of all steps by the teachers, many texts of like length at once; what is on disk is not."""
    for start in range(0, settings.steps, _TAUGHT_AT_ONCE):
        queries: list[str] = []
        documents: list[str] = []
        for step in range(start, min(start + _TAUGHT_AT_ONCE, settings.steps)):
            examples = batches(step)
            queries += [example.query for example in examples]
            documents += candidates(examples, drawn_negatives(examples, settings, step))
        for each in teacher.teachers:
            each.learn(queries, "query")
            each.learn(documents)
        print(f"teachers: {start + _TAUGHT_AT_ONCE} steps", file=sys.stderr, flush=True)


def is_prose(example: Example) -> bool:
    """Whether a query of some words asks for a text of several sentences, as most searches of documents do."""
    return len(example.query.split()) >= SENTENCE_WORDS and len(example.positive.split()) >= PROSE_WORDS


def batches_of(corpus: Path, phase: Phase) -> Batches:
    """Rows of the corpus, of which a share is prose."""
    every = stream.lines(corpus / "train.jsonl")
    if not phase.prose:
        return stream.shuffled(every, RECIPE.batch, phase.settings.seed)
    sources = {"all": every, "prose": [example for example in every if is_prose(example)]}
    return stream.mixture(sources, {"all": 1 - phase.prose, "prose": phase.prose}, RECIPE.batch, phase.settings.seed)


def train(model: Joint, corpus: Path, encoders: Path, folder: Path, phase: Phase) -> None:
    """Train the model, or resume; each step's losses go to stderr, a file and a plot."""
    settings = phase.settings
    teacher = teachers(encoders, folder / "teachers", RECIPE.teachers, settings.document_length)
    run_log = log.Log(folder / f"{phase.name}.jsonl")

    def report(step: int, parts: dict[str, float]) -> None:
        shown = {name: round(value, 4) for name, value in parts.items() if value}
        loss = shown.pop("total")
        run_log.write(step, loss=loss, parts=shown)
        print(step, f"loss {loss}", *(f"{name} {value}" for name, value in shown.items()), file=sys.stderr, flush=True)

    batches = batches_of(corpus, phase)
    if not (folder / phase.name / "done").exists():
        teach(teacher, batches, settings)
    fit(model, batches, phase.loss, settings, teacher=teacher, folder=folder / phase.name, report=report)
    (folder / phase.name / "done").touch()
    curves.draw(folder / f"{phase.name}.jsonl", folder / f"{phase.name}.svg", f"cherche-small, {phase.name}")


def finish(model: Joint, base: Path, corpus: Path, folder: Path, documents: int) -> dict[str, Any]:
    """Make the query table, choose the weights on the dev sets, train the codebook, and write the model.

    Returns
    -------
    dict
        ``chosen``, and the figures of each dev set, those of the untrained base as a reranker among them.
    """
    texts = texts_of(corpus, 20_000)
    answered = stream.shuffled(stream.lines(corpus / "train.jsonl"), 500, 0)(0)
    model.query_table = scaled(model, idf(model, texts), pairs(answered))
    model.query_weighting = WEIGHTING
    found = {path.name: read(path, "dev") for path in sorted((corpus / "dev").iterdir())}
    sets = [dev.staged(model, name, dev.sample(collection, documents)) for name, collection in found.items()]
    chosen = dev.choose(sets)
    model.sparse_boost, model.rerank_weight = chosen.sparse_boost, chosen.rerank_weight
    train_codebook(model, texts)
    hub.save(model, folder / "cherche-small", dtype="int8")
    untrained = hub.load(base, device="cpu", architecture="colbert")
    rivals = {"untrained": [dev.late(untrained, each) for each in sets]}
    return {"chosen": asdict(chosen), "sets": dev.report(sets, chosen.sparse_boost, chosen.rerank_weight, rivals)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe; the same command resumes it."""
    options = _parser().parse_args(arguments)
    model = joint_from(options.encoders / BASE, texts_of(options.corpus, RECIPE.head_texts), options.out, RECIPE)
    after: list[Joint] = []
    for phase in PHASES:
        train(model, options.corpus, options.encoders, options.out, phase)
        after.append(deepcopy(model))
    # What the second phase gives long prose it takes from short searches; their mean loses neither.
    model = average(after, [1 / len(after)] * len(after), aligned=True)
    figures = finish(model, options.encoders / BASE, options.corpus, options.out, options.documents)
    about = {"recipe": asdict(RECIPE), "phases": [asdict(phase) for phase in PHASES], **figures}
    (options.out / "small.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    print(json.dumps(figures, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cherche_models.train.recipes.small", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--encoders", type=Path, required=True, help="folder of cherche_models.train.encoders")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of cherche_models.train.corpus")
    parser.add_argument("--out", type=Path, required=True, help="where states, vectors and the model go")
    parser.add_argument("--documents", type=int, default=500, help="documents of each dev set that are ranked")
    return parser


if __name__ == "__main__":
    main()
