"""Parts of the settings: what a sidecar, its edges and its client are configured with."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sidecar.values import limits


def data_folder() -> Path:
    """Folder of the user's for what cherche keeps."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "cherche"


def default_embedded_path() -> Path:
    """Default path of the embedded engine's file."""
    return data_folder() / "index.sqlite"


def default_judgements() -> Path:
    """Default folder of the page's judgements."""
    return data_folder() / "judgements"


class Section(BaseModel):
    """A part of the settings: a frozen value that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Embedded(Section):
    """The engine in this process."""

    path: Path = Field(default_factory=default_embedded_path)
    """Its SQLite file."""


class Tls(Section):
    """Certificates, PEM files."""

    cert: Path | None = None
    """The server's certificate chain."""
    key: Path | None = None
    """The server's private key."""
    client_ca: Path | None = None
    """Only clients with a certificate of this authority may connect."""
    ca: Path | None = None
    """Authority a client trusts; the system's where empty."""


class Limits(Section):
    """Limits of one call, and of all calls together."""

    document_bytes: int = Field(default=limits.DOCUMENT_BYTES, ge=1)
    """Largest document; a larger one is refused, its neighbours are not."""
    request_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """Largest gRPC message, and largest HTTP answer."""
    held_bytes: int = Field(default=512 << 20, ge=1 << 10)
    """Bytes of gRPC messages that all calls in progress may hold together; more are refused with RetryInfo."""
    items: int = Field(default=4096, ge=1)
    """Most items of one request."""
    query_characters: int = Field(default=limits.QUERY_CHARACTERS, ge=1)
    """Longest query text."""
    query_cache_bytes: int = Field(default=16 << 20, ge=0)
    """Bytes of encoded queries that are kept for those who ask the same, about 1,000; 0 keeps none."""
    codes_cache_bytes: int = Field(default=256 << 20, ge=0)
    """Bytes of documents' token codes that are kept, for each caller's credentials its own; 0 keeps none."""
    cold_documents: int = Field(default=limits.COLD_DOCUMENTS, ge=0)
    """Hits without token codes that one search encodes itself, where an index makes codes on demand."""
    waiting_documents: int = Field(default=limits.WAITING_DOCUMENTS, ge=0)
    """Documents that may wait for their codes to be written, where an index makes them on demand; 0 writes none."""
    window: int = Field(default=limits.DEEPEST_HIT, ge=1)
    """Deepest hit that a search may reach."""
    queue_items: int = Field(default=limits.QUEUE_ITEMS, ge=1)
    """Texts that may wait for the model in each lane (queries, texts to rerank, feeds, backfills); more are refused."""
    queue_tokens: int = Field(default=limits.QUEUE_TOKENS, ge=1)
    """Tokens that may wait for the model in each lane."""
    calls: int = Field(default=1024, ge=1)
    """gRPC calls in progress at once, streams included; more are refused with RetryInfo."""
    connections: int = Field(default=1024, ge=1)
    """gRPC connections at once, those without a call included; more are closed before they are read."""
    idle: float = Field(default=600.0, gt=0)
    """Seconds after which a gRPC connection without a call is closed; a client that calls again opens another."""
    stream_in_flight: int = Field(default=256, ge=1)
    """Documents of one stream that may be unanswered; more are not read yet."""
    deadline: float = Field(default=60.0, gt=0)
    """Seconds for a unary call that names no deadline, and the most it gets."""


class Batching(Section):
    """How texts share a forward pass."""

    tokens: int = Field(default=0, ge=0)
    """Padded tokens of one batch; 0 is 16,384 on an accelerator, else 1,024, 2,048 a CPU where queries do not wait."""
    max_wait: float = Field(default=2.0, gt=0)
    """Seconds after which a waiting text goes first, whatever its lane."""


class Metrics(Section):
    """Prometheus metrics."""

    host: str = "127.0.0.1"
    """Address they are served on. Anything but loopback needs `open`, or `insecure`."""
    port: int = Field(default=9464, ge=-1, le=65535)
    """Their port; 0 for a free one, -1 for none."""
    open: bool = False
    """Serve them beyond loopback, in plain text and to whoever reaches the port."""


class Gateway(Section):
    """The JSON dialects over HTTP, with the same token, certificates and limits as gRPC."""

    host: str = "127.0.0.1"
    """Address the gateway listens on. Anything but loopback needs TLS and a token, or `insecure`."""
    port: int = Field(default=-1, ge=-1, le=65535)
    """Its port; 0 for a free one, -1 for no gateway."""
    hosts: tuple[str, ...] = ()
    """Names under which callers may reach it, as in the Host header, without a port. Empty: on loopback, localhost and
    addresses, so that no web page can post to it under a name of its own; beyond, every name."""
    body_bytes: int = Field(default=8 << 20, ge=1 << 10)
    """Largest request; a larger one gets 413."""
    connections: int = Field(default=256, ge=1)
    """Connections at once; more are refused with 503."""
    judgements: Path = Field(default_factory=default_judgements)
    """Folder of the files, one for each index, that hold what was judged in the page."""
    clusters: tuple[str, ...] = ()
    """Clusters that people may try in the page, such as https://search.example:9200: BM25 beside a rerank, with
    credentials that are typed there and kept nowhere. "*" for any address, only on loopback and with a token;
    ``cherche ui`` sets it."""
    header_timeout: float = Field(default=10.0, gt=0)
    """Seconds that a new connection, or one that has begun a request, may take to send its head."""
