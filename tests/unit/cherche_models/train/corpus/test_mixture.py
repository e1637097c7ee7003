from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cherche_models.evaluate import read
from cherche_models.evaluate.searches import Search
from cherche_models.train import stream
from cherche_models.train.corpus import mixture
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.build import Limits
from cherche_models.train.corpus.clients import FetchError
from cherche_models.train.corpus.text import fingerprint

_WORDS = [
    a + b + c + d
    for a in ("du", "go", "sw", "pon")
    for b in ("ck", "os", "er", "an")
    for c in ("a", "en", "ish", "o")
    for d in ("", "ba", "co", "di", "fu", "ge", "hu", "ja", "ko", "li")
]
LIMITS = Limits(queries=60, documents=1000, negatives=3, held_queries=10, held_documents=30)


def _birds(archives: Mapping[str, Archive]) -> Iterator[Document]:
    chance = random.Random(1)
    for number in range(300):
        first, second = (" ".join(chance.choices(_WORDS, k=6)) for _ in range(2))
        yield Document(
            f"bird{number}", f"The {first} is in the {second}. It was seen by a {first}.", f"A {second} of {number}."
        )


def _chapters(archives: Mapping[str, Archive]) -> Iterator[Document]:
    chance = random.Random(2)
    for chapter in range(40):
        for section in range(12):
            text = " ".join(f"The {' '.join(chance.choices(_WORDS, k=9))} is at place {section}." for _ in range(8))
            yield Document(f"Chapter {chapter}: Part {section} of it", text, group=f"chapter {chapter}")


BIRDS = Source("birds", "birds", "CC0-1.0", (Package("pip", "birds", "1"),), _birds)
CHAPTERS = Source("chapters", "manuals", "MIT", (Package("apt", "chapters"),), _chapters, long="long-manuals")
GONE = Source("gone", "birds", "MIT", (Package("npm", "gone", "1"),), _birds)


def _fetch(package: Package) -> Archive:
    if package.name == "gone":
        raise FetchError(package, "no such package")
    return Archive(Path("nowhere"), package.version or "7")


def _build(out: Path, jobs: int = 1, limits: Limits = LIMITS, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    searches = (Search("a question", ("str.swapcase",)),)
    manifest = mixture.build(
        out, [BIRDS, CHAPTERS, GONE], _fetch, limits, searches, notes.append, jobs=jobs, **settings
    )
    return manifest, notes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixture")
    _build(out)
    return out


def test_the_rows_are_training_data_with_negatives(built: Path) -> None:
    examples = list(stream.lines(built / "train.jsonl"))
    assert {example.source for example in examples} == {"birds", "manuals"}
    assert all(len(example.negatives) == LIMITS.negatives for example in examples)
    assert all(example.positive not in example.negatives for example in examples)


def test_nothing_held_out_is_in_the_training_documents(built: Path) -> None:
    rows = [json.loads(line) for line in (built / "documents.jsonl").read_text().splitlines()]
    trained = {fingerprint(row["text"]) for row in rows}
    for source in (BIRDS, CHAPTERS):
        for document in source.documents({}):
            assert (fingerprint(document.body) in trained) != document.held_out()


def test_a_held_out_set_is_a_collection(built: Path) -> None:
    collection = read(built / "dev" / "birds", "dev")
    assert len(collection.queries) == LIMITS.held_queries
    assert len(collection.documents) == LIMITS.held_documents
    for query, judged in collection.qrels.items():
        (document,) = judged
        assert collection.queries[query].lower() not in collection.texts()[document].lower()


def test_a_long_set_has_whole_held_out_chapters(built: Path) -> None:
    collection = read(built / "dev" / "long-manuals", "dev")
    held_out = {document.group for document in _chapters({}) if document.held_out()}
    assert len(collection.documents) == len(held_out)
    assert all(len(text.split()) > 800 for text in collection.texts().values())


def test_the_manifest_names_packages_and_what_was_skipped(built: Path, tmp_path: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["sources"]["chapters"]["packages"] == {"chapters": {"client": "apt", "version": "7"}}
    assert manifest["sources"]["birds"]["licence"] == "CC0-1.0"
    assert manifest["skipped"] == {"gone": "npm package gone: no such package"}
    assert str(tmp_path.parent) not in json.dumps(manifest)


def test_the_same_seed_writes_the_same_files_in_any_number_of_processes(built: Path, tmp_path: Path) -> None:
    _build(tmp_path, jobs=2)
    for name in ("documents.jsonl", "train.jsonl", "manifest.json", "dev/birds/queries.jsonl"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name


def test_a_source_that_is_required_but_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="npm package gone"):
        _build(tmp_path, strict=True)
    with pytest.raises(ValueError, match="no source is left"):
        mixture.build(tmp_path, [GONE], _fetch, LIMITS, (), lambda _: None)


def test_dev_sets_are_the_same_without_training_queries(built: Path, tmp_path: Path) -> None:
    manifest, _ = _build(tmp_path, limits=replace(LIMITS, queries=0))
    assert (tmp_path / "train.jsonl").read_text() == ""
    assert not any(counts.get("queries") for counts in manifest["fields"].values())
    files = sorted(path.relative_to(built) for path in (built / "dev").rglob("*") if path.is_file())
    assert len(files) == 9
    assert [(tmp_path / path).read_bytes() for path in files] == [(built / path).read_bytes() for path in files]
