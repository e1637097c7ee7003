from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cherche_models import codec
from cherche_models.prune import Prune
from cherche_models.types import TermWeights, Tokens
from sidecar.errors import ChercheError, Code
from sidecar.pipeline import Context, PageSigner
from sidecar.pipeline.encode import share_tokens, storable_weights
from sidecar.pipeline.explain import contributions
from sidecar.pipeline.match_set import decide
from sidecar.pipeline.membership import check_body, is_sorted
from sidecar.pipeline.pages import Page
from sidecar.pipeline.rerank import below_window, first_stage, rerank
from sidecar.pipeline.stream import Bounds, batches_of_arrivals, in_order
from sidecar.pipeline.text import content_hash, join, parse, same_json
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.first_stage import EngineHit, Hits, SparseClause
from sidecar.values.index import Fingerprint, TextField
from sidecar.values.search import RerankStatus
from tests.property.strategies import embeddings, term_weights

MODEL = FakeModel()
CONTEXT = Context(engine=None, encoders=None, signer=PageSigner(b"k" * 16))  # type: ignore[arg-type]  # never asked
SIGNER = PageSigner(b"k" * 16)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
objects = st.dictionaries(texts.filter(lambda key: not key.startswith(("cherche_", "_id"))), values, max_size=4)
pages = st.builds(
    Page, texts, st.integers(0, 10_000), texts, texts, st.floats(0, 1), st.integers(0, 10_000), st.booleans()
)


class Encoder:
    """Only what cutting by shares asks for."""

    async def tokenize(self, texts: list[str], kind: str, max_length: int = 0, *, beyond: bool = False) -> list[Tokens]:
        return MODEL.tokenize(texts, "document", max_length)


def result_of(call: Callable[[], Any]) -> Any:
    """What a call returns, or the typed error that it raises; any other error fails the test."""
    try:
        return call()
    except ChercheError as error:
        return error


# Documents


@given(objects)
def test_a_document_is_read_as_it_was_written(source):
    assert same_json(parse(SourceDocument("1", json.dumps(source).encode()), 1 << 20), source)


@given(st.text(max_size=5), st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_document_or_a_named_error(id, raw):
    found = result_of(lambda: parse(SourceDocument(id, raw), 1 << 20))
    if isinstance(found, ChercheError):
        assert found.code is Code.INVALID_ARGUMENT
        assert found.next_step
    else:
        json.dumps([id, found], ensure_ascii=False, allow_nan=False).encode()


@given(st.lists(texts, min_size=2, max_size=2), st.lists(texts, min_size=2, max_size=2))
def test_without_shares_hashes_are_equal_where_the_encoded_text_is(one, other):
    fields, print_ = [TextField("a"), TextField("b")], Fingerprint("s")
    equal = content_hash(one, fields, print_) == content_hash(other, fields, print_)
    assert equal == (join(one) == join(other))


@given(st.lists(st.text("ab .", max_size=30), min_size=1, max_size=4), st.integers(2, 20), st.data())
def test_shares_bound_each_field_and_keep_its_beginning(parts, length, data):
    shares = [data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])) for _ in parts]
    fields = [TextField(str(i), share) for i, share in enumerate(shares)]
    tokens = asyncio.run(share_tokens(Encoder(), parts, fields, length))
    assert len(tokens.ids) == len(tokens.texts) <= length
    rest, room = list(tokens.texts[1:-1]), length - 2
    for part, share in zip(parts, shares, strict=True):
        own = list(MODEL.tokenize([part], "document")[0].texts[1:-1])
        taken = min(len(own), int(share * room) if share else room, len(rest))
        assert rest[:taken] == own[:taken]
        rest = rest[taken:]
    assert rest == []
    whole = sum(len(MODEL.tokenize([part], "document")[0]) - 2 for part in parts) + 2
    assert (tokens.total, tokens.truncated) == (whole, len(tokens) < whole)


@given(st.lists(st.tuples(st.integers(0, 99), st.floats(width=32)), max_size=20, unique_by=lambda pair: pair[0]))
def test_what_is_stored_is_what_is_read_back(pairs):
    raw = TermWeights.from_pairs(pairs)
    if not np.isfinite(raw.weights).all():
        with pytest.raises(ValueError, match="NaN or infinite"):
            storable_weights(raw, Prune())
    else:
        stored = storable_weights(raw, Prune())
        assert codec.unpack_terms(codec.pack_terms(stored)) == stored


# Streams


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 8), st.integers(1, 200), st.sets(st.integers(0, 59)))
def test_batches_are_the_stream_cut(sizes, most, budget, pauses):
    async def source() -> AsyncIterator[tuple[int, int]]:
        for place, size in enumerate(sizes):
            if place in pauses:
                await asyncio.sleep(0)
            yield place, size

    async def run() -> list[list[tuple[int, int]]]:
        async with aclosing(batches_of_arrivals(source(), lambda item: item[1], Bounds(most, budget))) as found:
            return [batch async for batch in found]

    found = asyncio.run(run())
    assert [item for batch in found for item in batch] == list(enumerate(sizes))
    for batch in found:
        assert 0 < len(batch) <= most
        assert sum(size for _, size in batch[:-1]) < budget


@given(st.lists(st.integers(0, 5), max_size=20))
def test_answers_come_in_the_streams_order(delays):
    running = most = 0

    async def work(item: tuple[int, int]) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item[1]):
            await asyncio.sleep(0)
        running -= 1
        return item[0]

    async def source() -> AsyncIterator[tuple[int, int]]:
        for item in enumerate(delays):
            yield item

    async def run() -> list[int]:
        async with aclosing(in_order(source(), work)) as answers:
            return [answer async for answer in answers]

    assert asyncio.run(run()) == list(range(len(delays)))
    assert most <= 2


