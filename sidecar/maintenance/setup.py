"""Sets an index up, and reports how it was set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from cherche_models.chunks import POOLINGS, RMS
from cherche_models.codec import Form
from cherche_models.prune import Prune
from sidecar.errors import ChercheError, Code, invalid, precondition
from sidecar.maintenance.projection import projected
from sidecar.maintenance.weights import check_kept, held_as, naming_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.fingerprint import codes_fingerprint, sparse_fingerprint
from sidecar.protocols import Encoder
from sidecar.values.chunks import DEFAULT_CHUNKS, Chunks
from sidecar.values.documents import OWN_FIELDS, SEISMIC, StoredDocument
from sidecar.values.index import (
    ANOTHER_INDEX,
    DEFAULT_CODEC,
    DEFAULT_FIELDS,
    DEFAULT_WINDOW,
    NO_CODES,
    ON_DEMAND,
    SHORTEST,
    STORED,
    Fingerprint,
    Gaps,
    GroupSummary,
    IndexGroup,
    IndexMeta,
    IndexOptions,
    IndexReport,
    SetupResult,
    TextField,
)
from sidecar.values.options import check_bounds
from sidecar.values.options import options as options_of

_SAMPLE = 32
_METADATA = ("_id", "_index", "_source", "_routing", "_field_names", "_ignored")  # which no document holds as a field


async def setup(index: str, options: IndexOptions, context: Context, *, dry_run: bool) -> SetupResult:
    """Add the mapping to an index, new or existing; a second call changes only its settings.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for options that make no sense; NOT_FOUND for a model that is not served;
        FAILED_PRECONDITION where the index holds weights or codes of another model, dry run or not.
    """
    known = await _known(index, context)
    sample = await _sample(index, context)
    meta = resolve(inherited(options, known), context, sample)
    stale = await _check_change(index, known, meta, context)
    size, warnings = await projected(meta, context, sample)
    plan = await (context.engine.plan if dry_run else context.engine.setup)(index, meta)
    return SetupResult(
        plan, not dry_run, round(size * plan.documents), meta.fingerprint, (*plan.warnings, *stale, *warnings)
    )


def resolve(options: IndexOptions, context: Context, sample: Sequence[StoredDocument] = ()) -> IndexMeta:
    """Fill the model's defaults in and compute the fingerprint.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the option; NOT_FOUND for a model that is not served.
    """
    check_bounds(options)
    weights = held_as(options)
    model = context.encoders.named(options.model)
    if not model.info.sparse:
        raise invalid(
            f"model {model.info.name!r} has no sparse head",
            "give a SPLADE, SparseEmbed or joint model as --model and this one as --reranker",
        )
    prune = _prune(options.prune)
    max_length = _max_length(options.max_length, model)
    chunks = _chunks(options, max_length)
    reranker = _reranker(options, model, context)
    codec = _codec(options.codec, reranker)
    made = _codes(options.codes)
    codes = ""
    if reranker is not None and codec != NO_CODES:
        length = min(max_length, reranker.info.max_document_length)
        codes = codes_fingerprint(reranker.info, max_length=length, codec=codec, chunks=chunks)
    naming = naming_of(model, weights)
    sparse = sparse_fingerprint(model.info, max_length=max_length, prune=prune, naming=naming, chunks=chunks)
    tuned = reranker.info if reranker is not None else model.info
    return IndexMeta(
        model=model.info.name,
        reranker=reranker.info.name if reranker is not None and reranker is not model else "",
        fingerprint=Fingerprint(sparse, codes),
        fields=_fields(options.fields) or _present_fields(sample),
        max_length=max_length,
        prune=prune,
        naming=naming,
        codec=codec if codes else NO_CODES,
        sparse_boost=model.info.sparse_boost if options.sparse_boost is None else options.sparse_boost,
        rerank_weight=tuned.rerank_weight if options.rerank_weight is None else options.rerank_weight,
        rerank_window=_window(options.rerank_window, context) or DEFAULT_WINDOW,
        chunks=chunks,
        first_terms=options.first_terms or 0,
        weights=weights,
        codes=made if codes else "",
    )


def inherited(options: IndexOptions, known: IndexMeta | None) -> IndexOptions:
    """What the options leave open stays as the index has it; numbers tuned for a model only with that model."""
    if known is None:
        return options
    options = replace(options, fields=options.fields or known.fields, weights=options.weights or known.weights)
    if options.model not in ("", known.model):
        return options
    same_reranker = options.reranker in ("", known.reranker)
    tuned = known.rerank_weight if same_reranker else None
    return replace(
        options,
        model=known.model,
        reranker=options.reranker or known.reranker,
        max_length=options.max_length or known.max_length,
        codec=options.codec or (known.codec if same_reranker and known.fingerprint.codes else ""),
        chunks=options.chunks or known.chunks.most,
        chunk_overlap=_known_overlap(options, known),
        chunk_pooling=options.chunk_pooling or (known.chunks.pooling if known.chunks.most > 1 else ""),
        sparse_boost=known.sparse_boost if options.sparse_boost is None else options.sparse_boost,
        rerank_weight=tuned if options.rerank_weight is None else options.rerank_weight,
        rerank_window=options.rerank_window or known.rerank_window,
        first_terms=_known_first_terms(options, known),
        codes=options.codes or known.codes,
    )


async def report(index: str, context: Context) -> IndexReport:
    """How an index was set up, what it holds, and what should be mended; behind a name of several, of each."""
    engine = context.engine
    groups = await engine.groups(index)
    stats, info = await engine.stats(index), await engine.info()
    metas = [group.meta for group in groups if group.meta is not None]
    summaries = tuple(
        GroupSummary(group.names, group.meta.model, group.meta.fingerprint)
        if group.meta
        else GroupSummary(group.names, "", None)
        for group in groups
    )
    if not metas:
        finding = f"index {index!r} is not set up: run cherche setup {index}"
        return IndexReport(index, None, stats, info, False, (finding,), summaries)
    findings = unserved(metas, context)
    served = not findings
    findings += await engine.hazards(index)
    for group in groups:
        findings += await _lacking(index, group, context)
    return IndexReport(
        index, metas[0], stats, info, served, tuple(findings), summaries, await _replaced(index, groups, context)
    )


async def _replaced(index: str, groups: Sequence[IndexGroup], context: Context) -> tuple[str, ...]:
    """Indices that are kept for a way back, where the name is one that can be switched."""
    if [group.names for group in groups] == [(index,)]:
        return ()
    return (await (await context.engine.successors()).serving(index)).replaced


def unserved(metas: Sequence[IndexMeta], context: Context) -> list[str]:
    """Models that indices need and that are not served."""
    found = []
    for meta in metas:
        try:
            DocumentEncoder.of(meta, context.encoders)
        except ChercheError as error:
            found.append(str(error))
    return found


async def _lacking(index: str, group: IndexGroup, context: Context) -> list[str]:
    """What documents of some indices behind a name lack."""
    if group.meta is None:
        names = ", ".join(group.names)
        return [f"{names}: not set up, only BM25 searches it — run: cherche setup {group.names[0]}"]
    gaps = [await context.engine.gaps(name, group.meta) for name in group.names]
    counts = {field.name: sum(getattr(one, field.name) for one in gaps) for field in fields(Gaps)}
    return missing(index, Gaps(**counts), group)


def missing(index: str, gaps: Gaps, group: IndexGroup | None = None) -> list[str]:
    """What documents lack, for people, with a next step that the indices which hold them allow.

    >>> missing("a", Gaps(lost=2))
    ['2 documents lost their weights to a write that no cherche_encode pipeline saw — run: cherche backfill a']
    """
    step = f"run: cherche backfill {index}"
    if group is not None and group.lost:
        step = (
            f"feed them whole with cherche feed: _source leaves {', '.join(group.lost)} out, so no backfill writes them"
        )
    elif group is not None and group.hidden:
        step = ANOTHER_INDEX
    said = {
        "documents wait for weights: no model answered in time, or a bulk updated a part of them": gaps.waiting,
        "documents lost their weights to a write that no cherche_encode pipeline saw": gaps.lost,
        "documents have weights and no token codes": gaps.without_codes,
        "documents were never encoded": gaps.untouched,
    }
    found = [f"{count:,} {what} — {step}" for what, count in said.items() if count]
    if gaps.exposed:
        # Setup also changes the template of a data stream, from which its next index is made.
        what = "documents hold our hash and state where searches for words match them, as of an earlier release"
        found.append(f"{gaps.exposed:,} {what} — run: cherche setup {index}, then: {step.removeprefix('run: ')}")
    return found


async def _sample(index: str, context: Context) -> list[StoredDocument]:
    try:
        return await context.engine.sample(index, _SAMPLE)
    except ChercheError as error:
        if error.code is Code.NOT_FOUND:
            return []
        raise


async def _known(index: str, context: Context) -> IndexMeta | None:
    """How an index is set up; behind a name of several those that are not set up yet do not count."""
    try:
        groups = await context.engine.groups(index)
        metas = [group.meta for group in groups if group.meta is not None]
        return metas[0] if len(metas) == 1 else await context.engine.meta(index) if metas else None
    except ChercheError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise


async def _check_change(index: str, known: IndexMeta | None, meta: IndexMeta, context: Context) -> tuple[str, ...]:
    """Refuse to give encoded documents another model; warn where they wait for a feed.

    An index without codes may get a reranker: until its documents are fed again they have no codes.
    Codes that are there may not change their model, since nothing in a document tells old from new.
    """
    if known is None:
        return ()
    check_kept(index, known, meta)
    without = (await context.engine.gaps(index, meta)).without_codes if known.makes_codes and meta.stores_codes else 0
    cold = (
        (f"{without:,} documents have no codes yet; they get them with: cherche backfill {index}",) if without else ()
    )
    old, new = known.fingerprint, meta.fingerprint
    is_stale = old != new or [f.name for f in known.fields] != [f.name for f in meta.fields]
    encoded = (await context.engine.stats(index)).encoded if is_stale else 0
    if not encoded:
        return cold
    if old.sparse == new.sparse and _is_recoded(known, meta, context):
        kept = f"{encoded:,} documents keep their codes of {known.codec}, which are read as they are"
        return (f"{kept}; they become {meta.codec}, without the model, with: cherche backfill {index}", *cold)
    if old.sparse != new.sparse or (old.codes and old.codes != new.codes):
        what = "weights" if old.sparse != new.sparse else "codes"
        name = known.model if old.sparse != new.sparse else known.reranker or known.model
        raise precondition(
            f"index {index!r} holds {encoded:,} documents whose {what} model {name!r} made, with other settings",
            f"take them out first: cherche remove {index}, then set it up and feed again — or use another index",
        )
    what = "no codes" if old != new else "the weights of the fields before"
    return (f"{encoded:,} documents have {what} until they are fed again",)


def _is_recoded(known: IndexMeta, meta: IndexMeta, context: Context) -> bool:
    """Whether nothing but the codec changes: what is stored can be read on, and be transcoded."""
    if not known.fingerprint.codes or not meta.fingerprint.codes or known.codec == meta.codec:
        return False
    info = context.encoders.named(meta.reranker or meta.model).info
    length = min(known.max_length, info.max_document_length)
    before = codes_fingerprint(info, max_length=length, codec=known.codec, chunks=known.chunks)
    same_fields = [field.name for field in known.fields] == [field.name for field in meta.fields]
    return before == known.fingerprint.codes and same_fields


def _present_fields(sample: Sequence[StoredDocument]) -> tuple[TextField, ...]:
    """Title and text, or the one of them that the index's documents have."""
    present = [name for name in DEFAULT_FIELDS if any(name in document.source for document in sample)]
    return tuple(TextField(name) for name in present or DEFAULT_FIELDS)


