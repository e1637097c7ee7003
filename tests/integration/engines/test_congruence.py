"""Same documents, same weights, two engines: one order."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models import grid
from cherche_models.types import TermWeights
from tests.integration.engines.conftest import Bench

SEEDS = range(3)
TERMS = 24


def random_weights(rng: np.random.Generator, terms: int) -> TermWeights:
    ids = np.sort(rng.choice(TERMS, terms, replace=False)).astype(np.uint32)
    return TermWeights(ids, grid.round_to_grid(rng.lognormal(0, 1, terms).astype(np.float32)))


async def filled(benches, rng, documents=120):
    words = ["solar", "lunar", "comet", "orbit", "probe", "crater"]
    for number in range(0, documents, 40):
        texts = [" ".join(rng.choice(words, rng.integers(1, 5))) for _ in range(40)]
        weights = [random_weights(rng, int(rng.integers(1, 15))) for _ in range(40)]
        for bench in benches:
            await bench.fill(
                *(bench.document(f"{number + i:04}", texts[i], weights[i], group=i % 7) for i in range(40))
            )


@pytest.mark.parametrize("seed", SEEDS)
async def test_sparse_scores_and_order_agree(benches, seed):
    rng = np.random.default_rng(seed)
    await filled(benches, rng)
    for _ in range(10):
        weights = random_weights(rng, 8)
        ours, theirs = [await bench.search(weights=weights, size=200, sparse_boost=0.5) for bench in benches]
        assert ours.total == theirs.total > 0
        other = {hit.id: hit.score for hit in theirs.hits}
        assert {hit.id: hit.score for hit in ours.hits} == pytest.approx(other, rel=1e-5)
        assert settled(ours) == settled(theirs)


TEXTS = (
    "The dimensions of O'Neil's 3.5 kg x-ray, e.g. in the U.S.A., were studied",
    "東京の天気 and カタカナ",
    "Это новые книги о войне",
    "running runs runner; economies of economy",
    "it is not what they will be",
    "a wing " * 50,
)


async def test_bm25_scores_are_those_of_opensearch(embedded, opensearch, index):
    benches = Bench(embedded, index), Bench(opensearch, index)
    for bench in benches:
        await bench.engine.setup(index, bench.meta)
        await bench.fill(
            *(bench.document(str(i), text, title=" ".join(text.split()[:2])) for i, text in enumerate(TEXTS)),
            *(bench.document(f"{i} twice", f"{text} {text}") for i, text in enumerate(TEXTS)),
        )
    for text in (*TEXTS, "the running wing", "x-ray 3.5 天気", "of the"):
        ours, theirs = [await bench.search(text, size=50) for bench in benches]
        assert {hit.id: hit.score for hit in ours.hits} == pytest.approx(
            {hit.id: hit.score for hit in theirs.hits}, rel=1e-5
        )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("match_set", ["union", "lexical"])
async def test_hybrid_membership_and_sparse_parts_agree(benches, seed, match_set):
    rng = np.random.default_rng(seed)
    await filled(benches, rng)
    for text in ("solar", "comet probe", "lunar orbit crater", "unheard"):
        weights = random_weights(rng, 3)
        body = {"filter": {"range": {"group": {"lt": 5}}}}
        options = {"match_set": match_set, "size": 200, "sparse_boost": 2.0, "body": body}
        ours, theirs = [await bench.search(text, weights, **options) for bench in benches]
        assert ours.total == theirs.total
        assert {hit.id: hit.sparse for hit in ours.hits} == pytest.approx(
            {hit.id: hit.sparse for hit in theirs.hits}, rel=1e-5, abs=1e-6
        )
        assert lexical(ours) == lexical(theirs)


async def test_documents_read_back_agree(benches):
    await filled(benches, np.random.default_rng(0), documents=40)
    ours, theirs = [{found.id: found async for found in bench.engine.scan(bench.index)} for bench in benches]
    assert ours == theirs


async def test_document_frequencies_agree(benches):
    await filled(benches, np.random.default_rng(0), documents=40)
    features = list(enumerate(benches[0].names))
    ours, theirs = [await bench.engine.document_frequencies(bench.index, features) for bench in benches]
    assert ours == theirs


def settled(page):
    """Ids in order, where scores closer than float32 can tell are one rank."""
    ranked = [(float(np.float32(hit.score)), hit.id) for hit in page.hits]
    groups: list[list[str]] = []
    last = None
    for score, id in ranked:
        if last is None or abs(score - last) > 2e-5 * last:
            groups.append([])
        groups[-1].append(id)
        last = score
    return [sorted(group) for group in groups]


def lexical(page):
    return {hit.id for hit in page.hits if hit.lexical > 0}
