"""A retriever and a node postprocessor for LlamaIndex (extra ``llama-index``)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from sidecar.adapters.hits import ERROR, FIELDS, Searching, found, merged, scored

_DISPATCHER = get_dispatcher(__name__)


class ChercheRetriever(BaseRetriever):
    """Finds documents of an index, as text nodes.

    Parameters
    ----------
    client : sidecar.client.Client
    index : str
        An index, alias or pattern.
    similarity_top_k : int
        Nodes to return.
    options : dict
        Of `sidecar.client.Client.search`, such as ``{"rerank": True}``.
    content_fields : sequence of str
        Fields of a document that become the node's text; all others become metadata.
    """

    def __init__(
        self,
        client: Searching,
        index: str,
        *,
        similarity_top_k: int = 10,
        options: dict[str, Any] | None = None,
        content_fields: Sequence[str] = FIELDS,
        **kwargs: Any,  # noqa: ANN401  # LlamaIndex's own: callback_manager, objects, verbose
    ) -> None:
        super().__init__(**kwargs)
        self._client = client
        self._index = index
        self._options = merged({"size": similarity_top_k}, options)
        self._content_fields = content_fields

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        result = self._client.search(self._index, query_bundle.query_str, **self._options)
        return [
            NodeWithScore(node=TextNode(id_=hit.id, text=hit.text, metadata=hit.metadata), score=hit.score)
            for hit in found(result, self._content_fields)
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # LlamaIndex's own would search on the event loop.
        return await asyncio.to_thread(self._retrieve, query_bundle)


class ChercheRerank(BaseNodePostprocessor):
    """Orders nodes by their MaxSim with the query.

    Nodes that cannot be scored, such as empty ones, come last and without a score, with the reason as
    ``rerank_error`` in their metadata.

    Parameters
    ----------
    client : sidecar.client.Client
    top_n : int or None
        Nodes to return; None for all.
    model : str
        A served one; the sidecar's default without.
    metadata_mode : MetadataMode
        Which metadata is read with a node's text; NONE for the text alone.
    """

    top_n: int | None = Field(default=None, description="Nodes to return.")
    model: str = Field(default="", description="Served model.")
    metadata_mode: MetadataMode = Field(default=MetadataMode.NONE, description="Metadata that is read too.")
    _client: Any = PrivateAttr()

    def __init__(
        self,
        client: Searching,
        *,
        top_n: int | None = None,
        model: str = "",
        metadata_mode: MetadataMode = MetadataMode.NONE,
        **kwargs: Any,  # noqa: ANN401  # LlamaIndex's own: callback_manager
    ) -> None:
        super().__init__(top_n=top_n, model=model, metadata_mode=metadata_mode, **kwargs)
        self._client = client

    @classmethod
    def class_name(cls) -> str:
        """Its name in LlamaIndex's serialization."""
        return "ChercheRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("no query: give query_bundle or query_str")
        top_n = len(nodes) if self.top_n is None else self.top_n
        name = self.model or "cherche"
        _DISPATCHER.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=name))
        texts = [one.node.get_content(metadata_mode=self.metadata_mode) for one in nodes]
        best = []
        for one in scored(self._client, query_bundle.query_str, texts, self.top_n, model=self.model):
            node = nodes[one.place].node
            if one.error:
                node = node.model_copy(update={"metadata": {**node.metadata, ERROR: one.error}})
            best.append(NodeWithScore(node=node, score=one.score))
        _DISPATCHER.event(ReRankEndEvent(nodes=best))
        return best
