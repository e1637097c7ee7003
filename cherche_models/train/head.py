"""A projection to token embeddings: where it starts, and how narrow it ends."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import torch

from cherche_models.models import ColBERT, Joint
from cherche_models.models.base import Model
from cherche_models.models.colbert import Projection
from cherche_models.tokenizer import Kind, Tokenizer

_READ = 256


def identity(model: Model) -> None:
    """Give a model a projection that changes nothing yet, as wide as its hidden states.

    A sentence encoder's hidden states rank well as they are, and a random
    projection would first have to find its way back to them.

    Raises
    ------
    ValueError
        If the model has no projection.
    """
    found = _projected(model)
    width = found.backbone.hidden_size
    found.projection = Projection(width, width, found.projection.skip.tolist()).to(found.device)
    torch.nn.init.eye_(found.projection.linear.weight)
    found.codebook = None


def skip_punctuation(model: Model) -> None:
    """Leave punctuation out of documents' token embeddings, as ColBERT does.

    Raises
    ------
    ValueError
        If the model has no projection.
    """
    found = _projected(model)
    ids = sorted({*found.projection.skip.tolist(), *punctuation(model.tokenizer)})
    found.projection.skip = torch.tensor(ids, dtype=torch.long, device=found.device)


def punctuation(words: Tokenizer) -> list[int]:
    """Ids of the ASCII marks that a vocabulary has."""
    marks = (words.id_of(mark) for mark in string.punctuation)
    return [mark for mark in marks if mark is not None]


def narrow(model: Model, texts: Sequence[str], dim: int) -> None:
    """Fold the first principal components of token embeddings into the projection, in place.

    Training needs no choice of the width: the fewest components that keep the
    similarities are found afterwards.

    Parameters
    ----------
    model : Model
    texts : sequence of str
        Documents whose token embeddings are analysed.
    dim : int
        Components kept.

    Raises
    ------
    ValueError
        If the model has no projection, or one that is narrower, or the texts have fewer tokens than that.
    """
    check_narrow(model, dim)
    found = _projected(model)
    wide = found.projection
    encodings = model.encode(texts, "document", min(_READ, model.formats["document"].max_length))
    rows = torch.cat([torch.from_numpy(e.embeddings.vectors) for e in encodings if e.embeddings is not None])
    if len(rows) < dim:
        raise ValueError(f"{len(rows)} tokens have no {dim} principal components: give more texts")
    _, _, components = torch.linalg.svd(rows, full_matrices=False)
    found.projection = Projection(wide.linear.in_features, dim, wide.skip.tolist()).to(found.device)
    with torch.no_grad():
        found.projection.linear.weight.copy_(components[:dim].to(found.device) @ wide.linear.weight)
    found.codebook = None


def check_narrow(model: Model, dim: int) -> None:
    """Whether `narrow` could keep so many components: asked before training, not after.

    Raises
    ------
    ValueError
        If the model has no projection, or one that is narrower.
    """
    width = _projected(model).dim
    if dim > width:
        raise ValueError(f"token embeddings have {width} dimensions: {dim} are not fewer")


def lengthen(model: Model, lengths: dict[Kind, int | None]) -> None:
    """Set how many tokens a model reads of a text in use; None leaves it.

    Raises
    ------
    ValueError
        If the encoder cannot read so many.
    """
    longest = model.backbone.max_length
    for kind, length in lengths.items():
        if length is not None and length > longest:
            raise ValueError(f"{kind}_length is {length}: the encoder reads {longest} tokens at most")
        if length is not None:
            model.formats = {**model.formats, kind: replace(model.formats[kind], max_length=length)}


def _projected(model: Model) -> ColBERT | Joint:
    if isinstance(model, ColBERT | Joint):
        return model
    raise ValueError(f"a {model.architecture} model has no projection to token embeddings: leave out head")
