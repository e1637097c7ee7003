from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cherche_models import naming

# Surrogates and the marked characters included, more often than by chance.
tokens = st.text(st.one_of(st.sampled_from("%.a4 \x00\x1f\x7f\x85\u2028\ud800\udfff"), st.characters()), min_size=1)


@given(tokens)
def test_round_trip(token):
    assert naming.unescape(naming.escape(token)) == token


@given(tokens, tokens)
def test_injective(one, other):
    assert (naming.escape(one) == naming.escape(other)) == (one == other)


@given(tokens)
def test_a_name_can_be_sent_and_queried(token):
    name = naming.escape(token)
    assert name
    assert not set(name) & set(". \x00\t\n\x7f\x85\u2028")
    assert name.encode().decode() == name


@given(st.lists(tokens, unique=True))
def test_a_vocabulary_keeps_its_ids(vocabulary):
    assert [naming.unescape(name) for name in naming.feature_names(vocabulary)] == vocabulary