def _reranker(options: IndexOptions, model: Encoder, context: Context) -> Encoder | None:
    if not options.reranker:
        return model if model.info.late_interaction else None
    reranker = context.encoders.named(options.reranker)
    if not reranker.info.late_interaction:
        raise invalid(
            f"model {reranker.info.name!r} has no late-interaction head",
            "give a ColBERT or joint model as --reranker",
        )
    return reranker


def _codec(wanted: str, reranker: Encoder | None) -> str:
    codec = wanted or DEFAULT_CODEC
    if codec == NO_CODES:
        return codec
    try:
        form = Form.parse(codec)
    except ValueError as error:
        raise invalid(str(error), f"choose one, or {NO_CODES}") from None
    if form.needs_codebook and reranker is not None and not reranker.info.codebook:
        raise precondition(
            f"model {reranker.info.name!r} has no codebook, which the codec {codec} needs",
            "train one with: cherche codebook FOLDER CORPUS.jsonl, and serve the model again",
        )
    return str(form)


def _codes(wanted: str) -> str:
    if wanted not in ("", STORED, ON_DEMAND):
        raise invalid(f"codes is {wanted!r}", f"give {STORED} or {ON_DEMAND}")
    return "" if wanted == STORED else wanted


def _fields(wanted: Sequence[TextField]) -> tuple[TextField, ...]:
    names, rows = [field.name for field in wanted], options_of(TextField)
    for field in wanted:
        if not field.name or field.name in (*OWN_FIELDS, *_METADATA):
            raise invalid(f"field {field.name!r} cannot be encoded", "name a text field of your documents")
        if names.count(field.name) > 1:
            raise invalid(f"field {field.name!r} is named twice", "name it once")
        rows["token_share"].check(field.token_share, f"the token share of field {field.name!r}")
        rows["boost"].check(field.boost, f"the boost of field {field.name!r}")
    return tuple(wanted)


