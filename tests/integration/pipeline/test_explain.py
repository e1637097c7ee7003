"""What is shown is what is scored, over both engines and with the shipped model's own tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from sidecar.pipeline import explain
from sidecar.pipeline.encode import share_tokens
from sidecar.protocols import Engine
from sidecar.values.documents import SourceDocument
from sidecar.values.index import TextField
from sidecar.values.search import RerankStatus, SearchRequest
from tests.integration.pipeline.conftest import Bench


@pytest.mark.parametrize("boost", [0.25, 1.0])
async def test_shown_is_scored(filled: Bench, boost: float) -> None:
    request = SearchRequest(filled.index, "purchase a car", rerank=True, sparse_boost=boost, rerank_weight=0.4, size=30)
    result, explained = await explain(request, filled.context)
    assert result.rerank.status == RerankStatus.APPLIED
    assert len(result.hits) == len(explained) == 30
    for hit, one in zip(result.hits, explained, strict=True):
        parts = hit.parts
        assert parts.first_stage == pytest.approx(parts.lexical + parts.sparse, rel=1e-6)
        assert sum(term.contribution for term in one.terms) == pytest.approx(parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(parts.maxsim, abs=1e-5)
        assert hit.score == pytest.approx(0.6 * parts.first_stage_scaled + 0.4 * parts.maxsim_scaled)
        words = f"{hit.source['title']} {hit.source['text']}".split()
        assert {match.document_token for match in one.matches} <= set(words)
        assert not one.notes
    assert {term.token for one in explained for term in one.terms} >= {
        f"h{filled.models[0].token_id(word) - 6}" for word in ("car", "buy")
    }


async def test_stale_fields_show_no_tokens(filled: Bench) -> None:
    await filled.set_up(fields=(TextField("title"),))
    _, explained = await explain(SearchRequest(filled.index, "car", rerank=True), filled.context)
    assert explained
    for one in explained:
        assert {match.document_token for match in one.matches} == {""}
        assert one.notes


async def test_doc_only_agrees_with_the_document_frequencies_of_the_index(filled: Bench) -> None:
    result, explained = await explain(
        SearchRequest(filled.index, "river in the town", query_mode="doc_only"), filled.context
    )
    weights = {term.token: term.query_weight for one in explained for term in one.terms}
    names = {word: f"h{filled.models[0].token_id(word) - 6}" for word in ("river", "town")}
    assert weights[names["river"]] > weights[names["town"]] > 0
    assert filled.passes == [0]
    for hit, one in zip(result.hits, explained, strict=True):
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)


DOCSTRINGS = {
    "shutil.rmtree": "Recursively delete a directory tree. If ignore_errors is set, errors are ignored.",
    "subprocess.run": "Run command with arguments and return a CompletedProcess instance, capturing output.",
    "json.loads": "Deserialize s (a str, bytes or bytearray instance) to a Python object; see `parse_constant`.",
    "special": "[SEP] and [CLS] are what a tokenizer puts around a text; naïve [PAD] too. " + "more of it " * 40,
}


@pytest.fixture
async def shipped(embedded: Engine) -> AsyncIterator[Bench]:
    from sidecar.config import shipped_model
    from sidecar.models.library import load_model

    model = load_model("cherche-small", shipped_model(), device="cpu", dtype="fp32")
    async with Bench(embedded, [model]) as bench:
        yield bench


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.2, 0.7)])
async def test_the_shipped_models_tokens_line_up(shipped: Bench, shares: tuple[float, float]) -> None:
    title, text = (TextField(name, share) for name, share in zip(("title", "text"), shares, strict=True))
    await shipped.set_up(fields=(title, text), max_length=40, chunks=1)
    documents = [
        SourceDocument(id, json.dumps({"title": id, "text": text}).encode()) for id, text in DOCSTRINGS.items()
    ]
    results = await shipped.feed(documents)
    assert [results[0].truncated, results[-1].truncated] == [False, True]
    request = SearchRequest(shipped.index, "delete the tokenizer's [SEP]", rerank=True, rerank_weight=1.0)
    result, explained = await explain(request, shipped.context)
    assert len(explained) == len(result.hits) >= 3
    for hit, one in zip(result.hits, explained, strict=True):
        assert not one.notes
        assert sum(term.contribution for term in one.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in one.matches) == pytest.approx(hit.parts.maxsim, abs=1e-5)
        assert all(match.query_token and match.document_token for match in one.matches)
    by_id = {one.id: one for one in explained}
    special = {m.query_token: m.document_token for m in by_id["special"].matches}
    assert special["token"] == "token"
    assert {("del", "del"), ("##ete", "##ete")} <= {
        (m.query_token, m.document_token) for m in by_id["shutil.rmtree"].matches
    }


@pytest.mark.parametrize("texts", [["[SEP] a", "b"], ["a", "[CLS] b"], ["", "[SEP]"], ["x [SEP]", "y"], ["", ""]])
async def test_special_tokens_in_a_text_are_text(shipped: Bench, texts: list[str]) -> None:
    encoder = shipped.registry.named("")
    [joined] = await encoder.tokenize([" ".join(filter(None, texts))], "document")
    assert await share_tokens(encoder, texts, [TextField("title", 0.5), TextField("text")], 512) == joined
