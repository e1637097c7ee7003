from __future__ import annotations

import io
import json
import logging
import warnings
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


@pytest.mark.filterwarnings("always::DeprecationWarning")
def test_what_libraries_log_is_json_too() -> None:
    stream = io.StringIO()
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    logs.configure("info", stream)
    try:
        logs.capture()
        logs.capture()
        logging.getLogger("uvicorn.error").warning("Invalid %s request received.", "HTTP")
        try:
            raise OSError("gone")
        except OSError:
            logging.getLogger("asyncio").exception("lost")
        logging.getLogger("httpx").info("below the level of libraries")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    finally:
        root.handlers[:] = before
        logging.captureWarnings(False)
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["part"], first["level"], first["event"]) == ("uvicorn.error", "warning", "library")
    assert first["message"] == "Invalid HTTP request received."
    assert (second["part"], second["exception"][0]["exc_type"]) == ("asyncio", "OSError")
    assert third["part"] == "py.warnings"


def test_credentials_of_urls_are_masked_in_every_line_and_traceback() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    secret = "http://ada:hunter2@cluster:9200"
    log = logs.get("engine")
    log.info(secret, url=secret, nested={"urls": [secret]}, count=1)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("defect")
    written = stream.getvalue()
    assert "hunter2" not in written
    assert written.count("http://***@cluster:9200") >= 4
    assert json.loads(written.splitlines()[0])["count"] == 1


def test_no_text_stands_in_a_line_at_its_length() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    logs.get("models").error("model failed", model="x" * 100_000, reason={"said": ["y " * 50_000]}, count=1)
    [line] = stream.getvalue().splitlines()
    assert len(line) < 3 * logs.LONGEST
    assert len(json.loads(line)["model"]) <= logs.LONGEST
