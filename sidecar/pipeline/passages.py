"""Passages of the hits of a page: the windows of their texts that answer the query best, by MaxSim."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cherche_models import codec, passages
from cherche_models.types import TokenEmbeddings, Tokens
from sidecar.errors import ChercheError
from sidecar.pipeline.chunks import surroundings
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import field_starts, windows_of_each
from sidecar.pipeline.places import Place, places
from sidecar.pipeline.plan import Plan
from sidecar.pipeline.query import EncodedQuery, query_embeddings
from sidecar.pipeline.rerank import codes_on_the_fly, readable_texts
from sidecar.pipeline.text import content_hash, join
from sidecar.protocols import Encoder
from sidecar.values.documents import Json, single_text, values_within
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexMeta
from sidecar.values.passages import Passage, PassageAnswer, PassageOptions
from sidecar.values.search import Hit, RerankOutcome

MOST_HITS = 100
"""Hits of a page that get passages."""
MOST_ENCODED = 20
"""Of these, hits whose texts are encoded for it: a long one takes a CPU a second."""
_SHARE = 0.5  # of the time left: an answer without passages must still arrive


@dataclass(frozen=True, slots=True)
class _Read:
    """A hit's text as it was tokenized, and the vectors that are stored of it; None where those are of no use."""

    hit: EngineHit
    texts: Sequence[str]
    windows: Sequence[Tokens]
    rows: Sequence[int]
    starts: Mapping[int, int]
    stored: TokenEmbeddings | None = None


async def with_passages(
    hits: tuple[Hit, ...],
    fetched: Sequence[EngineHit],
    planned: Plan,
    encoded: EncodedQuery,
    count: int,
    context: Context,
) -> tuple[tuple[Hit, ...], tuple[str, ...]]:
    """The hits of a page with their best passages, and warnings of those that have none: never an error.

    Parameters
    ----------
    hits : tuple of Hit
        As they are returned.
    fetched : sequence of EngineHit
        The same as the engine returned them, with codes, state and all encoded fields.
    planned : Plan
        `reader` reads the query and, where the codes will not do, the hits' texts.
    encoded : EncodedQuery
    count : int
        Most passages of a hit.
    context : Context
    """
    if planned.reader is None:
        return hits, (f"no passages: {planned.unread}",)
    source = Source(planned.reader, planned.meta, planned.has_codes)
    found, unread = await find_passages(fetched, encoded, source, PassageOptions(count), context.within(_SHARE))
    return tuple(replace(hit, passages=one) for hit, one in zip(hits, found, strict=True)), unread


@dataclass(frozen=True, slots=True)
class Source:
    """What tells where the text of a hit answers: a model, and whether the index stores its codes."""

    reader: Encoder
    meta: IndexMeta
    has_codes: bool


async def find_passages(
    hits: Sequence[EngineHit], encoded: EncodedQuery, source: Source, wanted: PassageOptions, context: Context
) -> tuple[list[tuple[Passage, ...]], tuple[str, ...]]:
    """The passages of each hit, and warnings of those that have none: never an error.

    Parameters
    ----------
    hits : sequence of EngineHit
        With all encoded fields, and the codes and hash that the index holds of them.
    encoded : EncodedQuery
    source : Source
    wanted : PassageOptions
    context : Context
        Its deadline ends the search for passages.
    """
    nothing: list[tuple[Passage, ...]] = [()] * len(hits)
    query = query_embeddings(encoded, source.reader)
    if isinstance(query, RerankOutcome):
        return nothing, (f"no passages: {query.reason}",)
    try:
        # A thread cannot be stopped: it finishes, and what it found is dropped.
        async with asyncio.timeout(context.remaining()):
            page = _Page(source.reader, source.meta, query, encoded.tokens, source.has_codes, wanted)
            found = await page.passages(hits[:MOST_HITS], context)
    except TimeoutError:
        return nothing, ("no passages: time ran out; ask for fewer hits, or allow more time",)
    except ChercheError as error:
        return nothing, (f"no passages: {error}",)
    found += [f"only the first {MOST_HITS} hits of a page get some"] * (len(hits) - len(found))
    why = Counter(one for one in found if isinstance(one, str))
    kept = [() if isinstance(one, str) else one for one in found]
    return kept, tuple(f"no passages of {n} of {len(hits)} hits: {reason}" for reason, n in why.items())


