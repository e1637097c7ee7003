"""Models measured on the same documents and judged queries, scored in memory; nothing is written.

What is scored is what an index would store: weights on the grid, codes of int8.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cherche_models import codec, fuse
from cherche_models.evaluate.stages import Postings, Rows, best
from cherche_models.prune import Prune
from cherche_models.types import Encoding, TermWeights
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.projection import stored_bytes
from sidecar.pipeline.chunks import PROBES, cut, merge, reach
from sidecar.pipeline.encode import NeuralPart, storable_weights
from sidecar.pipeline.text import join
from sidecar.protocols import Model
from sidecar.values.chunks import Chunks
from sidecar.values.index import DEFAULT_WINDOW, TextField
from sidecar.values.model import Encoded, Kind, ModelDescription

Rankings = dict[str, list[str]]
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
Lexical = Callable[[str, int], list[tuple[str, float]]]
Progress = Callable[[int, int], None]

BM25, HYBRID, RERANK = "bm25", "hybrid", "rerank"
_BATCH = 256
_DEPTH = 1000  # BM25 scores further down change no window, even with a sparse score on top
_UNPRUNED = Prune.parse("none")


@dataclass(frozen=True)
class Corpus:
    """Documents by id, as the text of each field, and queries by id."""

    documents: Mapping[str, Sequence[str]]
    queries: Mapping[str, str]

    @cached_property
    def ids(self) -> list[str]:
        """Ids in the order of the documents."""
        return list(self.documents)

    @cached_property
    def column(self) -> dict[str, int]:
        """Place of each id."""
        return {key: place for place, key in enumerate(self.ids)}

    def text(self, key: str) -> str:
        """What a model reads of a document."""
        return join(self.documents[key])


@dataclass(frozen=True, slots=True)
class Options:
    """How stages are combined; None for what the model was tuned with."""

    window: int = DEFAULT_WINDOW
    sparse_boost: float | None = None
    rerank_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The best hits of a query by the first stage, and their scores."""

    ids: Sequence[str]
    scores: Rows


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Windows of all queries, by whose scores: BM25's alone, or with a model's term weights."""

    name: str
    windows: Mapping[str, Window]

    @property
    def rankings(self) -> Rankings:
        """Ids of each query, best first."""
        return {query: list(window.ids) for query, window in self.windows.items()}


@dataclass(frozen=True, slots=True)
class Cost:
    """What encoding takes: seconds by the clock and of all cores together; bytes that an index would store.

    `query_seconds` has one entry per query; of a cross-encoder it is the reading of the whole window.
    """

    query_seconds: Sequence[float]
    documents: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0
    stored_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's rankings by stage, its first stage, and what it cost."""

    stages: Mapping[str, Rankings]
    first: FirstStage
    cost: Cost
    info: ModelDescription | None = None

    @property
    def final(self) -> Rankings:
        """The last stage that the model has."""
        return list(self.stages.values())[-1]


@dataclass(slots=True)
class _Encoded:
    """All documents of a corpus, and the cost of it."""

    weights: list[TermWeights] = field(default_factory=list)
    codes: list[bytes | None] = field(default_factory=list)
    seconds: float = 0.0
    core_seconds: float = 0.0
    stored_bytes: float = 0.0


def lexical_stage(corpus: Corpus, lexical: Lexical, window: int) -> FirstStage:
    """BM25 alone."""
    rows = {query: _lexical_row(corpus, lexical, text) for query, text in corpus.queries.items()}
    return FirstStage(BM25, {query: _window(row, corpus, window) for query, row in rows.items()})


def measure_model(
    model: Model, corpus: Corpus, lexical: Lexical, first: FirstStage, options: Options, progress: Progress
) -> Measured:
    """Encode all documents and queries with a model, and rank by every stage that its heads allow.

    Parameters
    ----------
    model : Model
        Without term weights it reranks the windows of `first`.
    corpus : Corpus
    lexical : callable
        BM25 of a query text, to a depth.
    first : FirstStage
    options : Options
    progress : callable
        Called with documents done and wanted.

    Raises
    ------
    ChercheError
        INTERNAL if the model gives NaN or infinite values, or lacks a head that it says it has.
    """
    info, queries = model.info, list(corpus.queries)
    documents = _documents(model, corpus, progress)
    encoded, spent = _queries(model, corpus)
    stages: dict[str, Rankings] = {}
    if info.sparse:
        boost = info.sparse_boost if options.sparse_boost is None else options.sparse_boost
        postings, windows = Postings(documents.weights), {}
        for query, encoding in zip(queries, encoded, strict=True):
            sparse = postings.scores(_storable(encoding, info))
            row = _lexical_row(corpus, lexical, corpus.queries[query]) + boost * sparse
            windows[query] = _window(row, corpus, options.window)
        first = FirstStage(f"{BM25} + {info.name}", windows)
        stages[HYBRID] = first.rankings
    if info.late_interaction:
        weight = info.rerank_weight if options.rerank_weight is None else options.rerank_weight
        stages[RERANK] = {
            query: _reranked(first.windows[query], encoding, documents.codes, corpus, weight)
            for query, encoding in zip(queries, encoded, strict=True)
        }
    cost = Cost(spent, len(corpus.ids), documents.seconds, documents.core_seconds, documents.stored_bytes)
    return Measured(stages, first, cost, info)


