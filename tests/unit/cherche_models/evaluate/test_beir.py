import codecs
import functools
import gzip
import http.server
import json
import threading
import zipfile

import pytest

from cherche_models.evaluate import download, read, read_corpus, read_qrels, read_queries


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "ducks"
    (place / "qrels").mkdir(parents=True)
    rows = [
        {"_id": "d1", "title": "Ducks", "text": "They swim."},
        {"_id": "d2", "title": "", "text": "Geese."},
    ]
    (place / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "queries.jsonl").write_text('{"_id": "q1", "text": "who swims"}\n\n{"_id": "q2", "text": "unjudged"}\n')
    (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n")
    return place


def test_reads_the_judged_queries_of_a_split(folder):
    collection = read(folder)
    assert collection.queries == {"q1": "who swims"}
    assert collection.qrels == {"q1": {"d1": 1, "d2": 0}}
    assert collection.texts() == {"d1": "Ducks They swim.", "d2": "Geese."}


def test_flat_qrels_are_the_test_split(folder):
    (folder / "qrels" / "test.tsv").rename(folder / "qrels.tsv")
    assert read(folder).qrels["q1"] == {"d1": 1, "d2": 0}
    with pytest.raises(FileNotFoundError, match=r"train\.tsv"):
        read(folder, "train")


def test_ids_hold_spaces_where_tabs_separate_the_columns(tmp_path):
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq 1\tthe first\t2\nq2\tb\t1\n")
    assert read_qrels(qrels) == {"q 1": {"the first": 2}, "q2": {"b": 1}}


def test_trec_columns_without_header(tmp_path):
    path = tmp_path / "qrels.txt"
    path.write_text("q1 0 d1 2\nq1 0 d2 -1\n")
    assert read_qrels(path) == {"q1": {"d1": 2, "d2": -1}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("q1\tNew York\t1\n", {"q1": {"New York": 1}}),
        ("q 1\td1\t1\n", {"q 1": {"d1": 1}}),
        ("q1\t0\tNew York\t2\n", {"q1": {"New York": 2}}),
        ("q\u00a01\td\u20281\t1\n", {"q\u00a01": {"d\u20281": 1}}),
        ("q\u00a01 0 d\u3000x 1\n", {"q\u00a01": {"d\u3000x": 1}}),
        ("q1   0  d1 1 \n", {"q1": {"d1": 1}}),
        ("q1 0 d1 1\r\nq1 0 d2 0\r\n", {"q1": {"d1": 1, "d2": 0}}),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1.0\nq1\td2\t2\n", {"q1": {"d1": 1, "d2": 2}}),
        ("\tquery-id\tcorpus-id\tscore\n0\tq1\td1\t1.0\n1\tq2\td2\t0.0\n", {"q1": {"d1": 1}, "q2": {"d2": 0}}),
        ("qid iter docno rel\nq1 0 d1 1\n", {"q1": {"d1": 1}}),
        ("a\tb\tscore\nq1\td1\t1\n", {"q1": {"d1": 1}}),
        ("q1\td1\t1\nq1\td1\t1\n", {"q1": {"d1": 1}}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gzip"])
def test_tabs_decide_and_marks_name_the_encoding(tmp_path, content, expected, encoding):
    path = tmp_path / "qrels.tsv"
    if encoding == "utf-16-le":
        path.write_bytes(codecs.BOM_UTF16_LE + content.encode(encoding))
    else:
        path.write_bytes(gzip.compress(content.encode()) if encoding == "gzip" else content.encode(encoding))
    assert read_qrels(path) == expected


def test_judged_documents_that_the_corpus_lacks_are_named(folder):
    assert read(folder).absent == ()
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\nq1\td8\t0\nq1\td9\t1\n")
    assert read(folder).absent == ("d8", "d9")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1\td1\t0.5\n", r":1: the score '0\.5' is not a whole number"),
        ("q1\td1\t1_0\n", r":1: the score '1_0' is not a whole number"),
        ("q1\td1\tnan\n", r":1: the score 'nan' is not a whole number"),
        ("q1\td1\t\n", r":1: the score '' is not a whole number"),
        ("q1\t\t1\n", ":1: the id of the document is empty"),
        ("\td1\t1\n", ":1: the id of the query is empty"),
        ("q1\td1\t1\nq1 d2 1\n", ":2: the line has no tab, the first line has tabs"),
        ("q1 0 d1 1\nq1\t0\td2\t1\n", ":2: the line has a tab, the first line has none"),
        ("q1\td1\t1\nq1\td1\t0\n", ":2: 'd1' is judged 1 and 0 for 'q1'"),
        ("q1 0 d1 1\nq1 d1 1\n", ":2: expected query-id"),
        ("a\tb\tc\tscore\nq1\t0\td1\t1\n", ":1: the header names a, b, c, score: call the columns query-id"),
        ("q1\td1\n", r":1: expected query-id"),
        ("q1\td1\t1\nq1\td2\tx\n", r":2: the score 'x'"),
        ("query-id\tcorpus-id\tscore\n", "no judgement"),
    ],
)
def test_bad_judgements_name_file_and_line(tmp_path, content, message):
    path = tmp_path / "bad.tsv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_qrels(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"q1\td\xe9\t1\n", "not text in UTF-8"), (gzip.compress(b"q1\td1\t1\n", mtime=0)[:-4], "no complete gzip file")],
)
def test_bytes_that_are_no_text_name_the_file(tmp_path, content, message):
    path = tmp_path / "qrels.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"qrels\.tsv is {message}"):
        read_qrels(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"_id": "1"}\n{broken\n', r":2: not a line of JSON"),
        (b'{"_id": "\xff"}\n', r":1: not a line of JSON in UTF-8"),
        (b"[1]\n", r":1: a JSON list"),
        (
            b'{"_id": "1", "text": "a", "text": "b"}\n',
            r":1: not a line of JSON .*key 'text' is there twice",
        ),
        (b'{"_id": true, "text": "a"}\n', r":1: no _id"),
        (b'{"text": "x"}\n', r":1: no _id"),
        (b'{"_id": "1"}\n{"_id": 1}\n', r":2: the _id '1' is repeated"),
    ],
)
def test_bad_documents_name_file_and_line(tmp_path, line, message):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(line)
    with pytest.raises(ValueError, match=message):
        list(read_corpus(path))


