"""What both edges share: engine, models, limits and metrics, who may connect, which services can answer, errors."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.config import Limits, Settings, is_loopback
from sidecar.errors import ChercheError, Code, invalid, quoted
from sidecar.maintenance.running import Jobs
from sidecar.models.registry import Registry
from sidecar.observe.metrics import Metrics
from sidecar.pipeline import Context
from sidecar.pipeline.turns import Turns
from sidecar.protocols import Engine
from sidecar.values.search import SearchResult

_NAMES = ("EncoderService", "RerankerService", "IndexService", "SearchService", "PluginService", "ModelService")
ENCODER, RERANKER, INDEX, SEARCH, PLUGIN, MODEL = (f"cherche.v1.{name}" for name in _NAMES)
LONGEST_INDEX = 4096
"""Characters of an index, or of a list of them: the longest request line that a cluster reads by default."""
SERVICES = (ENCODER, RERANKER, INDEX, SEARCH, PLUGIN, MODEL)


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers of both edges work with.

    Attributes
    ----------
    base : Context
        Engine and models, on nobody's behalf yet.
    registry : Registry
    limits : Limits
    metrics : Metrics
    may_load : bool
        Whether callers may load and unload models.
    turns : Turns
        What every search takes one of.
    jobs : Jobs
        Backfills and upgrades that run.
    open_cluster : callable or None
        Another cluster by its URL, with no account of the sidecar's; whoever opens it closes it.
    """

    base: Context
    registry: Registry
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    may_load: bool = False
    turns: Turns = field(default_factory=Turns)
    jobs: Jobs = field(default_factory=Jobs)
    open_cluster: Callable[[str], Engine] | None = None

    def check_items(self, count: int) -> None:
        """Refuse a call with too many items.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT with the limit.
        """
        if count > self.limits.items:
            raise invalid(f"{count:,} items in one call, the limit is {self.limits.items:,}", "send fewer, or stream")

    def check_text(self, name: str, text: str) -> None:
        """Refuse a text that cannot be encoded.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT naming the text.
        """
        if not text.strip():
            raise invalid(f"{name} is empty", "leave it out, or give it text")
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.limits.document_bytes:
            raise invalid(
                f"{name} has {size:,} bytes, the limit is {self.limits.document_bytes:,}",
                "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES on the server",
            )

    def count(self, method: str, errors: list[ChercheError | None], truncated: int = 0) -> None:
        """Count a call's items."""
        failed = sum(error is not None for error in errors)
        self.metrics.items.labels(method, "ok").inc(len(errors) - failed)
        self.metrics.items.labels(method, "failed").inc(failed)
        self.metrics.truncated.labels(method).inc(truncated)

    def measure(self, result: SearchResult) -> None:
        """Record a search's stages, and what became of its rerank."""
        self.metrics.stages(result.timings)
        self.metrics.reranked(result.rerank)


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine unprotected.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming what is missing.
    """
    if bool(settings.tls.cert) != bool(settings.tls.key):
        raise invalid("TLS needs both a certificate and its key", "give --tls-cert and --tls-key")
    if settings.tls.client_ca and not settings.tls.cert:
        raise invalid("without TLS no client shows a certificate to --tls-client-ca", "give --tls-cert and --tls-key")
    if settings.insecure:
        return
    metrics = settings.metrics
    if metrics.port >= 0 and not is_loopback(metrics.host) and not metrics.open:
        raise invalid(
            f"metrics on {metrics.host} can be read from other machines, in plain text and without a token",
            "set CHERCHE_METRICS__OPEN=true if they may be, or CHERCHE_METRICS__HOST=127.0.0.1",
        )
    if settings.is_loopback:
        return
    protected = bool(settings.tls.cert) and bool(settings.secret("token") or settings.tls.client_ca)
    if not protected:
        raise invalid(
            f"host {settings.host} can be reached from other machines",
            "give --tls-cert, --tls-key and --token-file (or --tls-client-ca), or --insecure, or listen on 127.0.0.1",
        )


def index_name(index: str) -> str:
    """A name that can be one; what else it may be is the engine's to say.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for none, for control characters, and for more than a cluster takes.
    """
    if not index.strip():
        raise invalid("no index is named", "name one")
    if len(index) > LONGEST_INDEX:
        raise invalid(
            f"the index name {quoted(index)} has {len(index):,} characters, the limit is {LONGEST_INDEX:,}",
            "name an alias or a pattern",
        )
    if any(unicodedata.category(character) == "Cc" for character in index):
        raise invalid(f"the index name {quoted(index)} holds a control character", "name an index that exists")
    return index


def serving(registry: Registry) -> dict[str, bool]:
    """Whether each service can answer: once the default model is warm and those loaded at the start are decided.

    A model that is loaded later has a state of its own (`Registry.list`): what serves keeps serving. A sidecar that
    is leaving reports False everywhere, though it still answers.
    """
    if registry.leaving:
        return dict.fromkeys(("", *SERVICES), False)
    warm = registry.was_warm
    reranks = any(encoder.info.late_interaction for encoder in registry.ready())
    states = {ENCODER: warm, RERANKER: warm and reranks, INDEX: warm, SEARCH: warm, PLUGIN: warm, MODEL: True}
    return {"": warm, **states}


def unauthenticated() -> ChercheError:
    """The error of a call without the server's token."""
    return ChercheError(
        Code.UNAUTHENTICATED,
        "missing or invalid token",
        "set CHERCHE_TOKEN to the server's token, or send authorization: Bearer TOKEN",
    )


def too_deep(name: str) -> ChercheError:
    """The error of a call whose JSON exceeds Python's stack; `name` is its method or path."""
    return invalid(f"{name}: the JSON of the request is nested too deeply", "flatten it")


def deadline_exceeded(name: str) -> ChercheError:
    """The error of a call that used up the server's time; `name` is its method or path."""
    return ChercheError(
        Code.DEADLINE_EXCEEDED,
        f"{name} took longer than the deadline",
        "send less at once, or raise CHERCHE_LIMITS__DEADLINE on the server",
    )


def defect(name: str, error: Exception) -> ChercheError:
    """The error of a call that raised an unexpected exception; the message is left out: it may quote a text."""
    return ChercheError(
        Code.INTERNAL,
        f"{name} failed: unexpected {type(error).__name__}",
        "see the server's log for the traceback",
    )
