"""A sentence encoder is a ColBERT without training: its own hidden states, normalised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, load

SENTENCE = "neural search, of the brain."


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_its_token_embeddings_are_those_that_transformers_computes(inside: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = checkpoints.sentence_encoder(tmp_path, inside)
    model = load(folder)
    assert isinstance(model, ColBERT)
    assert model.dim == checkpoints.HIDDEN
    assert (
        model.note == "a sentence encoder: its token embeddings of 32 dimensions are used as a ColBERT without training"
    )
    words = AutoTokenizer.from_pretrained(folder / inside)
    inputs = words([SENTENCE], return_tensors="pt")
    with torch.inference_mode():
        theirs = AutoModel.from_pretrained(folder / inside)(**inputs).last_hidden_state[0]
    theirs = torch.nn.functional.normalize(theirs, dim=-1).numpy()
    (query,), (document,) = model.encode([SENTENCE], "query"), model.encode([SENTENCE], "document")
    np.testing.assert_allclose(query.embeddings.vectors, theirs, atol=1e-5)
    kept = [i for i, token in enumerate(words.convert_ids_to_tokens(inputs["input_ids"][0])) if token not in ",."]
    np.testing.assert_allclose(document.embeddings.vectors, theirs[kept], atol=1e-5)


def test_a_bare_encoder_is_one_too_and_says_that_it_has_no_head(tmp_path: Path) -> None:
    model = load(checkpoints.encoder(tmp_path / "made"))
    assert isinstance(model, ColBERT)
    assert model.note.startswith("an encoder without a head: its token embeddings of 32 dimensions")
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_prompts_and_lengths_are_the_encoders_own(tmp_path: Path) -> None:
    folder = checkpoints.sentence_encoder(tmp_path)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    prompts = {"query": "query ", "passage": "document "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    formats = load(folder).formats
    assert [(formats[kind].prompt, formats[kind].max_length) for kind in ("query", "document")] == [
        ("query ", 20),
        ("document ", 20),
    ]
    assert not formats["query"].expand


def test_a_new_head_is_random_and_of_the_width_asked_for(tmp_path: Path) -> None:
    folder = checkpoints.sentence_encoder(tmp_path / "sentences")
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=8)
    assert isinstance(model, ColBERT)
    assert (model.dim, model.note) == (8, "")
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_it_has_no_head_for_term_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="use a masked-LM checkpoint for term weights"):
        hub.load(checkpoints.sentence_encoder(tmp_path), device="cpu", architecture="splade")