def test_a_query_without_text_is_named(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"_id": "7"}\n')
    with pytest.raises(ValueError, match="'7' has no text"):
        read_queries(path)


def test_a_judged_query_without_text_is_named(folder):
    (folder / "qrels" / "test.tsv").write_text("q9\td1\t1\n")
    with pytest.raises(ValueError, match="'q9'"):
        read(folder)


@pytest.fixture
def server(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    root = tmp_path / "served"
    root.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield root, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_download_unpacks_only_the_layout_and_is_reused(folder, server, tmp_path):
    root, url = server
    with zipfile.ZipFile(root / "ducks.zip", "w") as archive:
        for path in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
            archive.write(folder / path, f"ducks/{path}")
        archive.writestr("../../escaped.py", "print()")
    target = tmp_path / "cache"
    assert read(download("ducks", target, base_url=url)).queries == {"q1": "who swims"}
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [
        "corpus.jsonl",
        "queries.jsonl",
        "test.tsv",
    ]
    (root / "ducks.zip").unlink()
    assert download("ducks", target, base_url=url) == target / "ducks"


def test_a_failed_download_leaves_nothing(server, tmp_path):
    _, url = server
    target = tmp_path / "cache"
    with pytest.raises(OSError, match="404"):
        download("absent", target, base_url=url)
    assert list(target.iterdir()) == []
    with pytest.raises(ValueError, match="not a BEIR name"):
        download("../up", target, base_url=url)
