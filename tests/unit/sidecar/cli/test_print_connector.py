"""Requests that configure a cluster, as the verb prints them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cherche, ["print-connector", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_both_tasks_are_printed_without_a_choice_and_nothing_twice() -> None:
    requests = json.loads(printed("opensearch", "--json"))
    parts = [json.loads(printed("opensearch", task, "--json")) for task in ("--sparse", "--rerank")]
    assert {json.dumps(one) for one in requests} == {json.dumps(one) for part in parts for one in part}
    assert len({json.dumps(one) for one in requests}) == len(requests)


def test_the_text_can_be_pasted() -> None:
    text = printed("opensearch", "--sparse")
    head, *rest = text.strip().split("\n\n")
    assert head.startswith("# Tried on OpenSearch 3.5.0 with ml-commons and neural-search 3.5.0.0")
    blocks = [block.split("\n", 2) for block in rest]
    assert [block[1].split()[0] for block in blocks] == ["PUT", "PUT", "PUT", "POST", "POST", "PUT"]
    for note, _, body in blocks:
        assert note.startswith("# ")
        assert json.loads(body)


@pytest.mark.parametrize(
    "arguments",
    [
        ("opensearch", "--gateway", "sidecar:50552"),
        ("opensearch", "--gateway", 'https://a"b'),
        ("opensearch", "--gateway", "https://a?b=c"),
        ("opensearch", "--model", "a b"),
        ("opensearch", "--model", '"'),
        ("opensearch", "--service", "hugging_face"),
        ("opensearch", "--release", "three"),
        ("solr",),
    ],
)
def test_what_would_not_pass_through_a_template_is_refused(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cherche, ["print-connector", *arguments])
    assert done.exit_code == 2
    assert not done.stdout


def test_the_release_decides_how_queries_are_told_from_passages() -> None:
    bodies = {release: printed("opensearch", "--sparse", "--release", release) for release in ("3.4", "3.5", "10.0")}
    assert ['"is_asymmetric": true' in text for text in bodies.values()] == [False, True, True]
    assert bodies["3.4"].count("/models/_register") == 2
