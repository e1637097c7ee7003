from __future__ import annotations

import gzip
from json import JSONDecodeError

import pytest

from sidecar.gateway.json_body import read


def test_json_is_read_with_or_without_a_mark() -> None:
    assert read(b'{"a": [1, {"a": null}], "b": "\xc3\xa9"}') == {"a": [1, {"a": None}], "b": "é"}
    assert read(b"\xef\xbb\xbf[1.5]") == [1.5]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"input": ["a"], "input": ["b"]}', "the key 'input' is there twice"),
        (b'{"documents": [{"text": "a", "text": "b"}]}', "the key 'text' is there twice"),
        (b'{"top_n": NaN}', "NaN is no JSON number"),
        (b'{"top_n": -Infinity}', "-Infinity is no JSON number"),
        (b'{"top_n": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 100_000, "recursion"),
        ('{"input": ["é"]}'.encode("latin-1"), "byte 12 is not UTF-8"),
        (gzip.compress(b"{}", mtime=0), "it is compressed by gzip and does not say so in content-encoding"),
        (b'{"a": 1,}', "double quotes"),
        (b"{}{}", "Extra data"),
    ],
)
def test_what_one_reader_drops_and_another_keeps_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(JSONDecodeError, match=said):
        read(body)
