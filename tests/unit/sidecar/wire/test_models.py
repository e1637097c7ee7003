from __future__ import annotations

from dataclasses import fields

from sidecar.pb.cherche.v1 import model_pb2
from sidecar.values.model import ModelDescription, ModelState, ServedModel
from sidecar.wire.models import model_from_pb, model_to_pb
from tests.unit.sidecar.samples import lost, sample

STAYS = {
    "vocabulary": "30,000 strings that no caller reads",
    "sparse_boost": "an index's settings hold what is in force",
    "rerank_weight": "an index's settings hold what is in force",
    "codebook": "only its bytes in the codes are read",
    "note": "it travels as the message of the served model",
}


def test_every_field_of_a_served_model_survives_the_wire() -> None:
    sent = sample(ServedModel)
    back = model_from_pb(model_pb2.Model.FromString(model_to_pb(sent).SerializeToString()))
    assert sent.description is not None
    assert lost(ServedModel, back, sent, {"description": "see below"}) == {}
    assert lost(ModelDescription, back.description, sent.description, STAYS | {"name": "the state's"}) == {}
    assert {back.description.name, back.name} == {sent.name}  # type: ignore[union-attr]  # present, see above


def test_a_model_that_failed_has_no_description() -> None:
    failed = ServedModel("m", ModelState.FAILED, "no such folder")
    assert model_from_pb(model_to_pb(failed)) == failed


def test_json_holds_all_that_travels() -> None:
    travels = {field.name for field in fields(ModelDescription)} - set(STAYS)
    assert set(sample(ServedModel).to_json()) == travels | {"name", "state", "message", "is_default"}
    assert ServedModel("m", ModelState.LOADING).to_json()["vocabulary_size"] == 0