def _max_length(wanted: int, model: Encoder) -> int:
    longest = model.info.max_document_length
    if wanted > longest:
        raise invalid(
            f"max_length is {wanted}, model {model.info.name!r} reads {SHORTEST} to {longest} tokens", "choose within"
        )
    return wanted or longest


def _chunks(options: IndexOptions, max_length: int) -> Chunks:
    most = options.chunks or DEFAULT_CHUNKS
    if options.chunk_pooling not in ("", *POOLINGS):
        raise invalid(f"chunk_pooling is {options.chunk_pooling!r}", f"give {' or '.join(POOLINGS)}")
    if most == 1:
        return Chunks()
    default = Chunks.default(max_length, most)
    overlap = default.overlap if options.chunk_overlap is None else options.chunk_overlap
    if overlap > max_length // 2:
        raise invalid(f"chunk_overlap is {overlap}", f"windows may share 0 to {max_length // 2} of {max_length} tokens")
    return Chunks(most, overlap, options.chunk_pooling or RMS)


def _known_first_terms(options: IndexOptions, known: IndexMeta) -> int | None:
    if options.first_terms is not None or options.weights == SEISMIC:
        return options.first_terms
    return known.first_terms


def _known_overlap(options: IndexOptions, known: IndexMeta) -> int | None:
    if options.chunk_overlap is not None or known.chunks.most == 1:
        return options.chunk_overlap
    return known.chunks.overlap


def _window(wanted: int, context: Context) -> int:
    if wanted > context.limits.window:
        raise invalid(f"rerank_window is {wanted}", f"rerank 1 to {context.limits.window:,} hits, or 0 for the default")
    return wanted


def _prune(text: str) -> str:
    try:
        return str(Prune.parse(text or "none"))
    except ValueError as error:
        raise invalid(str(error), "for example none, top_k:128 or max_ratio:0.1") from None
