"""Models, as they are described and served, and an encoded text. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from cherche_models.types import Encoding, Tokens

Kind = Literal["document", "query"]

Lane = Literal["query", "rerank", "ingest", "backfill"]
"""Whose work: earlier ones go first. Texts to rerank are many for one search, so other searches' queries precede."""

_SHOWN = (
    "architecture",
    "sparse",
    "late_interaction",
    "vocabulary_size",
    "dim",
    "max_document_length",
    "max_query_length",
    "device",
    "dtype",
    "dtype_reason",
    "maxsim",
    "queries",
    "documents",
    "digest",
)


class ModelState(StrEnum):
    """Whether a model can answer."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model is.

    Attributes
    ----------
    name : str
        The name it is served under.
    architecture : str
        splade, sparse_embed, colbert, joint, inference_free or m3.
    digest : str
        sha256 of its files, head and prompts, hexadecimal: all of its fingerprint that is its own.
    sparse, late_interaction : bool
        Which heads it has.
    dim : int
        Width of a token embedding, 0 without a late-interaction head.
    max_document_length, max_query_length : int
        In tokens, special tokens included.
    device, dtype : str
    dtype_reason : str
        Why it computes in that type; empty where the type was named.
    maxsim : str
        What computes MaxSim with stored codes: compiled code and its instructions, numpy and why, or a
        device; empty without a late-interaction head.
    queries : str
        What encodes short queries, and why: the compiled kernel up to a length, or torch; empty on an accelerator.
    documents : str
        What encodes documents, and why: torch, from the start or once the first one comes, or the kernel.
    vocabulary_size : int
        0 without a sparse head.
    vocabulary : tuple of str
        Token strings in id order; empty without a sparse head, and in a client, since it does not travel.
    sparse_boost, rerank_weight : float
        Tuned on training data: the defaults of an index. They do not travel.
    codebook : str
        Digest of the codebook of residual codes; empty where the model has none. It does not travel.
    note : str
        What its files were taken for where they do not say it, such as "a sentence encoder: …". It travels as
        the `message` of a `ServedModel`.
    """

    name: str
    architecture: str = ""
    digest: str = ""
    sparse: bool = False
    late_interaction: bool = False
    dim: int = 0
    max_document_length: int = 0
    max_query_length: int = 0
    device: str = ""
    dtype: str = ""
    dtype_reason: str = ""
    maxsim: str = ""
    queries: str = ""
    documents: str = ""
    vocabulary_size: int = 0
    vocabulary: tuple[str, ...] = ()
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    codebook: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a sidecar serves; without a `description` unless READY.

    `message` says why it FAILED, or what a READY one was taken for where its files do not say it.
    """

    name: str
    state: ModelState
    message: str = ""
    description: ModelDescription | None = None
    is_default: bool = False

    def to_json(self) -> dict[str, Any]:
        """All of it that travels, on one level; "", 0 and false where there is no description."""
        one = self.description or ModelDescription(self.name)
        described = {key: getattr(one, key) for key in _SHOWN}
        state = {"name": self.name, "state": self.state.value, "message": self.message}
        return {**state, **described, "is_default": self.is_default}


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded text and where its time went, in seconds; `chunks` is the rows of each of its windows, if many."""

    tokens: Tokens
    encoding: Encoding
    tokenize: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    chunks: tuple[int, ...] = ()
