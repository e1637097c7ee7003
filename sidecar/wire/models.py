"""Served models."""

from __future__ import annotations

from sidecar.models.registry import ServedModel
from sidecar.pb.cherche.v1 import model_pb2 as pb
from sidecar.values.encoded import ModelSummary
from sidecar.wire.status import clean


def model_to_pb(served: ServedModel) -> pb.Model:
    """A model for the wire; what it is becomes known once it is loaded."""
    model = pb.Model(
        name=served.name,
        state=pb.ModelState.Value(f"MODEL_STATE_{served.state.value}"),
        message=clean(served.message),
        is_default=served.is_default,
    )
    info = served.info
    if info is not None:
        model.architecture = info.architecture
        model.has_sparse_head = info.sparse
        model.has_late_interaction_head = info.late_interaction
        model.vocabulary_size = len(info.vocabulary)
        model.dim = info.dim
        model.max_document_length = info.max_document_length
        model.max_query_length = info.max_query_length
        model.device = info.device
        model.dtype = info.dtype
        model.digest = info.digest
    return model


def model_from_pb(model: pb.Model) -> ModelSummary:
    """A model from the wire."""
    return ModelSummary(
        name=model.name,
        state=pb.ModelState.Name(model.state).removeprefix("MODEL_STATE_"),
        message=model.message,
        architecture=model.architecture,
        sparse=model.has_sparse_head,
        late_interaction=model.has_late_interaction_head,
        vocabulary_size=model.vocabulary_size,
        dim=model.dim,
        max_document_length=model.max_document_length,
        max_query_length=model.max_query_length,
        device=model.device,
        dtype=model.dtype,
        digest=model.digest,
        is_default=model.is_default,
    )
