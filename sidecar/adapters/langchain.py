"""A retriever and a document compressor for LangChain (extra ``langchain``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from sidecar.adapters.hits import FIELDS, Searching, found, merged, scored, with_error

SCORE = "relevance_score"
"""Key of the metadata for the score, as LangChain's own rerankers have it."""


class ChercheRetriever(BaseRetriever):
    """Finds documents of an index; ``invoke(query, size=3, …)`` changes options of one search.

    Attributes
    ----------
    client : sidecar.client.Client
    index : str
        An index, alias or pattern.
    k : int
        Documents to return.
    options : dict
        Of `sidecar.client.Client.search`, such as ``{"rerank": True}``.
    content_fields : sequence of str
        Fields of a document that become its ``page_content``; all others become metadata.
    """

    client: Any
    index: str
    k: int = 10
    options: dict[str, Any] = Field(default_factory=dict)
    content_fields: Sequence[str] = FIELDS

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **options: Any,  # noqa: ANN401  # of a search, which differ in type
    ) -> list[Document]:
        client: Searching = self.client
        result = client.search(self.index, query, **merged({"size": self.k}, self.options, options))
        return [
            Document(id=hit.id, page_content=hit.text, metadata={**hit.metadata, SCORE: hit.score})
            for hit in found(result, self.content_fields)
        ]


class ChercheRerank(BaseDocumentCompressor):
    """Orders documents by their MaxSim with the query, for a ``ContextualCompressionRetriever``.

    Documents that cannot be scored, such as empty ones, come last, with the reason as ``rerank_error`` in their
    metadata.

    Attributes
    ----------
    client : sidecar.client.Client
    model : str
        A served one; the sidecar's default without.
    top_n : int or None
        Documents to return; None for all.
    """

    client: Any
    model: str = ""
    top_n: int | None = None

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents, best first."""
        order = scored(self.client, query, [one.page_content for one in documents], self.top_n, model=self.model)
        return [
            documents[one.place].model_copy(
                update={"metadata": {**with_error(documents[one.place].metadata, one), SCORE: one.score}}
            )
            for one in order
        ]
