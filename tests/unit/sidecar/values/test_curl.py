from __future__ import annotations

import json
import shlex

import pytest

from sidecar.errors import ChercheError
from sidecar.values.curl import curl_command


def test_a_curl_command_quotes_the_body_and_leaves_the_cluster_to_a_variable() -> None:
    request = {"method": "POST", "path": "/a/_search", "body": {"query": {"match": {"t": "it's"}}}}
    command = curl_command("", request)
    assert command.startswith('curl -X POST "$OPENSEARCH_URL/a/_search" -H ')
    assert json.loads(shlex.split(command)[-1]) == request["body"]


def test_a_request_that_is_no_http_has_no_command() -> None:
    with pytest.raises(ChercheError, match="no HTTP request"):
        curl_command("", {"method": "SQL", "path": "articles", "body": {}})
