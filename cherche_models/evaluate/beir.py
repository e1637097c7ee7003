"""Collections in the BEIR layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

Layout: Thakur et al. 2021, "BEIR: A Heterogeneous Benchmark for Zero-shot
Evaluation of Information Retrieval Models". Only `download` accesses the network.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Document = Mapping[str, object]
Qrels = dict[str, dict[str, int]]

BASE_URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_TREC_COLUMNS = 4
_BEIR_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, queries and relevance judgements.

    Attributes
    ----------
    documents : dict of id → document
        As in the file; the fields ``title`` and ``text`` are searched.
    queries : dict of id → text
        The judged queries of the split, in the order of the qrels.
    qrels : dict of query id → {document id → relevance}
    """

    documents: dict[str, Document]
    queries: dict[str, str]
    qrels: Qrels

    def texts(self) -> dict[str, str]:
        """Title and text of each document, joined by one space."""
        return {key: text_of(document) for key, document in self.documents.items()}


def text_of(document: Document) -> str:
    """Title and text of a document, joined by one space; a missing one leaves no space.

    >>> text_of({"title": "Ducks", "text": "They swim."})
    'Ducks They swim.'
    """
    return " ".join(str(document[field]) for field in ("title", "text") if document.get(field))


def read(folder: Path, split: str = "test") -> Collection:
    """Read one split of a folder.

    Parameters
    ----------
    folder : Path
        Contains ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, or ``qrels.tsv`` for "test".
    split : str

    Raises
    ------
    FileNotFoundError
        Naming the missing file.
    ValueError
        Naming the file and line that cannot be read, or a judged query without text.
    """
    nested, flat = folder / "qrels" / f"{split}.tsv", folder / "qrels.tsv"
    qrels = read_qrels(flat if split == "test" and not nested.exists() and flat.exists() else nested)
    texts = read_queries(folder / "queries.jsonl")
    if missing := [key for key in qrels if key not in texts]:
        raise ValueError(f"{folder / 'queries.jsonl'}: no text for the judged query {missing[0]!r}")
    documents = {str(document["_id"]): document for document in read_corpus(folder / "corpus.jsonl")}
    return Collection(documents, {key: texts[key] for key in qrels}, qrels)


def read_corpus(path: Path) -> Iterator[Document]:
    """Documents one by one, each with its ``_id``.

    Raises
    ------
    ValueError
        Naming file and line: not UTF-8, not a JSON object, no ``_id``, or a repeated ``_id``.
    """
    seen: set[str] = set()
    for where, document in _objects(path):
        key = _id(where, document)
        if key in seen:
            raise ValueError(f"{where}: the _id {key!r} is repeated")
        seen.add(key)
        yield document


def read_queries(path: Path) -> dict[str, str]:
    """Query texts by id, in file order; raises as `read_corpus` does."""
    queries: dict[str, str] = {}
    for where, row in _objects(path):
        key, text = _id(where, row), row.get("text")
        if not isinstance(text, str):
            raise ValueError(f"{where}: the query {key!r} has no text")  # noqa: TRY004 - the file is wrong, not a type
        if key in queries:
            raise ValueError(f"{where}: the _id {key!r} is repeated")
        queries[key] = text
    return queries


def read_qrels(path: Path) -> Qrels:
    """Judgements: BEIR's three columns (with a header or without) or TREC's four.

    Ids may hold spaces where tabs separate three columns.

    Raises
    ------
    ValueError
        Naming file and line of a row with other columns or a relevance that is not an integer.
    """
    qrels: Qrels = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            tabbed = [cell.strip() for cell in line.split("\t")]
            cells = tabbed if len(tabbed) == _BEIR_COLUMNS else line.split()
            if not cells or (number == 1 and cells[-1] in ("score", "rel", "relevance")):
                continue
            query, document, relevance = _judgement(f"{path}:{number}", cells)
            qrels.setdefault(query, {})[document] = relevance
    if not qrels:
        raise ValueError(f"{path}: the file has no judgements")
    return qrels


def _judgement(where: str, cells: list[str]) -> tuple[str, str, int]:
    if len(cells) == _TREC_COLUMNS:
        cells = [cells[0], cells[2], cells[3]]
    if len(cells) != _BEIR_COLUMNS:
        raise ValueError(f"{where}: expected query-id, corpus-id, score; found {len(cells)} columns")
    try:
        return cells[0], cells[1], int(cells[2])
    except ValueError as error:
        raise ValueError(f"{where}: the score {cells[2]!r} is not an integer") from error


def _objects(path: Path) -> Iterator[tuple[str, Document]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:  # JSONDecodeError or UnicodeDecodeError
                raise ValueError(f"{where}: not a line of JSON in UTF-8 ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where}: a JSON {type(row).__name__}, not an object")  # noqa: TRY004 - as above
            yield where, row


def _id(where: str, row: Document) -> str:
    key = row.get("_id")
    if not isinstance(key, str | int) or key == "":
        raise ValueError(f"{where}: no _id")
    return str(key)


def download(name: str, target: Path, *, base_url: str = BASE_URL) -> Path:
    """Download a collection by its BEIR name and return its folder ``target/name``.

    An existing folder is returned as it is. The archive is unpacked to a temporary
    folder and moved in one step, so an interrupted call leaves nothing behind.

    Parameters
    ----------
    name : str
        BEIR's name: "scifact", "nfcorpus", "fiqa", …
    target : Path
    base_url : str
        Location of ``name.zip``.

    Raises
    ------
    ValueError
        If the name is not a BEIR name, or the archive has no corpus.
    OSError
        If the archive cannot be downloaded.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a BEIR name: use lower-case letters, digits and hyphens")
    folder = target / name
    if folder.is_dir():
        return folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        archive = Path(scratch) / "archive.zip"
        with (
            urllib.request.urlopen(f"{base_url}/{name}.zip", timeout=60) as response,
            archive.open("wb") as out,
        ):
            shutil.copyfileobj(response, out)
        _unpack(archive, Path(scratch) / "unpacked")
        (Path(scratch) / "unpacked").rename(folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the files of the layout to fixed paths, so that no path of the archive escapes the folder."""
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            path = PurePosixPath(name)
            if path.name in ("corpus.jsonl", "queries.jsonl"):
                place = folder / path.name
            elif path.parent.name == "qrels" and path.suffix == ".tsv":
                place = folder / "qrels" / path.name
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with members.open(name) as source, place.open("wb") as out:
                shutil.copyfileobj(source, out)
    if not (folder / "corpus.jsonl").exists():
        raise ValueError(f"{archive.name}: no corpus.jsonl in the archive")
