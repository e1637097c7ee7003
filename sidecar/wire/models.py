"""Served models."""

from __future__ import annotations

from sidecar.pb.cherche.v1 import model_pb2 as pb
from sidecar.values.model import ModelDescription, ModelState, ServedModel
from sidecar.wire.fields import from_message, to_message


def model_to_pb(served: ServedModel) -> pb.Model:
    """A model for the wire."""
    message = to_message(served, pb.Model, state=pb.ModelState.Value(f"MODEL_STATE_{served.state.value}"))
    one = served.description
    if one is not None:
        heads = {"has_sparse_head": one.sparse, "has_late_interaction_head": one.late_interaction}
        message.MergeFrom(to_message(one, pb.Model, name=served.name, **heads))
    return message


def model_from_pb(message: pb.Model) -> ServedModel:
    """A model from the wire."""
    heads = {"sparse": message.has_sparse_head, "late_interaction": message.has_late_interaction_head}
    return from_message(
        message,
        ServedModel,
        state=ModelState(pb.ModelState.Name(message.state).removeprefix("MODEL_STATE_")),
        description=from_message(message, ModelDescription, **heads) if message.architecture else None,
    )
