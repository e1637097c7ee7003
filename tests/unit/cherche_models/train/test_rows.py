"""The format of a row of training data: what is invalid is named."""

from __future__ import annotations

import pytest

from cherche_models.errors import DataError
from cherche_models.train import data, rows

BAD = {
    "{": "not JSON",
    '{"query": "q", "query": "r", "positive": "p"}': "the key 'query' is there twice",
    "[]": "a JSON list, not an object",
    "null": "a JSON null, not an object",
    '{"query": "q"}': '"positive" has no text',
    '{"query": " ", "positive": "p"}': '"query" is empty',
    '{"query": "q", "positive": "p", "negatives": 3}': '"negatives" is a number',
    '{"query": "q", "positive": "p", "negatives": ["n", null]}': 'number 2 of "negatives" has no text',
    '{"query": "q", "positive": "p", "negative": ""}': '"negative" is empty',
    '{"query": "q", "positive": "p\\ud800"}': "contains a lone surrogate",
    '{"query": "q", "positive": "p", "negative": "n", "scores": [1]}': "1 scores for 1 positive and 1 negatives",
    '{"query": "q", "positive": "p", "scores": [NaN]}': '"scores" is not a list of finite numbers',
}


@pytest.mark.parametrize("line", BAD)
def test_bad_examples_name_file_line_field_and_what_mends_them(tmp_path, line):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"query": "q", "positive": "p"}\n\n' + line + "\n")
    with pytest.raises(DataError) as caught:
        list(data.read(path))
    assert caught.value.where == f"{path}:3"
    assert BAD[line] in caught.value.reason
    assert caught.value.next_step


def test_all_ways_to_write_negatives_are_read_in_order() -> None:
    row = {"anchor": "q", "positive": "p", "negatives": ["d"], "negative_2": "c", "negative_1": "b", "negative": "a"}
    assert rows.example(row, "here").negatives == ("a", "b", "c", "d")
    assert rows.ignored({**row, "negative_x": "n", "id": 1}) == {"negative_x", "id"}
