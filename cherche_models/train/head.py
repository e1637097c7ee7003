"""The projection to token embeddings: initialisation, punctuation skip list and reduction by PCA."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import torch

from cherche_models.models import ColBERT, Joint
from cherche_models.models.base import Model
from cherche_models.models.colbert import Layer, Projection
from cherche_models.tokenizer import Kind, Tokenizer

_READ = 256


def identity(model: Model) -> None:
    """Set the projection to the identity, as wide as the hidden states.

    A sentence encoder's hidden states rank well already; a random projection
    would have to learn that again.

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
    """Exclude punctuation from the token embeddings of documents, as ColBERT does.

    Raises
    ------
    ValueError
        If the model has no projection.
    """
    found = _projected(model)
    ids = sorted({*found.projection.skip.tolist(), *punctuation(model.tokenizer)})
    found.projection.skip = torch.tensor(ids, dtype=torch.long, device=found.device)


def punctuation(tokenizer: Tokenizer) -> list[int]:
    """Vocabulary ids of ASCII punctuation marks."""
    marks = (tokenizer.id_of(mark) for mark in string.punctuation)
    return [mark for mark in marks if mark is not None]


def narrow(model: Model, texts: Sequence[str], dim: int) -> None:
    """Reduce token embeddings to their first principal components by folding them into the projection, in place.

    The width therefore need not be chosen before training.

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
        If the model has no projection or a narrower one, or the texts have fewer than `dim` tokens.
    """
    check_narrow(model, dim)
    found = _projected(model)
    wide = found.projection
    encodings = model.encode(texts, "document", min(_READ, model.formats["document"].max_length))
    rows = torch.cat([torch.from_numpy(e.embeddings.vectors) for e in encodings if e.embeddings is not None])
    if len(rows) < dim:
        raise ValueError(f"{len(rows)} tokens are too few for {dim} principal components: give more texts")
    _, _, components = torch.linalg.svd(rows, full_matrices=False)
    kept, bias = components[:dim].to(found.device), wide.linear.bias
    found.projection = Projection(
        wide.linear.in_features,
        dim,
        wide.skip.tolist(),
        layers=[layer for layer in wide.layers if isinstance(layer, Layer)],
        bias=bias is not None,
        skip_first=wide.skip_first,
    ).to(found.device)
    with torch.no_grad():
        found.projection.linear.weight.copy_(kept @ wide.linear.weight)
        if bias is not None:
            found.projection.linear.bias.copy_(kept @ bias)
    found.codebook = None


def check_narrow(model: Model, dim: int) -> None:
    """Check before training that `narrow` can keep `dim` components.

    Raises
    ------
    ValueError
        If the model has no projection, or a narrower one.
    """
    width = _projected(model).dim
    if dim > width:
        raise ValueError(f"token embeddings have {width} dimensions: they cannot be reduced to {dim}")


def lengthen(model: Model, lengths: dict[Kind, int | None]) -> None:
    """Set the maximum lengths at inference, in tokens; None keeps one as it is.

    Raises
    ------
    ValueError
        If a length exceeds the encoder's maximum.
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