# Pages


@given(pages)
def test_a_page_survives_its_token(page):
    assert SIGNER.read(SIGNER.write(page)) == page


@given(pages, st.data())
def test_a_token_that_was_changed_anywhere_is_refused(page, data):
    token = SIGNER.write(page)
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.text(max_size=2)) + token[place + 1 :]
    assume(changed != token)
    with pytest.raises(ChercheError, match="not issued by this service"):
        SIGNER.read(changed)


# Rerank


@st.composite
def windows(draw):
    """Hits in first-stage order, codes for the window: some missing, some damaged."""
    scores = sorted(draw(st.lists(st.floats(0, 1e6), min_size=1, max_size=12)), reverse=True)
    hits = [EngineHit(f"d{i:02}", score, lexical=score) for i, score in enumerate(scores)]
    window = draw(st.integers(1, 15))
    good = embeddings(dim=4, min_tokens=1).map(codec.pack_codes)
    codes = [draw(st.none() | st.just(b"CC") | good) for _ in hits[:window]]
    return hits, window, codes


def run_rerank(hits, query, window, weight, codes):
    return asyncio.run(rerank(hits, query, CONTEXT, window=window, weight=weight, codes=codes))


@given(windows(), embeddings(dim=4, min_tokens=1), st.floats(0, 1))
def test_a_rerank_is_a_permutation_of_the_window_whose_parts_add_up(drawn, query, weight):
    hits, window, codes = drawn
    ranked = run_rerank(hits, query, window, weight, codes)
    outcome, inside = ranked.outcome, ranked.hits[:window]
    assert sorted(hit.id for hit in inside) == [hit.id for hit in hits[:window]]
    assert [hit.rank for hit in ranked.hits] == list(range(1, len(hits) + 1))
    assert outcome.window == len(codes)
    assert outcome.reranked + outcome.codes_missing == outcome.window
    assert outcome.reranked == sum(data not in (None, b"CC") for data in codes)
    if outcome.status == RerankStatus.CODES_MISSING:
        assert ranked.hits == first_stage(hits)
        return
    assert ranked.hits[window:] == below_window(hits[window:], window)
    scores = [hit.score for hit in ranked.hits]
    assert scores == sorted(scores, reverse=True)
    assert outcome.status == (RerankStatus.PARTIAL if outcome.codes_missing else RerankStatus.APPLIED)
    for hit in inside:
        parts = hit.parts
        assert 0 <= parts.first_stage_scaled <= 1
        assert 0 <= parts.maxsim_scaled <= 1
        assert hit.score == pytest.approx((1 - weight) * parts.first_stage_scaled + weight * parts.maxsim_scaled)
        assert (parts.maxsim is None) == (codes[parts.first_stage_rank - 1] in (None, b"CC"))
    assert list(inside) == sorted(inside, key=lambda hit: (-hit.score, hit.id))


@given(windows(), embeddings(dim=4, min_tokens=1), st.floats(0, 1))
def test_hits_that_are_made_when_they_are_shown_are_ranked_as_those_that_are_there(drawn, query, weight):
    hits, window, codes = drawn
    made = []

    def make(place):
        made.append(place)
        return hits[place]

    later = Hits([hit.id for hit in hits], [hit.score for hit in hits], [None] * len(hits), make)
    ranked = run_rerank(later, query, window, weight, codes)
    assert made == []
    assert ranked == run_rerank(hits, query, window, weight, codes)


@given(windows(), embeddings(dim=4, min_tokens=1))
def test_weight_zero_is_the_first_stages_order(drawn, query):
    hits, window, codes = drawn
    ranked = run_rerank(hits, query, window, 0.0, codes)
    assert [hit.parts.first_stage for hit in ranked.hits] == [hit.score for hit in hits]


@given(windows(), embeddings(dim=4, min_tokens=1), st.floats(0, 1))
def test_a_rerank_does_the_same_twice(drawn, query, weight):
    hits, window, codes = drawn
    assert run_rerank(hits, query, window, weight, codes) == run_rerank(hits, query, window, weight, codes)


# Reasons


@given(term_weights(largest_id=30), term_weights(largest_id=30), st.floats(0.01, 10))
def test_contributions_add_up_to_the_sparse_part(query, document, boost):
    vocabulary = [f"t{i}" for i in range(31)]
    clauses = [SparseClause(i, vocabulary[i], weight) for i, weight in query.items()]
    found = contributions(clauses, dict(document.items()), vocabulary, boost)
    assert sum(term.contribution for term in found) == pytest.approx(boost * query.dot(document), rel=1e-9)
    assert list(found) == sorted(found, key=lambda term: (-term.contribution, term.token))


@given(objects | st.fixed_dictionaries({"sort": values, "query": values}))
def test_any_body_is_read_or_refused_with_a_reason(body):
    for read, answers in ((check_body, [None]), (is_sorted, [True, False])):
        found = result_of(lambda read=read: read(body))
        assert found in answers or found.code is Code.INVALID_ARGUMENT
    found = result_of(lambda: decide(body, ["text"], text="fox"))
    if isinstance(found, ChercheError):
        assert found.code is Code.INVALID_ARGUMENT
    else:
        assert found.match_set in ("lexical", "union", "none")


@given(windows(), embeddings(dim=4, min_tokens=1))
def test_codes_of_another_reranker_never_score(drawn, query):
    """Of another width: what the fingerprint should have kept apart is not mixed either."""
    hits, window, codes = drawn
    other = codec.pack_codes(replace(query, vectors=np.ones((1, 8), np.float32)))
    ranked = run_rerank(hits, query, window, 0.5, [other, *codes[1:]])
    first = next(hit for hit in ranked.hits if hit.id == hits[0].id)
    assert first.parts.maxsim is None