@dataclass(frozen=True, slots=True)
class _Page:
    """What reads all hits of a page."""

    reader: Encoder
    meta: IndexMeta
    query: TokenEmbeddings
    tokens: Sequence[str]
    has_codes: bool
    wanted: PassageOptions

    async def passages(self, hits: Sequence[EngineHit], context: Context) -> list[tuple[Passage, ...] | str]:
        """Of each hit its passages, or why it has none.

        Raises
        ------
        ChercheError
            Of the model, where it cannot answer at all.
        """
        read = await self._read(hits)
        unsure = [one for one in read if isinstance(one, _Read) and one.stored is None][:MOST_ENCODED]
        codes = await codes_on_the_fly([one.hit for one in unsure], self.reader, self.meta, context)
        encoded = {id(one): data for one, data in zip(unsure, codes, strict=True)}
        before, after = await surroundings(self.reader)
        [frame] = await self.reader.tokenize([""], "query")
        # `[CLS]`, a prompt and `[MASK]` score, but nobody asked for them.
        asked = [token not in frame.texts for token in self.tokens]

        def of(one: _Read | str) -> tuple[Passage, ...] | str:
            if isinstance(one, str):
                return one
            if one.stored is None and id(one) not in encoded:
                return f"the index has no vector of each token, and at most {MOST_ENCODED} texts are encoded for it"
            document = one.stored if one.stored is not None else _unpacked(encoded[id(one)])
            if document is None or len(document) != len(one.rows):
                return "the model gave their texts no vectors, or not one of each token"
            tokens = [window.texts for window in one.windows]
            where = places(join(one.texts), tokens, before, after, self.meta.chunks.overlap, one.starts)
            return self._best(one, document, [where[row] for row in one.rows], asked)

        return await asyncio.to_thread(lambda: [of(one) for one in read])

    async def _read(self, hits: Sequence[EngineHit]) -> list[_Read | str]:
        texts = [readable_texts(hit, self.meta) for hit in hits]
        found = iter(await windows_of_each(self.reader, [one for one in texts if one], self.meta))
        read: list[_Read | str] = []
        for hit, one in zip(hits, texts, strict=True):
            windows = next(found) if one else []
            if isinstance(windows, ChercheError):
                read.append(windows.reason)
            elif not windows:
                read.append("they have no text in the fields that are encoded")
            else:
                rows, starts = self._rows(windows), await field_starts(self.reader, one, self.meta)
                read.append(_Read(hit, one, windows, rows, starts, self._stored(hit, one, len(rows))))
        return read

    def _rows(self, windows: Sequence[Tokens]) -> list[int]:
        """Positions, in all windows together, of the tokens that have a vector."""
        rows, before = list[int](), 0
        for window in windows:
            rows += [before + place for place in self.reader.kept(window, "document")]
            before += len(window)
        return rows

    def _stored(self, hit: EngineHit, texts: Sequence[str], rows: int) -> TokenEmbeddings | None:
        """The codes of the index where they are of this text and have a vector of each token, none pooled."""
        same = hit.held is not None and content_hash(texts, self.meta.fields, self.meta.fingerprint) == hit.held.hash
        document = _unpacked(hit.codes) if self.has_codes and same else None
        fits = document is not None and len(document) == rows and document.dim == self.query.dim
        return document if fits else None

    def _best(
        self, one: _Read, document: TokenEmbeddings, where: Sequence[Place | None], asked: Sequence[bool]
    ) -> tuple[Passage, ...] | str:
        """The best passages of all values, each within one of them; those of short values come after the others."""
        found: list[tuple[bool, Passage]] = []
        # Tokens of a value: a title that has the query's words would push the text aside.
        short = self.wanted.size // 2
        # A field may hold 100,000 values: each looks at its own rows alone.
        placed = sorted((place, row) for row, place in enumerate(where) if place)
        firsts = [place[0] for place, _ in placed]
        for field, element, start, text in stored_values(one.hit.source, self.meta):
            if self.wanted.fields and field not in self.wanted.fields:
                continue
            end = start + len(text)
            near = placed[bisect_left(firsts, start) : bisect_left(firsts, end)]
            inside = [row for place, row in near if place[1] <= end]
            if not inside:
                continue
            local = [(first - start, last - start) for (first, last), _ in near if last <= end]
            rows = TokenEmbeddings(document.vectors[inside])
            for best in passages.best(self.query, rows, local, text, count=self.wanted.count, size=self.wanted.size):
                answers = tuple(
                    PassageAnswer(self.tokens[answer.query], answer.start, answer.end, answer.similarity)
                    for answer in best.answers
                    if asked[answer.query]
                )
                shown, is_new = text[best.start : best.end], one.stored is None
                passage = Passage(field, element, best.start, best.end, shown, best.score, answers, is_new)
                found.append((len(set(local)) < short, passage))
        found.sort(key=lambda one: (one[0], -one[1].score))
        if self.wanted.fields and not found:
            return f"they have no text in {' or '.join(self.wanted.fields)}"
        kept = tuple(passage for _, passage in found[: self.wanted.count])
        return kept or "their tokens were not found again in their texts"


def stored_values(source: Json, meta: IndexMeta) -> Iterator[tuple[str, int, int, str]]:
    """Each value of the encoded fields: field, its number among the values, where it begins in the joined text, text.

    Raises
    ------
    ChercheError
        As `field_texts`.
    """
    start = 0
    for field in meta.fields:
        first = start
        for element, value in enumerate(values_within(source, field.name)):
            if value is not None:
                text = single_text(value)
                yield field.name, element, start, text
                start += len(text) + 1
        # Between two values of a field there is a space; between two fields, if the first one has any text.
        if start == first + 1:
            start = first


def _unpacked(data: bytes | None) -> TokenEmbeddings | None:
    try:
        return None if data is None else codec.unpack_codes(data)
    except codec.CodecError:
        return None
