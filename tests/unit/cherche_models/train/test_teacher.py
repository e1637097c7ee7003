"""A teacher scores as the library that saved it does, or says that it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

from cherche_models.errors import CheckpointError
from cherche_models.train import Teacher
from cherche_models.train.teacher import Ensemble
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import EXAMPLES

QUERIES, DOCUMENTS = ["neural search", "the heart"], ["the brain of the cell", "a heart", "token weight in the index"]
PROMPTS = {"query": "query ", "document": ""}


def saved(folder: Path, *modules: object) -> SentenceTransformer:
    body = Transformer(str(checkpoints.encoder(folder / "encoder", seed=3)))
    peer = SentenceTransformer(modules=[body, *modules], device="cpu", prompts=PROMPTS)
    peer.save(str(folder / "saved"))
    return peer


def legacy(folder: Path) -> None:
    """Write the pooling's settings as releases before 6 did."""
    path = folder / "saved" / "1_Pooling" / "config.json"
    mode = json.loads(path.read_text())["pooling_mode"]
    flags = {f"pooling_mode_{name}": name.startswith(mode) for name in ("cls_token", "mean_tokens", "max_tokens")}
    path.write_text(json.dumps({"word_embedding_dimension": checkpoints.HIDDEN, **flags}))


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("old", [False, True])
def test_cosines_are_those_of_sentence_transformers(mode: str, old: bool, tmp_path: Path) -> None:
    peer = saved(tmp_path, Pooling(checkpoints.HIDDEN, mode), Normalize())
    if old:
        legacy(tmp_path)
    found = Teacher(tmp_path / "saved", temperature=0.5, max_length=32).scores(QUERIES, DOCUMENTS)
    expected = peer.similarity(peer.encode_query(QUERIES), peer.encode_document(DOCUMENTS)) / 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3)  # vectors are kept in half precision
    other = {"mean": "cls", "cls": "mean"}[mode]
    different = SentenceTransformer(modules=[peer[0], Pooling(checkpoints.HIDDEN, other)], device="cpu")
    assert not torch.allclose(
        expected * 0.5, different.similarity(different.encode(QUERIES), different.encode(DOCUMENTS)), atol=5e-3
    )


def test_a_folder_that_holds_its_transformer_deeper_down(tmp_path: Path) -> None:
    peer = saved(tmp_path, Pooling(checkpoints.HIDDEN, "cls"))
    folder = tmp_path / "saved"
    (folder / "0_Transformer").mkdir()
    for path in [*folder.glob("*.safetensors"), folder / "config.json", *folder.glob("tokenizer*")]:
        path.rename(folder / "0_Transformer" / path.name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(listed))
    found = Teacher(folder, temperature=1.0, max_length=32).scores(QUERIES, DOCUMENTS)
    expected = peer.similarity(peer.encode_query(QUERIES), peer.encode_document(DOCUMENTS))
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-3)


def test_what_would_be_scored_otherwise_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "max", Pooling(checkpoints.HIDDEN, "max"))
    with pytest.raises(CheckpointError, match="pools by max"):
        Teacher(tmp_path / "max" / "saved")
    saved(tmp_path / "dense", Pooling(checkpoints.HIDDEN, "mean"), Dense(checkpoints.HIDDEN, 8))
    with pytest.raises(CheckpointError, match="ends in the module Dense"):
        Teacher(tmp_path / "dense" / "saved")


def test_a_teacher_forgets_what_came_first_and_scores_the_same(tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path / "teacher", seed=7)
    all_known, few = Teacher(folder, max_length=16), Teacher(folder, max_length=16, held=3)
    for step in range(6):
        batch = [EXAMPLES[(3 * step + i) % len(EXAMPLES)] for i in range(3)]
        texts = [e.query for e in batch], [e.positive for e in batch]
        torch.testing.assert_close(few.scores(*texts), all_known.scores(*texts))
        assert len(few._known) == 3
    assert len(all_known._known) > 3


def test_vectors_on_disk_score_as_those_in_memory(tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path / "teacher", seed=7)
    plain, stored = Teacher(folder, max_length=16), Teacher(folder, max_length=16, vectors=tmp_path / "vectors")
    assert torch.equal(stored.scores(QUERIES, DOCUMENTS), plain.scores(QUERIES, DOCUMENTS))
    again = Teacher(folder, max_length=16, vectors=tmp_path / "vectors")
    again._backbone = None  # nothing is encoded again
    assert torch.equal(again.scores(QUERIES, DOCUMENTS), plain.scores(QUERIES, DOCUMENTS))


def test_vectors_on_disk_belong_to_one_encoder_and_length(tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path / "teacher", seed=7)
    Teacher(folder, max_length=16, vectors=tmp_path / "vectors").learn(["a text"])
    for other, length in ((folder, 24), (checkpoints.encoder(tmp_path / "other", seed=8), 16)):
        with pytest.raises(ValueError, match="holds vectors of another encoder or length — remove it"):
            Teacher(other, max_length=length, vectors=tmp_path / "vectors")


def test_an_ensemble_is_the_mean_of_its_teachers_logits(tmp_path: Path) -> None:
    some = [
        Teacher(checkpoints.encoder(tmp_path / str(seed), seed=seed), temperature=temperature, max_length=16)
        for seed, temperature in ((7, 0.1), (8, 0.5))
    ]
    expected = sum(teacher.scores(QUERIES, DOCUMENTS) for teacher in some) / 2
    torch.testing.assert_close(Ensemble(some).scores(QUERIES, DOCUMENTS), expected)
