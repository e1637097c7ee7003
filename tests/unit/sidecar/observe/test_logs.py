from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from sidecar.observe import logs


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_log_lines_are_json_and_below_the_level_there_are_none() -> None:
    stream = io.StringIO()
    logs.configure("warning", stream)
    log = logs.get("rpc")
    log.info("call", method="M")
    log.warning("slow", method="M", text="é")
    [line] = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["part"], said["text"]) == ("slow", "warning", "rpc", "é")
    assert said["time"].endswith("Z")


def test_a_defect_is_logged_with_its_traceback_on_one_line_and_no_local_variables() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    secret = "a document of " + "somebody"
    try:
        assert secret
        raise RuntimeError("boom")
    except RuntimeError:
        logs.get("rpc").exception("defect")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "RuntimeError"
    assert secret not in line
