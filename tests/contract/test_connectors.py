"""The JSON under opensearch/connectors is what print-connector prints; its README names the paths and the defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche
from sidecar.config import Limits
from sidecar.gateway.connectors import EXAMPLE, Connector
from sidecar.gateway.dialects import CONNECTORS, DIALECTS
from sidecar.gateway.generate import README, files, readme
from sidecar.gateway.state import STATES

FOLDER = Path(__file__).parents[2] / "opensearch" / "connectors"


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cherche, ["print-connector", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_connectors_are_fresh() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == files()


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("opensearch", "--sparse"), "opensearch-3.5-sparse.json"),
        (("opensearch", "--sparse", "--release", "3.7.0"), "opensearch-3.5-sparse.json"),
        (("opensearch", "--sparse", "--release", "3.4"), "opensearch-sparse.json"),
        (("opensearch", "--rerank"), "opensearch-rerank.json"),
        (("elasticsearch", "--sparse"), "elasticsearch-sparse.json"),
        (("elasticsearch", "--rerank"), "elasticsearch-rerank.json"),
        (("elasticsearch", "--sparse", "--service", "hugging_face"), "elasticsearch-hugging-face-sparse.json"),
        (("elasticsearch", "--rerank", "--service", "hugging_face"), "elasticsearch-hugging-face-rerank.json"),
    ],
)
def test_the_files_are_what_the_verb_prints(arguments: tuple[str, ...], file: str) -> None:
    assert json.loads(printed(*arguments, "--json")) == json.loads((FOLDER / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.file)
def test_the_trusted_pattern_matches_every_address_that_is_called(connector: Connector) -> None:
    requests = connector.requests(EXAMPLE, "splade")
    text = json.dumps([request.body for request in requests])
    urls = re.findall(rf"{re.escape(EXAMPLE)}[^\"]*", text)
    assert urls
    assert {urlsplit(url).path for url in urls} <= {dialect.path for dialect in DIALECTS}
    [*patterns] = re.findall(r"\"(\^[^\"]*)\"", text)
    for pattern in patterns:
        assert all(re.fullmatch(json.loads(f'"{pattern}"'), url) for url in urls)
        assert not re.fullmatch(json.loads(f'"{pattern}"'), f"https://evil.example/{EXAMPLE}")
        assert not re.fullmatch(json.loads(f'"{pattern}"'), EXAMPLE.replace(".", "x") + "/a"), "dots are escaped"


def test_the_readme_names_the_defaults() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|", text.partition("## Limits")[2], re.MULTILINE))
    limits = Limits()
    assert rows["a request, an answer"] == f"{limits.request_bytes >> 20} MiB"
    assert rows["a text"] == f"{limits.document_bytes >> 20} MiB"
    assert rows["texts of a request"] == f"{limits.items:,}"
    assert rows["a query to rerank for"] == f"{limits.query_characters:,} characters"
    assert rows["texts waiting for the model"] == f"{limits.queue_items:,}"
    assert rows["a request's time"] == f"{limits.deadline:g} s"


def test_the_readme_names_every_path_as_it_is_served() -> None:
    text = (FOLDER / README).read_text(encoding="utf-8")
    assert text == readme(text), "run: python -m sidecar.gateway.generate opensearch/connectors"
    listed, _, tables = text.partition("<!-- fields: generated -->")
    named = re.findall(r"^\| `([A-Z]+ /[^`]*)`", listed, re.MULTILINE)
    assert sorted(named) == sorted(
        [*(f"POST {dialect.path}" for dialect in DIALECTS), *(f"GET {one.path}" for one in STATES), "GET /openapi.json"]
    )
    keys = re.findall(r"^\| `POST (/[^`]*)`", tables, re.MULTILINE)
    assert keys == [dialect.path for dialect in DIALECTS if dialect.table]


@pytest.mark.parametrize("product", ["opensearch", "elasticsearch"])
def test_what_is_printed_says_what_it_was_tried_on(product: str) -> None:
    assert printed(product).startswith("# Tried on ")
    assert all(request["verified"] for request in json.loads(printed(product, "--json")))
