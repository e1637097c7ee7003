"""Setting an index up, telling how it was, and taking it all out again."""

from __future__ import annotations

from collections.abc import Sequence

from cherche_models.codec import CODECS, pack_terms
from cherche_models.prune import Prune
from sidecar.errors import ChercheError, Code, invalid, precondition
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.pipeline.fingerprint import codes_fingerprint, sparse_fingerprint
from sidecar.pipeline.text import field_texts
from sidecar.protocols import Encoder
from sidecar.types import (
    Existing,
    Fingerprint,
    IndexMeta,
    IndexOptions,
    IndexReport,
    SetupResult,
    TextField,
)

DEFAULT_FIELDS = ("title", "text")
DEFAULT_WINDOW = 100
NO_CODES = "none"
_SAMPLE = 32
_POSTING_BYTES = 4.0  # measured: 285 weights take 1.1 kB of postings on OpenSearch 3.8.0


async def setup(index: str, options: IndexOptions, context: Context, *, dry_run: bool) -> SetupResult:
    """Add the mapping to an index, new or existing; a second call changes only its settings.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for options that make no sense; NOT_FOUND for a model that is not served;
        FAILED_PRECONDITION where the index holds weights of another model.
    """
    sample = await _sample(index, context)
    meta = resolve(options, context, sample)
    engine = context.engine
    if dry_run:
        plan = await engine.plan(index, meta)
    else:
        await _refuse_other_model(index, meta, context)
        plan = await engine.setup(index, meta)
    size, warnings = await _projected(meta, context, sample, plan.documents)
    return SetupResult(plan, not dry_run, size, meta.fingerprint, (*plan.warnings, *warnings))


def resolve(options: IndexOptions, context: Context, sample: Sequence[Existing] = ()) -> IndexMeta:
    """Fill the defaults in and compute the fingerprint.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the option; NOT_FOUND for a model that is not served.
    """
    model = context.encoders.named(options.model)
    if not model.info.sparse:
        raise invalid(
            f"model {model.info.name!r} has no sparse head",
            "give a SPLADE, SparseEmbed or joint model as --model and this one as --reranker",
        )
    prune = _prune(options.prune)
    max_length = _max_length(options.max_length, model)
    _check_codec(options.codec)
    reranker = _reranker(options, model, context)
    codes = ""
    if reranker is not None and options.codec != NO_CODES:
        length = min(max_length, reranker.info.max_document_length)
        codes = codes_fingerprint(reranker.info, max_length=length, codec=options.codec)
    sparse = sparse_fingerprint(model.info, max_length=max_length, prune=prune, naming="escaped")
    tuned = reranker.info if reranker is not None else model.info
    return IndexMeta(
        model=model.info.name,
        reranker=reranker.info.name if reranker is not None and reranker is not model else "",
        fingerprint=Fingerprint(sparse, codes),
        fields=options.fields or _present_fields(sample),
        max_length=max_length,
        prune=prune,
        codec=options.codec if codes else NO_CODES,
        sparse_boost=_positive("sparse_boost", options.sparse_boost, model.info.sparse_boost),
        rerank_weight=_share("rerank_weight", options.rerank_weight, tuned.rerank_weight),
        rerank_window=options.rerank_window or DEFAULT_WINDOW,
    )


async def report(index: str, context: Context) -> IndexReport:
    """How an index was set up, what it holds, and what should be mended."""
    engine = context.engine
    meta = await engine.meta(index)
    stats, info = await engine.stats(index), await engine.info()
    if meta is None:
        finding = f"index {index!r} is not set up: run cherche setup {index}"
        return IndexReport(index, None, stats, info, False, (finding,))
    findings = []
    served = True
    try:
        DocumentEncoder.of(meta, context.encoders)
    except ChercheError as error:
        served = False
        findings.append(str(error))
    if stats.pending:
        findings.append(f"{stats.pending} documents wait for weights: feed them again")
    without = stats.documents - stats.encoded - stats.pending
    if without:
        findings.append(f"{without} documents have no weights: feed them again")
    return IndexReport(index, meta, stats, info, served, tuple(findings))


async def remove(index: str, context: Context) -> tuple[int, tuple[str, ...]]:
    """Take out of an index what setup and feed put in; documents changed, and what stays behind."""
    return await context.engine.remove(index)


async def _sample(index: str, context: Context) -> list[Existing]:
    try:
        return await context.engine.sample(index, _SAMPLE)
    except ChercheError as error:
        if error.code is Code.NOT_FOUND:
            return []
        raise


async def _refuse_other_model(index: str, meta: IndexMeta, context: Context) -> None:
    try:
        known = await context.engine.meta(index)
    except ChercheError as error:
        if error.code is Code.NOT_FOUND:
            return
        raise
    if known is None or known.fingerprint == meta.fingerprint:
        return
    stats = await context.engine.stats(index)
    if stats.encoded:
        raise precondition(
            f"index {index!r} holds {stats.encoded:,} documents encoded by model {known.model!r} with other settings",
            f"take them out first: cherche remove {index}, then set it up and feed again — or use another index",
        )


def _present_fields(sample: Sequence[Existing]) -> tuple[TextField, ...]:
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


def _check_codec(codec: str) -> None:
    if codec != NO_CODES and codec not in CODECS:
        raise invalid(f"codec {codec!r} is not known", f"choose one of {', '.join((*CODECS, NO_CODES))}")


def _max_length(wanted: int, model: Encoder) -> int:
    longest = model.info.max_document_length
    if wanted < 0 or wanted > longest:
        raise invalid(f"max_length is {wanted}, model {model.info.name!r} reads 1 to {longest} tokens", "choose within")
    return wanted or longest


def _prune(text: str) -> str:
    try:
        return str(Prune.parse(text or "none"))
    except ValueError as error:
        raise invalid(str(error)) from None


def _positive(name: str, value: float | None, default: float) -> float:
    if value is not None and not value > 0:
        raise invalid(f"{name} is {value}", "give a factor above 0")
    return default if value is None else value


def _share(name: str, value: float | None, default: float) -> float:
    if value is not None and not 0 <= value <= 1:
        raise invalid(f"{name} is {value}", "give a share between 0 and 1")
    return default if value is None else value


async def _projected(
    meta: IndexMeta, context: Context, sample: Sequence[Existing], documents: int
) -> tuple[int, tuple[str, ...]]:
    """Bytes that weights, packed terms and codes of the index's documents will take, from a sample."""
    texts = []
    for document in sample:
        try:
            texts.append(field_texts(f"document {document.id!r}", document.source, meta.fields))
        except ChercheError:
            continue
    if not texts:
        return 0, ()
    encoder = DocumentEncoder.of(meta, context.encoders)
    parts = await encoder.encode(texts, lane="ingest", timeout=context.remaining())
    encoded = [part for part in parts if isinstance(part, NeuralPart)]
    if not encoded:
        return 0, ("none of the sampled documents could be encoded: run cherche doctor",)
    mean = sum(_stored_bytes(part) for part in encoded) / len(encoded)
    skipped = len(sample) - len(encoded)
    note = (f"{skipped} of {len(sample)} sampled documents have no text to encode",) if skipped else ()
    return round(mean * documents * len(encoded) / len(sample)), note


def _stored_bytes(part: NeuralPart) -> float:
    return len(part.weights) * _POSTING_BYTES + len(pack_terms(part.weights)) + len(part.codes or b"")
