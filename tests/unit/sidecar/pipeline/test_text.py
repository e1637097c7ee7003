import json

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.text import content_hash, field_texts, has_text, parse, same_json
from sidecar.values.documents import SourceDocument
from sidecar.values.index import Fingerprint, TextField

TITLE, TEXT = TextField("title"), TextField("text")
PRINT = Fingerprint("s", "c")


def refused(document: SourceDocument, limit: int = 1 << 20) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        parse(document, limit)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.next_step
    return caught.value


def test_a_document_keeps_its_own_fields() -> None:
    assert parse(SourceDocument("1", b'{"title": "a", "year": 1990, "tags": ["x"]}'), 1 << 20) == {
        "title": "a",
        "year": 1990,
        "tags": ["x"],
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "is not JSON"),
        (b'{"text": "a", "text": "b"}', "is not JSON: the key 'text' is there twice"),
        (b"", "is not JSON"),
        (b"[1]", "is a JSON list"),
        (b'"text"', "is a JSON str"),
        (b"null", "is a JSON NoneType"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "is not JSON"),
        (b'{"title": "\xff"}', "is not UTF-8 at byte 11"),
        (b'{"title": "\\ud800"}', "lone surrogate"),
        (b'{"\\udfff": 1}', "lone surrogate"),
        (b'{"cherche_weights": {}}', "reserved field 'cherche_weights'"),
        (b'{"_id": "2"}', "another _id"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a":' + b"[" * 900 + b"]" * 900 + b"}" + b"]", "is not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not JSON"),
    ],
)
def test_a_bad_document_is_named_with_its_reason(raw: bytes, reason: str) -> None:
    error = refused(SourceDocument("d1", raw))
    assert "'d1'" in error.reason
    assert reason in error.reason


def test_a_document_is_measured_before_it_is_read() -> None:
    error = refused(SourceDocument("d1", b"x" * 11), limit=10)
    assert "has 11 bytes, the limit is 10" in error.reason
    assert "CHERCHE_LIMITS__DOCUMENT_BYTES" in error.next_step


@pytest.mark.parametrize(
    ("id", "reason"),
    [("", "no id"), ("\ud800", "lone surrogate"), ("é" * 257, "longer than 512 bytes")],
)
def test_an_id_that_no_engine_takes_is_refused(id: str, reason: str) -> None:
    assert reason in refused(SourceDocument(id, b"{}")).reason


def test_an_id_of_512_bytes_and_control_characters_is_taken() -> None:
    assert parse(SourceDocument("é" * 256, b"{}"), 10) == {}
    assert parse(SourceDocument("a\x00\n", b'{"t": "\\u0000"}'), 100) == {"t": "\x00"}


def test_the_documents_own_id_is_no_field() -> None:
    assert parse(SourceDocument("1", b'{"_id": "1", "id": "1"}'), 100) == {"id": "1"}


def test_texts_of_absent_empty_and_listed_fields() -> None:
    assert field_texts("d", {"text": ["a", "b"]}, [TITLE, TEXT]) == ["", "a b"]
    assert field_texts("d", {"title": None, "text": "b"}, [TITLE, TEXT]) == ["", "b"]


@pytest.mark.parametrize("source", [{}, {"title": "", "text": " \n"}, {"title": []}, {"text": [None]}])
def test_a_document_without_text_has_none(source: dict[str, object]) -> None:
    assert not has_text(field_texts("document 'd'", source, [TITLE, TEXT]))


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (["a", None, 1.5], "a 1.5"), (True, "true"), ([["a"]], "a")])
def test_values_are_the_text_that_an_engine_holds(value: object, text: str) -> None:
    assert field_texts("d", {"title": value}, [TITLE, TEXT]) == [text, ""]


@pytest.mark.parametrize("value", [{"a": "b"}, [{"a": "b"}]])
def test_an_object_is_no_text(value: object) -> None:
    with pytest.raises(ChercheError, match="document 'd': field 'text' holds an object"):
        field_texts("document 'd'", {"title": "a", "text": value}, [TITLE, TEXT])


def test_equal_hashes_mean_equal_encoding() -> None:
    base = content_hash(["a", "b"], [TITLE, TEXT], PRINT)
    assert content_hash(["a b", ""], [TITLE, TEXT], PRINT) == base  # the same text is encoded
    assert content_hash(["b", "a"], [TITLE, TEXT], PRINT) != base
    assert content_hash(["a", "b"], [TITLE, TEXT], Fingerprint("s", "")) != base
    assert content_hash(["a", "b"], [TITLE, TEXT], Fingerprint("t", "c")) != base
    shared = [TextField("title", 0.5), TEXT]
    assert content_hash(["a", "b"], shared, PRINT) != content_hash(["a b", ""], shared, PRINT)
    assert content_hash(["a", "b"], shared, PRINT) != content_hash(["a", "b"], [TextField("title", 0.4), TEXT], PRINT)


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), (None, False)])
def test_values_that_python_takes_for_equal_are_a_change(one: object, other: object) -> None:
    assert not same_json({"a": one}, {"a": other})
    assert same_json({"a": one, "b": [other]}, json.loads(json.dumps({"b": [other], "a": one})))
