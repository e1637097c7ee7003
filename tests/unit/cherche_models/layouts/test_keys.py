"""A setting that changes results is honoured, or named in a warning."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Splade
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_equal_weights, load, sparse_encoder

SENTENCE = "config_sentence_transformers.json"
UNKNOWN = {
    SENTENCE: {"score_power": 0.5},
    "sentence_bert_config.json": {"processing_kwargs": {"text": {"max_length": 9}}},
    "1_SpladePooling/config.json": {"pruning_ratio": 0.1},
}


def _add(path: Path, **settings: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_setting_is_named(name: str, splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path)
    _add(tmp_path / name, **UNKNOWN[name], off=False, none=None)
    ((key, value),) = UNKNOWN[name].items()
    with pytest.warns(UserWarning, match=f"{key} is .*: it is not known here and has no effect") as caught:
        load(tmp_path)
    assert len(caught) == 1
    assert repr(value) in str(caught[0].message)


@pytest.mark.parametrize(
    ("name", "setting", "value", "needed"),
    [
        ("sentence_bert_config.json", "max_seq_length", "128", "a positive integer"),
        ("sentence_bert_config.json", "max_seq_length", -5, "a positive integer"),
        ("sentence_bert_config.json", "max_seq_length", 0, "a positive integer"),
        ("sentence_bert_config.json", "max_seq_length", 9.5, "a positive integer"),
        ("sentence_bert_config.json", "max_seq_length", True, "a positive integer"),
        ("sentence_bert_config.json", "query_length", [1], "a positive integer"),
        ("sentence_bert_config.json", "do_lower_case", "false", "true or false"),
        (SENTENCE, "skiplist_words", "abc", "a list of texts"),
        (SENTENCE, "query_prefix", 3, "a text"),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused(
    name: str, setting: str, value: object, needed: str, splade: Splade, tmp_path: Path
) -> None:
    hub.save(splade, tmp_path)
    _add(tmp_path / name, **{setting: value})
    with pytest.raises(CheckpointError, match=f"{name}: {setting} is .* — give {needed}, or leave it out"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("query_maxlen", "abc", "a positive integer"),
        ("doc_maxlen", 9.7, "a positive integer"),
        ("mask_punctuation", "False", "true or false"),
        ("attend_to_mask_tokens", "no", "true or false"),
        ("doc_token_id", 3, "a text"),
    ],
)
def test_a_setting_of_stanfords_of_a_wrong_type(setting: str, value: object, needed: str, tmp_path: Path) -> None:
    folder = checkpoints.stanford(tmp_path)
    _add(folder / "artifact.metadata", **{setting: value})
    with pytest.raises(CheckpointError, match=f"artifact.metadata: {setting} is .* — give {needed}"):
        load(folder)


def test_stanfords_sizes_and_unknown_settings_are_named(tmp_path: Path) -> None:
    folder = checkpoints.stanford(tmp_path)
    _add(folder / "artifact.metadata", query_maxlen=None, nbits=2, pooling="cls")
    with pytest.warns(UserWarning, match=r"artifact.metadata: pooling is 'cls': it is not known here") as caught:
        assert load(folder).formats["query"].max_length == 32
    assert len(caught) == 1
    _add(folder / "artifact.metadata", dim=5)
    with pytest.raises(CheckpointError, match=r"artifact.metadata: dim is 5, but the projection has 16 rows"):
        load(folder)


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("max_length_query", "x", "a positive integer"),
        ("max_length_document", -1, "a positive integer"),
        ("add_special_tokens", "no", "true or false"),
        ("n_mask_tokens", "a", "a number of at least 0"),
        ("query_prefix", 3, "a text"),
    ],
)
def test_a_setting_of_neural_cherches_of_a_wrong_type(
    setting: str, value: object, needed: str, splade: Splade, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="at most as many terms"):
        hub.export(splade, tmp_path, format="neural-cherche")
    _add(tmp_path / "metadata.json", **{setting: value})
    with pytest.raises(CheckpointError, match=f"metadata.json: {setting} is .* — give {needed}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "setting", "value", "said"),
    [
        ("config.json", "position_embedding_type", "relative_key", "this kind of encoder does not know it"),
        ("config.json", "attention_window", 9, "this kind of encoder does not know it"),
        ("config.json", "is_decoder", True, "a token is read without those after it"),
        (SENTENCE, "truncate_dim", 64, "has no effect"),
        ("1_SpladePooling/config.json", "word_embedding_dimension", 5, "the weights have .* terms"),
    ],
)
def test_a_setting_that_is_not_meant_so_is_named(
    name: str, setting: str, value: object, said: str, splade: Splade, tmp_path: Path
) -> None:
    hub.save(splade, tmp_path)
    _add(tmp_path / name, **{setting: value})
    with pytest.warns(UserWarning, match=f"{name}: {setting} is {value!r}.*{said}"):
        load(tmp_path)


def test_the_pooling_that_is_taken_without_its_file_is_named(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path)
    (tmp_path / "1_SpladePooling" / "config.json").unlink()
    with pytest.warns(UserWarning, match="no .*1_SpladePooling/config.json: max and relu are taken"):
        load(tmp_path)


def test_another_similarity_is_named(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path)
    _add(tmp_path / SENTENCE, similarity_fn_name="cosine")
    with pytest.warns(UserWarning, match="similarity_fn_name is 'cosine': the score here is the dot product"):
        load(tmp_path)


def test_what_we_and_others_save_gives_no_warning(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path / "ours")
    made = [tmp_path / "ours", checkpoints.pylate(tmp_path / "pylate"), checkpoints.stanford(tmp_path / "stanford")]
    sparse_encoder(tmp_path / "ours").save(str(tmp_path / "theirs"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder in (*made, tmp_path / "theirs"):
            load(folder)


def test_the_most_terms_of_a_text_are_those_of_sparse_encoder(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path / "made")
    _add(tmp_path / "made" / SENTENCE, max_active_dims=5)
    (tmp_path / "made" / "cherche.json").unlink()
    model, peer = load(tmp_path / "made"), sparse_encoder(tmp_path / "made")
    assert peer.max_active_dims == 5
    (encoding,) = model.encode(["the brain, of a cell"], "document")
    assert encoding.weights is not None
    assert len(encoding.weights) == 5
    assert_equal_weights(model, peer)
    hub.export(model, tmp_path / "exported")
    assert_equal_weights(model, sparse_encoder(tmp_path / "exported"))


@pytest.mark.parametrize("most", [0, -1, True, "5"])
def test_a_number_of_terms_that_is_none(most: object, splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path)
    _add(tmp_path / SENTENCE, max_active_dims=most)
    with pytest.raises(CheckpointError, match=f"max_active_dims is {most!r} — give a positive integer"):
        load(tmp_path)
