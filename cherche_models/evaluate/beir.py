"""Collections in the BEIR layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

Layout: Thakur et al. 2021, "BEIR: A Heterogeneous Benchmark for Zero-shot
Evaluation of Information Retrieval Models". Only `download` accesses the network.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cherche_models.evaluate import columns, formats
from cherche_models.texts import joined

Document = Mapping[str, object]
Qrels = dict[str, dict[str, int]]

BASE_URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_TREC_COLUMNS = 4
_BEIR_COLUMNS = 3
_NAMES = (  # of the columns query, document and relevance in a header
    frozenset({"query-id", "query_id", "qid", "query", "topic"}),
    frozenset({"corpus-id", "corpus_id", "doc-id", "doc_id", "docid", "docno", "document"}),
    frozenset({"score", "rel", "relevance", "label"}),
)


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

    @property
    def absent(self) -> tuple[str, ...]:
        """Judged documents that are not in the corpus: no search finds them, and every measure is lower for it."""
        judged = dict.fromkeys(document for row in self.qrels.values() for document in row)
        return tuple(document for document in judged if document not in self.documents)

    def texts(self) -> dict[str, str]:
        """Title and text of each document, joined by one space."""
        return {key: text_of(document, place) for place, (key, document) in enumerate(self.documents.items())}


def text_of(document: Document, position: int = 0) -> str:
    """Title and text of a document, joined by one space; a missing one leaves no space.

    Raises
    ------
    ItemError
        If one of them is no string, such as NaN; it names the position.

    >>> text_of({"title": "Ducks", "text": "They swim."})
    'Ducks They swim.'
    """
    return joined(document, ("title", "text"), position)


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
    corpus, queries, judgements = files(folder, split)
    qrels, texts = read_qrels(judgements), read_queries(queries)
    if missing := [key for key in qrels if key not in texts]:
        raise ValueError(f"{queries}: no text for the judged query {missing[0]!r}")
    documents = {str(document["_id"]): document for document in read_corpus(corpus)}
    return Collection(documents, {key: texts[key] for key in qrels}, qrels)


def files(folder: Path, split: str) -> tuple[Path, Path, Path]:
    """Corpus, queries and judgements of a split, whether they exist or not."""
    nested, flat = folder / "qrels" / f"{split}.tsv", folder / "qrels.tsv"
    judgements = flat if split == "test" and not nested.exists() and flat.exists() else nested
    return folder / "corpus.jsonl", folder / "queries.jsonl", judgements


def read_corpus(path: Path) -> Iterator[Document]:
    """Documents one by one, each with its ``_id``.

    Raises
    ------
    ValueError
        Naming file and line: not UTF-8, not a JSON object, no ``_id``, or a repeated ``_id``; naming the file
        where it is of another format, such as CSV.
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
    """Judgements: BEIR's three columns (with a header or without) or TREC's four, tabs or spaces.

    Tabs, encoding and compression are as in `columns.rows`. A header that names the columns, as pandas writes it,
    decides which they are, also where an index column comes first. A relevance may be written as ``1.0``.

    Raises
    ------
    ValueError
        Naming file and line: other columns, an empty id, a relevance that is no whole number, or a
        document that is judged differently a second time.
    """
    qrels: Qrels = {}
    places: tuple[int, int, int] | None = None
    for number, (where, cells) in enumerate(columns.rows(path)):
        if number == 0 and cells[-1].strip().lower() in _NAMES[2]:
            places = _places(where, [cell.strip().lower() for cell in cells])
            continue
        if places is None:
            places = (0, 2, 3) if len(cells) == _TREC_COLUMNS else (0, 1, 2)
        expected = _TREC_COLUMNS if places == (0, 2, 3) else max(places) + 1
        if len(cells) != expected:
            raise ValueError(f"{where}: expected query-id, corpus-id, score; found {len(cells)} columns")
        query, document, given = (cells[place] for place in places)
        if not query or not document:
            raise ValueError(f"{where}: the id of the {'document' if query else 'query'} is empty")
        relevance, row = _relevance(where, given), qrels.setdefault(query, {})
        if row.setdefault(document, relevance) != relevance:
            raise ValueError(f"{where}: {document!r} is judged {row[document]} and {relevance} for {query!r}")
    if not qrels:
        raise ValueError(f"{path}: the file has no judgements")
    return qrels


def _places(where: str, header: list[str]) -> tuple[int, int, int]:
    """Positions of query, document and relevance."""
    found = [next((i for i, cell in enumerate(header) if cell in names), -1) for names in _NAMES]
    if len(header) == _BEIR_COLUMNS and -1 in found:
        found = [0, 1, 2]  # columns by other names, in BEIR's order
    if -1 in found:
        raise ValueError(f"{where}: the header names {', '.join(header)}: call the columns query-id, corpus-id, score")
    return found[0], found[1], found[2]


def _relevance(where: str, given: str) -> int:
    try:
        value = math.nan if "_" in given else float(given)  # Python reads 1_0 as 10
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise ValueError(f"{where}: the score {given!r} is not a whole number")
    return int(value)


def _objects(path: Path) -> Iterator[tuple[str, Document]]:
    formats.check_lines(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line, object_pairs_hook=formats.once)
            except ValueError as error:  # JSONDecodeError or UnicodeDecodeError
                raise ValueError(f"{where}: not a line of JSON in UTF-8 ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where}: a JSON {type(row).__name__}, not an object")  # noqa: TRY004 - as above
            yield where, row


def _id(where: str, row: Document) -> str:
    key = row.get("_id")
    if not isinstance(key, str | int) or isinstance(key, bool) or key == "":
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
