"""What each stage finds on dev sets, and the weights that suit all of them.

    python -m cherche_models.train.dev MODEL CORPUS/dev/* [--reranker ENCODER] [--terms MODEL] [--documents N]
        [--dtype TYPE]

Every stage is measured in memory with the sums of an engine. Boost and rerank weight are those with the best mean over
the sets, each of which has the same weight; those that the model has are measured too where they are others. A stage is
compared with the one before it by a paired randomisation test. With `--terms` the term weights of a second model are
paired with the token embeddings of the first and of the reranker, each pair at its own best weights, and compared with
the first model alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub
from cherche_models.evaluate import Collection, compare, per_query, read
from cherche_models.evaluate.stages import Stages
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.train.staged import NDCG, Rankings
from cherche_models.train.tune import BOOSTS, TOLERANCE, WEIGHTS, stages

WINDOW = 100
Values = dict[str, float]
"""A measure by query."""


@dataclass(frozen=True, slots=True)
class DevSet:
    """A collection with the stages of a model.

    Attributes
    ----------
    name : str
    collection : Collection
    scored : Stages
    """

    name: str
    collection: Collection
    scored: Stages

    def values(self, rankings: Mapping[str, Sequence[str]]) -> Values:
        """nDCG@10 of each query."""
        qrels = {query: self.collection.qrels[query] for query in self.scored.queries}
        return per_query(rankings, qrels, [NDCG])[NDCG]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The weights, and the means that they were chosen by.

    Attributes
    ----------
    sparse_boost, rerank_weight : float
    hybrids : dict of boost → mean nDCG@10 over the sets
    reranked : dict of weight → mean nDCG@10 over the sets, at that boost
    """

    sparse_boost: float
    rerank_weight: float
    hybrids: dict[float, float]
    reranked: dict[float, float]


def sample(collection: Collection, documents: int) -> Collection:
    """The judged documents and the first others, `documents` in all; the whole collection if it is smaller.

    A sample makes every stage look better than the whole collection does.
    """
    judged = {key for judgements in collection.qrels.values() for key in judgements}
    others = [key for key in collection.documents if key not in judged][: max(0, documents - len(judged))]
    kept = judged | set(others)
    return replace(collection, documents={k: d for k, d in collection.documents.items() if k in kept})


