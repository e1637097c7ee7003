"""An engine's request as a command for a shell."""

from __future__ import annotations

import json
import shlex

from sidecar.errors import invalid, masked_address
from sidecar.values.documents import Json


def curl_command(url: str, request: Json) -> str:
    """The engine's request for a shell; credentials are the reader's to add.

    >>> curl_command("http://localhost:9200", {"method": "GET", "path": "/a/_count", "body": None})
    'curl -X GET http://localhost:9200/a/_count'
    """
    if not str(request.get("path", "")).startswith("/"):
        raise invalid("the embedded engine has no HTTP request to show", "use --engine opensearch")
    target = masked_address(url).rstrip("/") or "$OPENSEARCH_URL"
    command = f"curl -X {request['method']} " + (
        f'"{target}{request["path"]}"' if target.startswith("$") else shlex.quote(target + request["path"])
    )
    if request.get("body") is None:
        return command
    body = json.dumps(request["body"], ensure_ascii=False)
    return f"{command} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
