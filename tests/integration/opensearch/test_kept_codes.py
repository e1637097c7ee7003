"""Codes that are kept, on a real cluster of each product: searches are those of an engine that keeps none."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.types import TokenEmbeddings
from sidecar.engines.opensearch import KeptCodes, OpenSearchEngine
from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import Query
from tests.integration.opensearch.corpus import META, Send, clauses_of, encoded, refused, weights_of

pytestmark = pytest.mark.java

WORDS = [f"word{number}" for number in range(30)]


def document(rng: random.Random, number: int) -> StoredDocument:
    """One whose codes no other has."""
    text = " ".join(rng.choices(WORDS, k=12))
    vectors = np.random.default_rng(rng.getrandbits(32)).standard_normal((5, 4)).astype(np.float32)
    made = encoded(f"d{number}", {"title": "", "text": text}, weights_of(rng, 40))
    return replace(made, codes=codec.pack_codes(TokenEmbeddings(vectors)))


def queries(rng: random.Random) -> list[Query]:
    """Searches of each kind that fetches codes."""
    asked = []
    for number in range(4):
        text = " ".join(rng.sample(WORDS, 3))
        plain = Query(text, "bm25", META.fields, size=30, with_codes=True, with_state=True)
        hybrid = replace(plain, mode="hybrid", clauses=clauses_of(weights_of(random.Random(number), 12)))
        asked += [plain, hybrid, replace(hybrid, fusion="rrf", fusion_window=30), replace(hybrid, first_terms=4)]
        asked += [replace(hybrid, with_terms=True), replace(hybrid, source_fields=("title",))]
        asked.append(
            replace(hybrid, body={"filter": {"match": {"text": WORDS[number]}}, "highlight": {"fields": {"text": {}}}})
        )
    return asked


async def test_searches_are_the_same_while_documents_change(
    opensearch: OpenSearchEngine, index: str, send: Send
) -> None:
    counted: list[tuple[int, int]] = []
    kept = KeptCodes(1 << 20, observe=lambda known, unknown: counted.append((known, unknown)))
    keeping = OpenSearchEngine(opensearch._http, codes=kept)
    await send("PUT", f"/{index}", {"settings": {"number_of_shards": 2, "number_of_replicas": 0}})
    await opensearch.setup(index, META)
    rng = random.Random(5)
    documents = [document(rng, number) for number in range(60)]
    assert refused(await opensearch.write(index, documents)) == {}
    await opensearch.refresh(index)

    async def compare(**options: Any) -> None:
        for query in queries(random.Random(6)):
            asked = replace(query, **options)
            found, expected = await keeping.search(index, asked), await opensearch.search(index, asked)
            assert found.hits == expected.hits
            assert all(hit.codes for hit in found.hits)
            assert (found.total, found.indices, found.request) == (expected.total, expected.indices, expected.request)

    await compare()
    await compare()
    assert counted[-1][1] == 0
    before = len(counted)
    for number in range(0, 60, 7):
        documents[number] = document(rng, number)
    assert refused(await opensearch.write(index, documents[::7])) == {}
    await send("DELETE", f"/{index}/_doc/d1")
    await opensearch.refresh(index)
    await compare()
    known, unknown = (sum(each) for each in zip(*counted[before:], strict=True))
    assert 0 < unknown < known
    page = await opensearch.search(index, replace(queries(random.Random(6))[1], keep_pit=True))
    await compare(pit=page.pit)
    await opensearch.close_pit(page.pit)
