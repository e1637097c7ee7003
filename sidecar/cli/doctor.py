"""``cherche doctor``: what keeps this machine, engine, model or index from working."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import click

from cherche_models.kernel.library import installed
from sidecar import __version__
from sidecar.cli.failures import FAILURE
from sidecar.cli.idle import option
from sidecar.cli.output import runnable, table
from sidecar.cli.session import Session, suggesting, verb
from sidecar.errors import ChercheError, Code
from sidecar.pipeline import readiness
from sidecar.values.documents import StoredDocument
from sidecar.values.model import ModelState

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.values.encoded import DumpedDocument
    from sidecar.values.index import GroupSummary, IndexReport
    from sidecar.values.model import ServedModel

PACKAGES = ("grpcio", "numpy")
HEAVY_PACKAGES = ("torch", "transformers")
"""What a sidecar does without where it knows its models; see `cherche_models.light`."""
SIDECAR_PACKAGES = ("tokenizers", "opensearch-py")
"""What only a sidecar on this machine needs."""
_PROBE = "cherche-doctor"
SAMPLE = 200  # documents: with their codes some megabytes


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `next_step` is empty where it is in order."""

    what: str
    is_ok: bool
    detail: str
    next_step: str = ""


@verb("doctor")
@click.argument("index", required=False)
@option(
    "--all", "everything", is_flag=True, help="Compare the text of every document, not of a sample.", of={"index": ()}
)
def doctor(session: Session, index: str | None, everything: bool) -> None:
    """Check environment, engine, models and an index.

    Of an index it counts what lacks weights or codes, and compares the text of documents with that which was
    encoded. Exits with 1 where something is to be mended, with the command that does.
    """
    checks = environment(_server(session))
    try:
        checks += session.run(lambda client: _ask(client, index, everything), index=index or "")
    except ChercheError as error:
        checks.append(_broken("sidecar", error))
    findings = [check for check in checks if not check.is_ok]
    session.output.data(
        {"ok": not findings, "checks": [asdict(check) for check in checks]},
        lambda: _print(checks, findings),
    )
    if findings:
        raise SystemExit(FAILURE)


def _server(session: Session) -> str:
    """The running sidecar that is asked; "" also where the settings cannot be read, which the next check says."""
    try:
        return session.settings().server
    except ChercheError:
        return ""


def environment(server: str = "") -> list[Check]:
    """Interpreter, machine and the packages that matter: not those of a sidecar where `server` is one elsewhere."""
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    checks = [Check("environment", True, f"cherche {__version__}, {where}"), *map(_package, PACKAGES)]
    idle = f"not installed: {server} computes" if server else ""
    light = "not installed: the compiled kernel encodes, where it knows a model" if installed().kernels else ""
    checks += [_package(name, idle or light) for name in HEAVY_PACKAGES]
    return checks + [_package(name, idle) for name in SIDECAR_PACKAGES]


def _package(name: str, idle: str = "") -> Check:
    """The release of a package; `idle` says why one that is missing is not missed."""
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, bool(idle), idle or "not installed", "" if idle else "pip install cherche-sidecar")


async def _ask(client: Client, index: str | None, everything: bool) -> list[Check]:
    """What the sidecar says of its models, its engine and the index."""
    models = [_model(served) for served in await client.list_models()]
    return [*models, *(await _engine_and_index(client, index, everything))]


def _model(served: ServedModel) -> Check:
    failed, one = served.state is ModelState.FAILED, served.description
    details = f", {one.architecture} on {one.device} in {one.dtype}" if one else ""
    details += f": {one.dtype_reason}" if one and one.dtype_reason else ""
    details += f"; queries: {one.queries}" if one and one.queries else ""
    details += f"; documents: {one.documents}" if one and one.documents else ""
    details += f"; MaxSim: {one.maxsim}" if one and one.maxsim else ""
    step = "mend its folder and load it again" if failed else ""
    return Check(f"model {served.name}", not failed, served.message or f"{served.state}{details}", step)


async def _engine_and_index(client: Client, index: str | None, everything: bool) -> list[Check]:
    try:
        report = await client.get_index(index or _PROBE)
    except ChercheError as error:
        if error.code is not Code.NOT_FOUND:
            return [_broken("engine", error)]
        reachable = Check("engine", True, "answers")
        return [reachable, _broken(f"index {index}", await suggesting(error, index, client))] if index else [reachable]
    engine = Check("engine", True, f"{report.engine.product} {report.engine.version}".strip())
    if not index:
        return [engine]
    stats = report.stats
    held = f"{stats.documents:,} documents, {stats.encoded:,} encoded, {stats.pending:,} pending"
    found = [Check(f"index {index}", False, finding, _after_dash(finding)) for finding in report.findings]
    groups = [Check(f"index {index}", True, _group(group)) for group in report.groups] if len(report.groups) > 1 else []
    compared = [await _compared(client, index, report, everything)] if report.meta else []
    return [engine, Check(f"index {index}", True, held), *groups, *found, *compared]


async def _compared(client: Client, index: str, report: IndexReport, everything: bool) -> Check:
    """Whether documents have the text that was encoded; what lacks weights is counted elsewhere."""
    read = other = 0
    async for document in client.dump_index(index, sample=0 if everything else SAMPLE):
        read += 1
        other += has_other_text(document, report)
    what = f"text of {read:,} documents{'' if everything else ', a sample,'} compared with what was encoded"
    if not other:
        return Check(f"index {index}", True, f"{what}: the same")
    step = f"cherche backfill {index}"
    return Check(f"index {index}", False, f"{what}: {other:,} have another one — run: {step}", step)


def has_other_text(document: DumpedDocument, report: IndexReport) -> bool:
    """Whether what is stored of a document is of another text, or of another encoding, than any of the index's."""
    if report.meta is None:
        return False
    has_parts = bool(document.terms_digest) and bool(document.codes_digest or not report.meta.stores_codes)
    is_complete = document.state == "ok" and has_parts
    source = json.loads(document.source_json)
    held = StoredDocument(document.id, source, document.hash, document.state, is_complete=is_complete)
    prints = [group.fingerprint for group in report.groups if group.fingerprint] or [report.meta.fingerprint]
    return readiness.lack(held, [replace(report.meta, fingerprint=one) for one in prints]) == "changed"


def _group(group: GroupSummary) -> str:
    """The indices of one encoding."""
    return f"{', '.join(group.names)}: {group.model or 'BM25 alone'}"


def _after_dash(finding: str) -> str:
    """The next step of a finding, which stands behind its reason."""
    for mark in (" — ", ": "):
        if mark in finding:
            return finding.rpartition(mark)[2]
    return finding


def _broken(what: str, error: ChercheError) -> Check:
    return Check(what, False, error.reason, error.next_step)


def _print(checks: Sequence[Check], findings: Sequence[Check]) -> None:
    table(("check", "", "detail"), [(c.what, "ok" if c.is_ok else "MEND", c.detail) for c in checks])
    for check in findings:
        if check.next_step:
            click.echo(runnable(f"{check.what}: {check.next_step}"))
    click.echo(f"{len(findings)} to mend" if findings else "all in order")
