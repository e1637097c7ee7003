"""One way to a cluster: requests with the caller's credentials, and errors with a kind."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from aiohttp import ClientError, TraceConfig, TraceRequestRedirectParams
from opensearchpy import AIOHttpConnection, AsyncOpenSearch
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import ConnectionTimeout, SerializationError, TransportError

from sidecar.engines.opensearch.errors import of_reply
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, invalid, masked_address, precondition, unavailable
from sidecar.observe import logs, telemetry
from sidecar.values.documents import Json
from sidecar.values.index import Identity

POOL_SIZE = 32
# Warnings quote names and values: without a bound a long-lived process would collect them for ever.
_MOST_WARNINGS = 100
# The size from which aiohttp warns, see _Connection.
_STREAMED_BYTES = 2**20
_JSON = "application/json"
_NDJSON = "application/x-ndjson"


class Transport(Protocol):
    """What is used of opensearch-py; tests put faults here."""

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: JsonValue = None,
        timeout: float | None = None,
        ignore: JsonValue = (),
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        """Send a request; raises what `opensearchpy.exceptions` has."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent, and as people read it."""

    method: str
    path: str
    body: Json | bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Method, path with parameters, and body where there is one."""
        path = f"{self.path}?{urlencode(self.params)}" if self.params else self.path
        shown = {"method": self.method, "path": path}
        return shown if self.body is None else {**shown, "body": self.body}


@dataclass(frozen=True, slots=True)
class Http:
    """A connection pool and the identity whose credentials its requests carry.

    `described` is what spans of its requests say of the cluster; all identities share it.
    """

    transport: Transport
    url: str
    identity: Identity
    timeout: float
    described: dict[str, telemetry.Value] = field(default_factory=dict, compare=False)

    def acting_as(self, identity: Identity) -> Http:
        """Return the same pool with other credentials."""
        return replace(self, identity=identity)

    async def send(self, request: Request, *, what: str, timeout: float | None = None) -> JsonValue:
        """Send a request and return the parsed reply.

        Parameters
        ----------
        what : str
            Names the item in errors.
        timeout : float or None
            Seconds; the connection's own where None.

        Raises
        ------
        ChercheError
            What the cluster refused; UNAVAILABLE and DEADLINE_EXCEEDED where it did not answer.
        """
        seconds = self.timeout if timeout is None else timeout
        described = {**self.described, "http.request.method": request.method}
        with telemetry.db(*_operation(request), described) as outcome:
            return await self._sent(request, what, seconds, outcome)

    async def _sent(self, request: Request, what: str, seconds: float, outcome: telemetry.Outcome) -> JsonValue:
        try:
            return await self.transport.perform_request(
                request.method,
                request.path,
                params=dict(request.params),
                body=request.body,
                timeout=seconds,
                headers=self._headers(request),
            )
        # In this order, since each of these three is a subclass of the next.
        except ConnectionTimeout as error:
            raise ChercheError(
                Code.DEADLINE_EXCEEDED,
                f"{what}: the cluster at {self.url} did not answer within {seconds:g} s",
                "allow more time or ask for less",
            ) from error
        except NoConnection as error:
            raise _no_connection(error, self.url, what) from error
        except TransportError as error:
            outcome.error = outcome.attributes["db.response.status_code"] = str(error.status_code)
            raise of_reply(int(error.status_code), error.info, what) from error
        # Python's parser of JSON ends at the depth of its stack.
        except (SerializationError, RecursionError) as error:
            raise unavailable(
                f"{what}: {self.url} answered something that is not JSON", "check that the URL is a cluster's"
            ) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"content-type": _NDJSON if isinstance(request.body, bytes) else _JSON, **telemetry.carried()}
        if self.identity.authorization:
            headers["authorization"] = self.identity.authorization
        return headers


class _Connection(AIOHttpConnection):
    """Streams large bodies (aiohttp warns that raw bytes of that size hold up the event loop), logs warnings."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # opensearch-py's own
        super().__init__(*arguments, **options)
        self._reported: set[str] = set()

    def _raise_warnings(self, warning_headers: Iterable[str]) -> None:
        """Log what the cluster warns of, each text once: Elasticsearch says some with every reply."""
        for header in warning_headers:
            text = header.partition('"')[2].rpartition('"')[0] or header
            if text not in self._reported and len(self._reported) < _MOST_WARNINGS:
                self._reported.add(text)
                logs.get("engine").warning("the cluster warns", reason=text)

    async def _create_aiohttp_session(self) -> None:
        """A session that goes nowhere but to the cluster: no cluster redirects, and what does has another address."""
        await super()._create_aiohttp_session()
        trace = TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        trace.freeze()
        self.session.trace_configs.append(trace)

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: JsonValue = None,
        timeout: float | None = None,
        ignore: JsonValue = (),
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        """As opensearch-py's."""
        if isinstance(body, bytes) and len(body) > _STREAMED_BYTES:
            body = io.BytesIO(body)
        return await super().perform_request(method, url, params, body, timeout, ignore, headers)


