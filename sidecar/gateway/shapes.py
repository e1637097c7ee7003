"""What the dialects' requests and answers look like; keys that are not listed are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from sidecar.values.model import Kind

Naming = Literal["word", "escaped", "id"]
"""How a term is written: as the model's token, percent-encoded without dots, or as a decimal id."""

TAG = "#"
"""Begins the name of a union's branch: noise in the address of a mistake."""

_KINDS: dict[str, Kind] = {
    "query": "query",
    "search": "query",
    "internal_search": "query",
    "search_query": "query",
    "passage": "document",
    "document": "document",
    "ingest": "document",
    "internal_ingest": "document",
    "search_document": "document",
}


def _folded(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Enumerations in any casing; null is the default, given as "" here."""
    return value.strip().lower() if isinstance(value, str) else value


Purpose = Annotated[
    Literal[
        "query",
        "search",
        "internal_search",
        "search_query",
        "passage",
        "document",
        "ingest",
        "internal_ingest",
        "search_document",
    ],
    BeforeValidator(_folded),
]
"""Whether texts are searched with or searched for; in any casing."""


def _whole(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """2.0 is a whole number in JSON, true is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_whole)]

Asked = Annotated[str, Field(pattern=r"[^\s\x1c-\x1f\x85]", description="Not of blanks alone.")]
"""A query; the controls are blanks to Python, but not to JSON Schema."""

Texts = Annotated[
    Annotated[str, Tag("#one")] | Annotated[list[str], Tag("#many")],
    Discriminator(lambda value: "#one" if isinstance(value, str) else "#many"),
]


def kind_of(purpose: Purpose | None) -> Kind:
    """What the model is told; documents unless told otherwise.

    >>> kind_of("search"), kind_of(None)
    ('query', 'document')
    """
    return _KINDS[purpose] if purpose else "document"


def listed(texts: str | list[str]) -> list[str]:
    """One text is a list of one."""
    return [texts] if isinstance(texts, str) else texts


class Address(BaseModel):
    """What an address may add to any dialect; a misspelt key is refused, as it would change an index unnoticed."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="", description="A served model; the default one without.")


class SparseAddress(Address):
    """The same, and how terms are written."""

    naming: Naming = Field(
        default="word", description="Terms as the model's tokens, percent-encoded without dots, or as decimal ids."
    )


class AimedAddress(SparseAddress):
    """The same, for bodies that cannot say what they hold."""

    input_type: Purpose | None = Field(default=None, description="query or document.")


class _Body(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class OpenSearchSparse(_Body):
    """What an ml-commons connector sends."""

    input: Texts = Field(
        validation_alias=AliasChoices("input", "texts", "text_docs"), description="Also read as `texts`, `text_docs`."
    )
    model: str | None = Field(default=None, description="A served model; the default one without.")
    content_type: Purpose | None = Field(default=None, description="query or passage, in any casing.")
    sparse_embedding_format: Annotated[Literal["word", "token_id"], BeforeValidator(_folded)] | None = Field(
        default=None, description="token_id writes decimal ids, for `sparse_vector` fields; in any casing."
    )


OpenSearchBody = Annotated[
    Annotated[OpenSearchSparse, Tag("#object")] | Annotated[list[str], Tag("#array")],
    Discriminator(lambda value: "#array" if isinstance(value, list) else "#object"),
]


class ElasticSparse(_Body):
    """What Elasticsearch's `custom` service sends."""

    input: Texts
    model: str | None = None
    input_type: Purpose | None = None


class ElserSparse(_Body):
    """What Elasticsearch's `hugging_face` service sends for sparse embeddings."""

    inputs: Texts


class TeiSparse(_Body):
    """What a client of TEI's `/embed_sparse` sends."""

    inputs: Texts
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")
    prompt_name: str | None = Field(default=None, description="query encodes queries, all else documents.")


class CohereDocument(_Body):
    """A document as an object."""

    text: str


class CohereRerank(_Body):
    """What a Cohere client, an ml-commons connector or Elasticsearch's `custom` service sends."""

    query: Asked
    documents: list[
        Annotated[
            Annotated[str, Tag("#text")] | Annotated[CohereDocument, Tag("#object")],
            Discriminator(lambda value: "#text" if isinstance(value, str) else "#object"),
        ]
    ]
    model: str | None = None
    top_n: Count | None = Field(default=None, description="All documents without it.")
    return_documents: bool | None = Field(default=None, strict=True)


class TeiRerank(_Body):
    """What a client of TEI's `/rerank`, or Elasticsearch's `hugging_face` service, sends."""

    query: Asked
    texts: list[str]
    return_text: bool | None = Field(default=None, strict=True)
    top_n: Count | None = Field(default=None, description="All texts without it.")
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")


class Multivector(_Body):
    """Texts to encode token by token."""

    input: Texts
    model: str | None = None
    input_type: Purpose | None = None


Weights = dict[str, float]


class OpenSearchSparseAnswer(BaseModel):
    """One map of term weights for each text, in order."""

    response: list[Weights]


class TokenWeight(BaseModel):
    """One term."""

    token: str
    weight: float


class ElasticEmbedding(BaseModel):
    """The terms of one text."""

    index: int
    embedding: list[TokenWeight]


class ElasticEmbeddings(BaseModel):
    """The terms of each text, in order."""

    sparse_embeddings: list[ElasticEmbedding]


class ElasticSparseAnswer(BaseModel):
    """An object around it: the service reads no array at the root."""

    result: ElasticEmbeddings


class TeiValue(BaseModel):
    """One term of the vocabulary, by id."""

    index: int
    value: float


class CohereResult(BaseModel):
    """One document's MaxSim."""

    index: int
    relevance_score: float
    document: CohereDocument | None = None


class CohereMeta(BaseModel):
    """Remarks."""

    warnings: list[str]


class CohereAnswer(BaseModel):
    """Results by falling score; every document is among them unless `top_n` says otherwise."""

    results: list[CohereResult]
    meta: CohereMeta | None = None


class TeiRank(BaseModel):
    """One text's MaxSim."""

    index: int
    score: float
    text: str | None = None


class MultivectorAnswer(BaseModel):
    """A matrix for each text, in order: one row per token, none for an empty text."""

    model: str
    dim: int
    embeddings: list[list[list[float]]]


class Health(BaseModel):
    """Whether the default model is warm."""

    status: Literal["SERVING", "NOT_SERVING"]
