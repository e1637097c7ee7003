"""A retriever and a ranker for Haystack (extra ``haystack``)."""

# Without postponed annotations: Haystack makes a component's sockets of them.

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret

from sidecar.adapters.hits import FIELDS, Searching, found, merged, scored, with_error
from sidecar.client import Client

SERVER = "127.0.0.1:50551"
TOKEN = Secret.from_env_var("CHERCHE_TOKEN", strict=False)
AUTHORIZATION = Secret.from_env_var("CHERCHE_AUTHORIZATION", strict=False)


class _Component:
    """What both components hold: how to reach a sidecar, as values that a pipeline can be saved with."""

    def __init__(
        self,
        server: str,
        token: Secret | None,
        authorization: Secret | None,
        timeout: float,
        ca: str,
        insecure: bool,
    ) -> None:
        self.server = server
        self.token = token
        self.authorization = authorization
        self.timeout = timeout
        self.ca = ca
        self.insecure = insecure
        self._client: Searching | None = None

    def warm_up(self) -> None:
        """Open the connection; the first run does it too."""
        if self._client is None:
            self._client = Client(
                self.server,
                token=_resolved(self.token),
                authorization=_resolved(self.authorization),
                timeout=self.timeout,
                ca=self.ca or None,
                insecure=self.insecure,
            )

    @property
    def client(self) -> Searching:
        """The open connection."""
        self.warm_up()
        assert self._client is not None
        return self._client

    def close(self) -> None:
        """Close the connection; the next run opens another one."""
        client, self._client = self._client, None
        if isinstance(client, Client):
            client.close()

    def _connection(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "token": self.token.to_dict() if self.token else None,
            "authorization": self.authorization.to_dict() if self.authorization else None,
            "timeout": self.timeout,
            "ca": self.ca,
            "insecure": self.insecure,
        }


@component
class ChercheRetriever(_Component):
    """Finds documents of an index.

    Parameters
    ----------
    index : str
        An index, alias or pattern.
    server : str
        host:port of a sidecar; see `sidecar.client.Client` for this and what follows.
    token, authorization : Secret or None
        By default from CHERCHE_TOKEN and CHERCHE_AUTHORIZATION, where they are set.
    timeout : float
        Seconds for a search.
    ca : str
        File with the authority to trust; "" for none.
    insecure : bool
        Whether secrets may go to another machine in plain text.
    top_k : int
        Documents to return.
    options : dict or None
        Of `sidecar.client.Client.search`, such as ``{"rerank": True}``.
    content_fields : sequence of str
        Fields of a document that become its content; all others become its meta.
    """

    def __init__(
        self,
        index: str,
        server: str = SERVER,
        token: Secret | None = TOKEN,
        authorization: Secret | None = AUTHORIZATION,
        timeout: float = 60.0,
        ca: str = "",
        insecure: bool = False,
        top_k: int = 10,
        options: dict[str, Any] | None = None,
        content_fields: Sequence[str] = FIELDS,
    ) -> None:
        # Not super(): the decorator makes another class of this one.
        _Component.__init__(self, server, token, authorization, timeout, ca, insecure)
        self.index = index
        self.top_k = top_k
        self.options = options or {}
        self.content_fields = list(content_fields)

    def to_dict(self) -> dict[str, Any]:
        """Its parameters, for a pipeline that is saved."""
        own = {
            "index": self.index,
            "top_k": self.top_k,
            "options": self.options,
            "content_fields": self.content_fields,
        }
        saved: dict[str, Any] = default_to_dict(self, **self._connection(), **own)
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ChercheRetriever":
        """One with these parameters."""
        made: ChercheRetriever = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: int | None = None, options: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """The hits of a query; `options` win over those of the component."""
        asked = None if top_k is None else {"size": top_k}
        given = merged({"size": self.top_k}, self.options, asked, options)
        result = self.client.search(self.index, query, **given)
        hits = found(result, self.content_fields)
        return {
            "documents": [Document(id=hit.id, content=hit.text, meta=hit.metadata, score=hit.score) for hit in hits]
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, top_k: int | None = None, options: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """As `run`, for an asynchronous pipeline."""
        return await asyncio.to_thread(self.run, query, top_k, options)


@component
class ChercheRanker(_Component):
    """Orders documents by their MaxSim with the query.

    Documents that cannot be scored, such as empty ones, come last and without a score, with the reason as
    ``rerank_error`` in their meta.

    Parameters
    ----------
    server : str
        This and the following ones as of `ChercheRetriever`.
    token, authorization : Secret or None
    timeout : float
    ca : str
    insecure : bool
    top_k : int or None
        Documents to return; None for all.
    model : str
        A served one; the sidecar's default without.
    """

    def __init__(
        self,
        server: str = SERVER,
        token: Secret | None = TOKEN,
        authorization: Secret | None = AUTHORIZATION,
        timeout: float = 60.0,
        ca: str = "",
        insecure: bool = False,
        top_k: int | None = None,
        model: str = "",
    ) -> None:
        _Component.__init__(self, server, token, authorization, timeout, ca, insecure)
        self.top_k = top_k
        self.model = model

    def to_dict(self) -> dict[str, Any]:
        """Its parameters, for a pipeline that is saved."""
        saved: dict[str, Any] = default_to_dict(self, **self._connection(), top_k=self.top_k, model=self.model)
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ChercheRanker":
        """One with these parameters."""
        made: ChercheRanker = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The best documents, best first."""
        most = self.top_k if top_k is None else top_k
        best = scored(self.client, query, [one.content or "" for one in documents], most, model=self.model)
        return {
            "documents": [
                replace(documents[one.place], score=one.score, meta=with_error(documents[one.place].meta, one))
                for one in best
            ]
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`, for an asynchronous pipeline."""
        return await asyncio.to_thread(self.run, query, documents, top_k)


def _resolved(secret: Secret | None) -> str:
    return (secret.resolve_value() or "") if secret else ""
