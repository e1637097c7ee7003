"""What there is to search, and how each index stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from cherche_models.codec import unpack_terms
from sidecar import __version__
from sidecar.errors import ChercheError
from sidecar.maintenance import projection, setup
from sidecar.maintenance.running import Job, job_json
from sidecar.pipeline import Context
from sidecar.services import Services, index_name
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexMeta

_SAMPLE = 64
_AGE = 10.0
"""Seconds for which it is known what a name stands for: the page asks every two."""


class IndexBody(BaseModel):
    """An index, by name."""

    index: str


async def listed(services: Services, context: Context) -> dict[str, Any]:
    """The indices that the caller may see by name, the engine, and the models that are served.

    Raises
    ------
    ChercheError
        Of the engine.
    """
    groups, engine = await context.engine.list_indices(), await context.engine.info()
    found = {name: _summary(group.meta) for group in groups for name in group.names}
    return {
        "version": __version__,
        "engine": {"product": engine.product, "version": engine.version},
        "models": [{"name": model.name, "state": model.state} for model in services.registry.list()],
        "indices": [{"name": name, **found[name]} for name in sorted(found)],
    }


def _summary(meta: IndexMeta | None) -> dict[str, Any]:
    """How an index is searched; `model` is "" where it is not set up."""
    if meta is None:
        return {"model": "", "reranks": False}
    return {
        "model": meta.model,
        "reranks": bool(meta.reranker or meta.fingerprint.codes),
        "fields": [field.name for field in meta.fields],
        "sparse_boost": meta.sparse_boost,
        "rerank_weight": meta.rerank_weight,
        "rerank_window": meta.rerank_window,
    }


async def described(body: IndexBody, services: Services, context: Context) -> dict[str, Any]:
    """How an index was set up, what it holds, and what should be mended, as ``cherche doctor`` says it.

    Raises
    ------
    ChercheError
        NOT_FOUND; of the engine.
    """
    report = await setup.report(index_name(body.index), context)
    room = await context.engine.room(body.index)
    sampled = await context.engine.sample(body.index, _SAMPLE) if report.meta else []
    return {
        "index": report.index,
        "meta": report.meta.to_json() if report.meta else None,
        "counts": asdict(report.stats),
        "engine": {"product": report.engine.product, "version": report.engine.version},
        "served": report.served,
        "findings": list(report.findings),
        "groups": [{"names": list(group.names), "model": group.model} for group in report.groups],
        "replaced": list(report.replaced),
        "room": asdict(room) if room else None,
        "bytes": parts_of(sampled, report.stats.encoded),
        "sampled": len(sampled),
    }


async def working(body: IndexBody, services: Services, context: Context) -> dict[str, Any]:
    """Documents by state, and the backfills and upgrades of this sidecar that concern them.

    What another process does, such as a command line without ``--server``, is seen in the counts alone.

    Raises
    ------
    ChercheError
        NOT_FOUND; of the engine.
    """
    index = index_name(body.index)
    names, now = await _concrete(index, context), services.jobs.clock()
    jobs = [
        job_json(job, now) for job in services.jobs.listed() if job.index == index or await _behind(job, names, context)
    ]
    return {"counts": asdict(await context.engine.stats(index)), "jobs": jobs}


async def _behind(job: Job, names: set[str], context: Context) -> bool:
    """Whether the name that a job was begun under stands for any of some indices, as far as the caller may see."""
    try:
        return bool(names & await _concrete(job.index, context))
    except ChercheError:
        return False


async def _concrete(index: str, context: Context) -> set[str]:
    return {name for group in await context.engine.groups(index, max_age=_AGE) for name in group.names}


def parts_of(sampled: Sequence[StoredDocument], encoded: int) -> dict[str, int]:
    """Bytes of one copy of what is stored beside the documents, projected from a sample of them.

    Postings are counted as `projection` has them, packed terms and codes as they are.
    """
    whole = [document for document in sampled if document.terms]
    scale = encoded / max(1, len(whole))
    terms = sum(len(unpack_terms(document.terms or b"")) for document in whole)
    return {
        "weights": round(scale * terms * projection.POSTING_BYTES),
        "packed terms": round(scale * sum(len(document.terms or b"") for document in whole)),
        "token codes": round(scale * sum(len(document.codes or b"") for document in whole)),
    }