async def _refuse_redirect(session: object, context: object, params: TraceRequestRedirectParams) -> None:
    # The parsed URL is left out: it may hold what somebody else wants to be read here.
    raise ClientError(f"it redirects ({params.response.status}), which no cluster does")


def connect(url: str, *, identity: Identity, ca_certs: str | None, verify: bool, timeout: float) -> Http:
    """Open a pool to a cluster; nothing is sent yet.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a URL that is none, or that holds credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            f"{masked_address(url)!r} is not the URL of a cluster", "give it as http://host:9200 or https://host:9200"
        )
    if parts.username or parts.password:
        raise invalid(
            f"the URL of the cluster at {parts.hostname} holds credentials, which would end up in logs",
            "send them as an identity, or configure a service account",
        )
    security: dict[str, Any] = {}
    if parts.scheme == "https":
        security = {"verify_certs": verify, "ssl_show_warn": False, "ca_certs": ca_certs}
    client = AsyncOpenSearch(
        hosts=[url],
        connection_class=_Connection,
        timeout=timeout,
        # For a pooled connection that the server closed meanwhile; opensearch-py repeats no timeouts by default.
        max_retries=1,
        pool_maxsize=POOL_SIZE,
        **security,
    )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Http(client.transport, url, identity, timeout, {"server.address": parts.hostname, "server.port": port})


def _operation(request: Request) -> tuple[str, str]:
    """What a request does, and to which index; "" for none.

    >>> [_operation(Request("POST", path)) for path in ("/articles/_search", "/_bulk")]
    [('search', 'articles'), ('bulk', '')]
    >>> _operation(Request("PUT", "/articles")), _operation(Request("GET", "/"))
    (('put', 'articles'), ('get', ''))
    """
    parts = request.path.strip("/").split("/")
    verb = next((part[1:] for part in parts if part.startswith("_")), request.method.lower())
    return verb, "" if parts[0].startswith("_") else unquote(parts[0])


def index_path(index: str, *rest: str) -> str:
    """Path of an index and what follows it.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a name that would reach something else, or any index at all.

    >>> index_path("articles", "_search"), index_path(".ds-logs-000001")
    ('/articles/_search', '/.ds-logs-000001')
    """
    if ":" in index.strip(":"):
        raise invalid(
            f"{index!r} is a name of another cluster, whose setup cannot be read from here",
            "search it by the sidecar of that cluster",
        )
    hidden = index.startswith(".") and not index.startswith(".ds-")
    if not index or hidden or index[0] in "_-+*" or any(c in index for c in ',?"<>|\\/# \t\n:'):
        raise invalid(
            f"{index!r} is not the name of an index",
            "name an index, an alias, a data stream or a pattern such as logs-*",
        )
    return "/" + "/".join((quote(index, safe=""), *rest))


def is_pattern(index: str) -> bool:
    """Whether a name may stand for indices that are yet to be made.

    >>> is_pattern("logs-*")
    True
    """
    return "*" in index


def _no_connection(error: NoConnection, url: str, what: str) -> ChercheError:
    reason = str(error.error)
    said = f"{what}: the cluster at {url} cannot be reached: {reason}"
    if "certificate" in reason.lower() or "WRONG_VERSION_NUMBER" in reason:  # which waiting does not change
        return precondition(said, "give the cluster's CA certificate, or a URL with the scheme that it speaks")
    return unavailable(said, "check the URL and that the cluster runs")
