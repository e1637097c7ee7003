from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError
from sidecar.pb.cherche.v1 import common_pb2
from sidecar.values.index import Fingerprint
from sidecar.values.search import Timings
from sidecar.wire import columns
from tests.unit.sidecar.samples import lost, sample

NAMES = [f"n{i}" for i in range(50)]
pairs = st.dictionaries(st.integers(0, 49), st.floats(2**-10, 10, width=32), max_size=20)


@given(st.lists(st.none() | pairs, max_size=6))
def test_weights_survive_the_columns(drawn: list[dict[int, float] | None]) -> None:
    texts = [None if p is None else TermWeights.from_pairs(p.items()) for p in drawn]
    batch = columns.weights_to_pb(texts, NAMES.__getitem__)
    assert len(set(batch.features)) == len(batch.features)
    back = columns.weights_from_pb(common_pb2.TermWeightsBatch.FromString(batch.SerializeToString()))
    assert back == [{NAMES[i]: w for i, w in text.items()} if text is not None else {} for text in texts]


@given(st.lists(st.none() | st.integers(0, 5), max_size=6))
def test_codes_survive_the_columns(tokens: list[int | None]) -> None:
    texts = [None if n is None else codec.pack_codes(TokenEmbeddings(np.ones((n, 4), np.float32))) for n in tokens]
    packed = columns.codes_to_pb(texts)
    assert columns.codes_from_pb(packed) == texts
    assert list(np.diff(packed.token_offsets)) == [n or 0 for n in tokens]
    assert packed.version == codec.VERSION


@pytest.mark.parametrize(
    "batch",
    [
        common_pb2.TermWeightsBatch(offsets=[0, 2], features=["a"], feature_index=[0], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[0, 1], features=["a"], feature_index=[3], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[1, 1], features=["a"], feature_index=[0], weights=[1.0]),
        common_pb2.TermWeightsBatch(offsets=[0, 1], features=["a"], feature_index=[0, 0], weights=[1.0]),
    ],
)
def test_columns_that_do_not_fit_are_refused(batch: common_pb2.TermWeightsBatch) -> None:
    with pytest.raises(ChercheError, match=r"common\.proto"):
        columns.weights_from_pb(batch)


def test_code_offsets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ChercheError, match="byte_offsets"):
        columns.codes_from_pb(common_pb2.TokenCodes(data=b"abc", byte_offsets=[0, 2]))


def test_every_field_of_a_fingerprint_and_of_timings_survives() -> None:
    fingerprint, timings = sample(Fingerprint), sample(Timings)
    assert lost(Fingerprint, columns.fingerprint_from_pb(columns.fingerprint_to_pb(fingerprint)), fingerprint) == {}
    assert lost(Timings, columns.timings_from_pb(columns.timings_to_pb(timings)), timings) == {}