def measure_scorer(scorer: Scorer, corpus: Corpus, first: FirstStage, progress: Progress) -> Measured:
    """Order the windows of a first stage by a cross-encoder; ties keep the order of the first stage."""
    rankings: Rankings = {}
    spent: list[float] = []
    for done, (query, window) in enumerate(first.windows.items()):
        progress(done, len(first.windows))
        started = time.perf_counter()
        pairs = [(corpus.queries[query], corpus.text(key)) for key in window.ids]
        scores = [float(score) for score in scorer(pairs)] if pairs else []
        spent.append(time.perf_counter() - started)
        if not np.isfinite(scores).all():
            raise ChercheError(
                Code.INTERNAL, f"the cross-encoder gave NaN for query {query!r}", "load another checkpoint"
            )
        rankings[query] = [window.ids[i] for i in sorted(range(len(scores)), key=lambda i: -scores[i])]
    return Measured({RERANK: rankings}, first, Cost(spent))


def _documents(model: Model, corpus: Corpus, progress: Progress) -> _Encoded:
    found, ids = _Encoded(), corpus.ids
    _encode(model, [corpus.text(ids[0])] if ids else [], "document")  # the first pass is slow everywhere
    for start in range(0, len(ids), _BATCH):
        progress(start, len(ids))
        texts = [corpus.text(key) for key in ids[start : start + _BATCH]]
        wall, cores = time.perf_counter(), time.process_time()
        encoded = _in_windows(model, texts)
        found.seconds += time.perf_counter() - wall
        found.core_seconds += time.process_time() - cores
        for one in encoded:
            encoding = one.encoding
            weights = _storable(encoding, model.info) if model.info.sparse else TermWeights.from_pairs([])
            codes = None
            if model.info.late_interaction and encoding.embeddings is not None:
                codes = codec.pack_codes(encoding.embeddings, chunks=one.chunks)
            found.weights.append(weights)
            found.codes.append(codes)
            part = NeuralPart(weights, codes, 0, truncated=False)
            # Without weights there is nothing packed either, not even its header.
            found.stored_bytes += stored_bytes(part) if model.info.sparse else len(codes or b"")
    progress(len(ids), len(ids))
    return found


def _in_windows(model: Model, texts: Sequence[str]) -> list[Encoded]:
    """Documents encoded as an index with default options stores them."""
    length = model.info.max_document_length
    chunks = Chunks.default(length)
    windows = []
    for text, tokens in zip(texts, model.tokenize(texts, "document"), strict=True):
        if tokens.truncated:
            read = model.tokenize([*PROBES, text], "document", reach(length, chunks), beyond=True)
            windows.append(cut(read, (TextField(""),), length, chunks))
        else:
            windows.append([tokens])
    flat = [one for part in windows for one in part]
    found = iter([Encoded(*pair) for pair in zip(flat, model.encode(flat, "document"), strict=True)])
    return [merge([next(found) for _ in part], chunks.pooling) for part in windows]


def _queries(model: Model, corpus: Corpus) -> tuple[list[Encoding], list[float]]:
    """Queries encoded one by one, as they come, and the seconds of each."""
    encoded: list[Encoding] = []
    spent = []
    texts = list(corpus.queries.values())
    _encode(model, texts[:1], "query")
    for text in texts:
        started = time.perf_counter()
        encoded += _encode(model, [text], "query")
        spent.append(time.perf_counter() - started)
    return encoded, spent


def _encode(model: Model, texts: Sequence[str], kind: Kind) -> list[Encoding]:
    return model.encode(model.tokenize(texts, kind), kind)


def _storable(encoding: Encoding, info: ModelDescription) -> TermWeights:
    if encoding.weights is None:
        if encoding.unknown_language:
            return TermWeights.from_pairs([])
        raise ChercheError(Code.INTERNAL, f"model {info.name!r} gave no term weights", "load another checkpoint")
    try:
        return storable_weights(encoding.weights, _UNPRUNED)
    except ValueError as error:
        raise ChercheError(Code.INTERNAL, f"model {info.name!r}: {error}", "load another checkpoint") from error


def _lexical_row(corpus: Corpus, lexical: Lexical, text: str) -> Rows:
    row = np.zeros(len(corpus.ids))
    for key, score in lexical(text, _DEPTH):
        row[corpus.column[key]] = score
    return row


def _window(row: Rows, corpus: Corpus, size: int) -> Window:
    ids = best(row, corpus.ids, size)
    return Window(ids, row[[corpus.column[key] for key in ids]])


def _reranked(
    window: Window, encoding: Encoding, codes: Sequence[bytes | None], corpus: Corpus, weight: float
) -> list[str]:
    """A window by MaxSim and first stage; as it was where the query has no token embeddings."""
    if encoding.embeddings is None or not len(encoding.embeddings) or not window.ids:
        return list(window.ids)
    held = [codes[corpus.column[key]] for key in window.ids]
    late = codec.maxsim(encoding.embeddings, held).astype(np.float64)
    fused = fuse.convex(window.scores, late, weight)
    return [window.ids[i] for i in fuse.order(fused, window.ids)]
