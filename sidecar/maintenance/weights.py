"""How an index is to hold its weights, and what follows for the names of their terms. Pure."""

from __future__ import annotations

from sidecar.errors import invalid, precondition
from sidecar.pipeline.encode import names_of
from sidecar.protocols import Encoder
from sidecar.values.documents import RANK_FEATURES, SEISMIC, WEIGHTS_AS
from sidecar.values.index import IndexMeta, IndexOptions

MOST_IDS = 1 << 15
"""Ids that neural-search tells apart: it folds larger ones, and misread them before neural-search#1926."""


def held_as(options: IndexOptions) -> str:
    """Where the weights will lie.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a word that is none of `WEIGHTS_AS`, and for first terms, which Seismic chooses itself.
    """
    if options.weights not in ("", *WEIGHTS_AS):
        raise invalid(f"weights is {options.weights!r}", f"give {' or '.join(WEIGHTS_AS)}")
    if options.weights == SEISMIC and options.first_terms:
        raise invalid(
            f"first_terms is {options.first_terms} with {SEISMIC} weights, whose search chooses the terms itself",
            "leave it out",
        )
    return options.weights or RANK_FEATURES


def check_kept(index: str, known: IndexMeta, meta: IndexMeta) -> None:
    """Refuse to set an index up for weights in another field than it has: not even `remove` takes a field out.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    if known.weights != meta.weights:
        raise precondition(
            f"index {index!r} holds weights as {known.weights}, not as {meta.weights}: no field changes its type",
            f"run: cherche upgrade {index} --weights {meta.weights} --replace",
        )


def naming_of(model: Encoder, weights: str) -> str:
    """Escaped tokens, or decimal ids: where two tokens of the vocabulary share a name, and where Seismic reads them.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a vocabulary that is too large for Seismic.
    """
    vocabulary = model.info.vocabulary
    if weights == SEISMIC:
        if len(vocabulary) > MOST_IDS:
            raise precondition(
                f"model {model.info.name!r} has {len(vocabulary):,} terms, of which {SEISMIC} tells {MOST_IDS:,} apart",
                f"set the index up with --weights {RANK_FEATURES}, or with a model of fewer terms",
            )
        return "id"
    try:
        names_of(vocabulary, "escaped")
    except ValueError:
        return "id"
    return "escaped"
