"""Query weights that need no model: a table for a plugin, and how to tell that it cuts words as the model does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cherche_models.types import Floats, TermWeights, Tokens
from sidecar.errors import precondition
from sidecar.pipeline.context import Context
from sidecar.pipeline.fingerprint import sparse_encoder
from sidecar.pipeline.query import to_clauses
from sidecar.protocols import Encoder
from sidecar.values.index import IndexMeta

# Each tells two tokenizers apart that agree on plain English: case, accents, scripts without spaces, punctuation,
# controls, characters outside the vocabulary, special tokens, words that are too long, blanks of other kinds.
PROBES = (
    "what is a neural rerank",
    "Müller's CAFÉ — Größe, naïve, Ångström, İstanbul, ΣΊΣΥΦΟΣ",
    "Привет мир, ёлка",
    "東京 tower と 北京 한국어 ｶﾀｶﾅ",
    "हिन्दी เชียงใหม่ العربية",
    "e-mail: a.b@c.d/e?f=1&g=2#h $3.50 100% x^2 `q` ~ <p> |",
    "“quotes” … « guillemets » ¿qué? §5 ©2024 ™ €5 №7 ½ ²",
    "tab\tand\nline\r\nand\u00a0nbsp\u2003em\u200bzero\u00adsoft\u0000nul\ufffdx\u0085y\u2028z",
    "\U0001f600 emoji \u2764\ufe0f \U00020000",
    "[CLS] [MASK] [SEP] [UNK] [pad] [PAD]x[MASK]",
    "w" * 100 + " " + "w" * 101,
    "antidisestablishmentarianism covid-19 gpt4 m\u00b2 ##ing ## #",
    "\u0301a\u0301 \u1e9e \ufb01ne \u01c5 \u0130 \u212b",
)
_LONG = "a " * 20_000  # longer than any model reads, so that its length shows where the tokenizer cuts


@dataclass(frozen=True, slots=True, eq=False)
class QueryTable:
    """Weights and names by vocabulary id.

    Attributes
    ----------
    weights : float32 array, shape (vocabulary,)
        0 where an id makes no clause.
    features : tuple of str
        "" where it makes none.
    frame : frozenset of int
        Ids around every query.
    max_pieces : int
        What a query may have beside the frame.
    probes : tuple of (text, ids)
        Distinct ids of the text, rising, without the frame.
    """

    vocabulary: tuple[str, ...]
    features: tuple[str, ...]
    weights: Floats
    frame: frozenset[int]
    max_pieces: int
    boost: float
    probes: tuple[tuple[str, tuple[int, ...]], ...]


async def query_table(meta: IndexMeta, context: Context) -> QueryTable:
    """Gather what a doc_only query of an index needs.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the model brings no idf table.
    """
    encoder = sparse_encoder(meta, context.encoders)
    vocabulary = tuple(encoder.info.vocabulary)
    known = encoder.idf(Tokens(tuple(range(len(vocabulary))), vocabulary, len(vocabulary)))
    if known is None:
        raise precondition(
            f"model {encoder.info.name!r} brings no idf table", "use the query mode full or pruned in this pipeline"
        )
    weights, features = _clauses(known, encoder, meta)
    frame, long, *probes = await encoder.tokenize(["", _LONG, *PROBES], "query")
    around = frozenset(frame.ids)
    found = (tuple(sorted(set(one.ids) - around)) for one in probes)
    return QueryTable(
        vocabulary,
        features,
        weights,
        around,
        len(long.ids) - len(frame.ids),
        meta.sparse_boost,
        tuple(zip(PROBES, found, strict=True)),
    )


def _clauses(known: dict[int, float], encoder: Encoder, meta: IndexMeta) -> tuple[Floats, tuple[str, ...]]:
    """Weight and feature name of every id, as a query's clauses would have them."""
    size = len(encoder.info.vocabulary)
    weights = np.zeros(size, np.float32)
    features = [""] * size
    chosen = TermWeights.from_pairs((i, w) for i, w in sorted(known.items()) if w > 0)
    for clause in to_clauses(chosen, encoder, meta):
        weights[clause.id], features[clause.id] = clause.weight, clause.name
    return weights, tuple(features)
