"""A model's description and an encoded text. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cherche_models.types import Encoding, Tokens

Kind = Literal["document", "query"]

Lane = Literal["query", "ingest", "backfill"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a served model is.

    Attributes
    ----------
    name : str
        The name it is served under.
    architecture : str
        splade, sparse_embed, colbert, joint or inference_free.
    digest : str
        sha256 of its files, head and prompts, hexadecimal: all of its fingerprint that is its own.
    vocabulary : tuple of str
        Token strings in id order; empty without a sparse head.
    sparse, late_interaction : bool
        Which heads it has.
    dim : int
        Width of a token embedding, 0 without that head.
    max_document_length, max_query_length : int
        In tokens, special tokens included.
    device, dtype : str
    sparse_boost, rerank_weight : float
        Tuned on training data; what an index is set up with by default.
    codebook : str
        Digest of what residual codes are made with; empty where it brings none.
    """

    name: str
    architecture: str
    digest: str
    vocabulary: tuple[str, ...]
    sparse: bool
    late_interaction: bool
    dim: int
    max_document_length: int
    max_query_length: int
    device: str
    dtype: str
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    codebook: str = ""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded text and where its time went, in seconds; `chunks` is the rows of each of its windows, if many."""

    tokens: Tokens
    encoding: Encoding
    tokenize: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    chunks: tuple[int, ...] = ()
