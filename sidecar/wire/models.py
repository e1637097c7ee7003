"""Served models."""

from __future__ import annotations

from sidecar.errors import invalid
from sidecar.pb.cherche.v1 import model_pb2 as pb
from sidecar.values.model import ModelDescription, ModelState, ServedModel
from sidecar.wire.fields import choices, from_message, to_message

_STATES = choices(pb.ModelState.DESCRIPTOR)


def model_to_pb(served: ServedModel) -> pb.Model:
    """A model for the wire."""
    message = to_message(served, pb.Model, state=pb.ModelState.Value(f"MODEL_STATE_{served.state.value}"))
    one = served.description
    if one is not None:
        heads = {"has_sparse_head": one.sparse, "has_late_interaction_head": one.late_interaction}
        message.MergeFrom(to_message(one, pb.Model, name=served.name, **heads))
    return message


def model_from_pb(message: pb.Model) -> ServedModel:
    """A model from the wire.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a state that this release does not know.
    """
    if message.state not in _STATES:
        raise invalid(f"model {message.name!r} has the unknown state {message.state}", "upgrade this client")
    heads = {"sparse": message.has_sparse_head, "late_interaction": message.has_late_interaction_head}
    return from_message(
        message,
        ServedModel,
        state=ModelState(_STATES[message.state]),
        description=from_message(message, ModelDescription, **heads) if message.architecture else None,
    )
