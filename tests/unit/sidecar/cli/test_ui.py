"""The page's own sidecar: reached from this machine alone, with a token that the address carries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from sidecar.cli.ui import local_settings, page_address
from sidecar.config import Gateway, Settings, shipped_model


def test_only_this_machine_reaches_it_whatever_the_settings_say() -> None:
    open_to_all = Settings(
        host="0.0.0.0", insecure=True, gateway=Gateway(host="0.0.0.0", port=9, hosts=("search.example",))
    )
    private = local_settings(open_to_all, 0, "s3cret")
    assert (private.host, private.gateway.host, private.gateway.port, private.gateway.hosts) == (
        "127.0.0.1",
        "127.0.0.1",
        0,
        (),
    )
    assert private.secret("token") == "s3cret"
    assert private.metrics.port == -1


def test_a_token_of_the_settings_stays() -> None:
    kept = local_settings(Settings(token=SecretStr("own")), 8080, "own")
    assert (kept.secret("token"), kept.gateway.port) == ("own", 8080)


def test_the_address_says_what_to_ask_and_nothing_of_it_reaches_a_server() -> None:
    address = urlsplit(page_address("http://127.0.0.1:1", "a&b", "docs", "C++ & more"))
    assert (address.path, address.query) == ("/", "")
    assert parse_qs(address.fragment) == {"index": ["docs"], "q": ["C++ & more"], "token": ["a&b"]}
    assert page_address("http://h", "t", "", "") == "http://h/#token=t"


@pytest.mark.timeout(600)
def test_it_serves_the_page_until_it_is_told_to_stop(tmp_path: Path) -> None:
    tiny = str(Path(shipped_model()).with_name("cherche-tiny"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")} | {
        "CHERCHE_EMBEDDED__PATH": str(tmp_path / "index.sqlite"),
        "CHERCHE_MODELS": json.dumps({"tiny": tiny}),
    }
    command = [sys.executable, "-m", "sidecar.cli", "ui", "--no-open", "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        page = urlsplit(line.strip())
        with urllib.request.urlopen(f"http://{page.netloc}/", timeout=60) as answer:
            assert b"<title>cherche</title>" in answer.read()
        asked = urllib.request.Request(f"http://{page.netloc}/page/api/indices")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        assert refused.value.code == 401
        refused.value.close()
        asked.add_header("authorization", f"Bearer {parse_qs(page.fragment)['token'][0]}")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["indices"] == []
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