def staged(model: Model, name: str, collection: Collection) -> DevSet:
    """Run every stage of a model on a collection."""
    fields = {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
    return DevSet(name, collection, stages(model, collection, list(collection.qrels), BM25(fields)))


def choose(
    sets: Sequence[DevSet], boosts: Sequence[float] = BOOSTS, weights: Sequence[float] = WEIGHTS, window: int = WINDOW
) -> Chosen:
    """The boost and then the rerank weight with the best mean; of boosts within `tune.TOLERANCE`, the smallest."""
    hybrids = {
        boost: _mean([each.values(each.scored.rank(each.scored.hybrid(boost))) for each in sets]) for boost in boosts
    }
    boost = min(value for value in boosts if hybrids[value] >= max(hybrids.values()) - TOLERANCE)
    found = [each.scored.rerank(each.scored.hybrid(boost), weights, window) for each in sets]
    reranked = {
        weight: _mean([each.values(rankings[weight]) for each, rankings in zip(sets, found, strict=True)])
        for weight in weights
    }
    return Chosen(boost, max(reranked, key=lambda weight: reranked[weight]), hybrids, reranked)


def _mean(values: Sequence[Values]) -> float:
    return float(np.mean([np.mean(list(each.values())) for each in values]))


def report(
    sets: Sequence[DevSet], boost: float, weight: float, others: Mapping[str, Sequence[Stages]] | None = None
) -> dict[str, Any]:
    """Means of each stage on each set, and of all sets.

    Parameters
    ----------
    sets : sequence of DevSet
    boost, weight : float
    others : mapping of name → what `late` gives for each set
        Further rerankers of the same hybrid window, each at the weight with the best mean.

    Returns
    -------
    dict of set → figures
        With ``mean`` of all sets.
    """
    rows: dict[str, dict[str, Any]] = {}
    rivals = {name: _rival(sets, boost, found) for name, found in (others or {}).items()}
    for number, each in enumerate(sets):
        scored = each.scored
        first = scored.hybrid(boost)
        runs = {
            "bm25": scored.rank(scored.bm25),
            "sparse": scored.rank(scored.sparse),
            "hybrid": scored.rank(first),
            "hybrid+rerank": scored.rerank(first, [weight], WINDOW)[weight],
            "rrf": scored.rank(scored.by_ranks()),
            **{f"hybrid+{name}": found[number] for name, found in rivals.items()},
        }
        if scored.by_table is not None:
            runs["sparse, doc only"] = scored.rank(scored.by_table)
            runs["hybrid, doc only"] = scored.rank(scored.bm25 + boost * scored.by_table)
        values = {name: each.values(run) for name, run in runs.items()}
        row: dict[str, Any] = {name: round(float(np.mean(list(found.values()))), 4) for name, found in values.items()}
        pairs = [("bm25", "hybrid"), ("hybrid", "hybrid+rerank"), ("hybrid", "rrf")]
        pairs += [(f"hybrid+{name}", "hybrid+rerank") for name in rivals]
        for before, after in pairs:
            row[f"{after} - {before}"] = _tested(values[before], values[after])
        rows[each.name] = {"documents": len(each.scored.ids), "queries": len(each.scored.queries), **row}
    plain = [name for name, value in next(iter(rows.values())).items() if isinstance(value, float)]
    rows["mean"] = {name: round(float(np.mean([row[name] for row in rows.values()])), 4) for name in plain}
    return rows


def late(model: Model, each: DevSet) -> Stages:
    """A set's stages with the token embeddings of another model."""
    texts = [each.collection.queries[query] for query in each.scored.queries]
    documents = model.encode(list(each.collection.texts().values()), "document")
    queries = model.encode(texts, "query")
    return replace(
        each.scored,
        embeddings=[e.embeddings for e in documents if e.embeddings is not None],
        query_embeddings=[e.embeddings for e in queries if e.embeddings is not None],
    )


def pair(terms: Sequence[DevSet], embeddings: Sequence[Stages]) -> list[DevSet]:
    """Sets with the term weights of one model and the token embeddings of another."""
    return [
        replace(
            each,
            scored=replace(each.scored, embeddings=own.embeddings, query_embeddings=own.query_embeddings),
        )
        for each, own in zip(terms, embeddings, strict=True)
    ]


def against(pairs: Sequence[DevSet], alone: Sequence[DevSet], chosen: Chosen) -> dict[str, Any]:
    """A pair of models beside one model that does the work of both.

    Parameters
    ----------
    pairs : sequence of DevSet
        The pair has the best weights for these.
    alone : sequence of DevSet
        The same sets with the stages of the one model.
    chosen : Chosen
        Weights of the one model.

    Returns
    -------
    dict
        ``chosen`` of the pair, and figures of each set and of their mean. What the one model has more is tested on the
        queries of each set, and on those of all sets together.
    """
    own = choose(pairs)
    rows: dict[str, dict[str, Any]] = {}
    every: tuple[dict[str, Values], dict[str, Values]] = ({}, {})
    for each, other in zip(pairs, alone, strict=True):
        found, rival = _whole(each, own), _whole(other, chosen)
        rows[each.name] = {mode: round(_mean([values]), 4) for mode, values in found.items()}
        for mode, values in found.items():
            rows[each.name][f"alone - pair, {mode}"] = _tested(values, rival[mode])
            for kept, new in zip(every, (values, rival[mode]), strict=True):
                kept.setdefault(mode, {}).update({f"{each.name} {query}": value for query, value in new.items()})
    modes = list(every[0])
    rows["mean"] = {mode: round(float(np.mean([row[mode] for row in rows.values()])), 4) for mode in modes}
    rows["mean"] |= {f"alone - pair, {mode}": _tested(every[0][mode], every[1][mode]) for mode in modes}
    return {"chosen": asdict(own), "sets": rows}


def _whole(each: DevSet, chosen: Chosen) -> dict[str, Values]:
    """Of the hybrid and of the whole flow, at weights that were chosen."""
    first, weight = each.scored.hybrid(chosen.sparse_boost), chosen.rerank_weight
    reranked = each.scored.rerank(first, [weight], WINDOW)[weight]
    return {"hybrid": each.values(each.scored.rank(first)), "hybrid+rerank": each.values(reranked)}


def _tested(before: Values, after: Values) -> list[float]:
    """Difference and p."""
    test = compare(before, after, rounds=10_000)
    return [round(test.difference, 4), round(test.p_value, 4)]


def _rival(sets: Sequence[DevSet], boost: float, others: Sequence[Stages]) -> list[Rankings]:
    """Each set's hybrid window in the order of another reranker, at the weight with the best mean."""
    found = [own.rerank(own.hybrid(boost), WEIGHTS, WINDOW) for own in others]
    means = {
        weight: _mean([each.values(runs[weight]) for each, runs in zip(sets, found, strict=True)]) for weight in WEIGHTS
    }
    best = max(means, key=lambda weight: means[weight])
    return [runs[best] for runs in found]


def measured(
    collections: Mapping[str, Collection],
    model: str,
    reranker: str | None = None,
    terms: str | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """What `main` prints.

    Parameters
    ----------
    collections : mapping of name → Collection
    model : str
        Folder of a model with both heads, or the name of a shipped one.
    reranker : str, optional
    terms : str, optional
        Of term weights to pair with the token embeddings of both others.
    dtype : str, optional
        Of all of them, see `hub.load`.
    """
    loaded = hub.load(model, device="cpu", dtype=dtype)
    sets = [staged(loaded, name, collection) for name, collection in collections.items()]
    chosen, others = choose(sets), dict[str, list[Stages]]()
    if reranker:
        other = hub.load(reranker, device="cpu", dtype=dtype, architecture="colbert")
        others[Path(reranker).name] = [late(other, each) for each in sets]
    found = {
        "dtype": str(loaded.dtype),
        "digest": loaded.digest,
        "chosen": asdict(chosen),
        "sets": report(sets, chosen.sparse_boost, chosen.rerank_weight, others),
    }
    stored = loaded.sparse_boost, loaded.rerank_weight
    if stored != (chosen.sparse_boost, chosen.rerank_weight):
        found["stored"] = {
            **dict(zip(("sparse_boost", "rerank_weight"), stored, strict=True)),
            "sets": report(sets, *stored, others),
        }
    if terms:
        second = hub.load(terms, device="cpu", dtype=dtype)
        own = [staged(second, name, collection) for name, collection in collections.items()]
        late_ones = {**others, Path(model).name: [each.scored for each in sets]}
        found["pairs"] = {
            f"{Path(terms).name} + {name}": against(pair(own, embeddings), sets, chosen)
            for name, embeddings in late_ones.items()
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the chosen weights and the figures of every set, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m cherche_models.train.dev", description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="folder of a model with both heads")
    parser.add_argument("sets", nargs="+", type=Path, metavar="FOLDER", help="BEIR folders with qrels/dev.tsv")
    parser.add_argument("--reranker", help="a ColBERT, or an encoder without training, to compare with")
    parser.add_argument("--terms", metavar="MODEL", help="term weights to pair with the token embeddings")
    parser.add_argument("--documents", type=int, default=0, metavar="N", help="sample each collection; 0 for all")
    parser.add_argument("--dtype", help="fp32 or bf16; what is faster here if it is not given")
    options = parser.parse_args(arguments)
    collections = {folder.name: read(folder, "dev") for folder in options.sets}
    if options.documents:
        collections = {name: sample(found, options.documents) for name, found in collections.items()}
    print(json.dumps(measured(collections, options.model, options.reranker, options.terms, options.dtype), indent=1))


if __name__ == "__main__":
    main()
