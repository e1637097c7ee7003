"""What an address means to gRPC."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from sidecar.client import channel
from sidecar.config import Tls
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, index_pb2, model_pb2, reranker_pb2, search_pb2


def test_names_of_a_list_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    v4, v6 = socket.AF_INET, socket.AF_INET6
    known = {
        "one": [(v4, "10.0.0.1"), (v4, "10.0.0.9")],
        "two": [(v4, "10.0.0.2")],
        "six": [(v6, "::1")],
        "both": [(v6, "::1"), (v4, "127.0.0.1")],
    }

    def looked_up(host: str, port: int, **_: Any) -> Any:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(family, 1, 6, "", (found, port)) for family, found in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    assert channel.target("one:1, two:2") == "ipv4:10.0.0.1:1,10.0.0.2:2"
    assert channel.target("https://one:1,two:2") == "ipv4:10.0.0.1:1,10.0.0.2:2"
    assert channel.target("both:1,two:2") == "ipv4:127.0.0.1:1,10.0.0.2:2"
    assert channel.target("both:1,six:2") == "ipv6:[::1]:1,[::1]:2"
    assert channel.target("six:1,six:2") == "ipv6:[::1]:1,[::1]:2"
    with pytest.raises(ChercheError, match="mixes") as mixed:
        channel.target("one:1,six:2")
    assert mixed.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(ChercheError, match="'three'") as unknown:
        channel.target("one:1,three:3")
    assert unknown.value.code is Code.UNAVAILABLE
    with pytest.raises(ChercheError, match="not host:port"):
        channel.target("one:1,two")


@pytest.mark.parametrize("address", ["sidecar:50551", "dns:///sidecar:50551", "[::1]:50551"])
def test_one_address_is_left_to_grpc(address: str) -> None:
    assert channel.target(address) == address


def test_only_methods_that_there_are_and_that_read_are_repeated() -> None:
    services = {
        service.full_name: service
        for file in (encoder_pb2, index_pb2, model_pb2, reranker_pb2, search_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    }
    writes = {"SetupIndex", "RemoveIndex", "IndexDocuments", "LoadModel", "UnloadModel"}
    [config] = channel.service_config()["methodConfig"]
    json.dumps(config)
    for name in config["name"]:
        methods = services[name["service"]].methods_by_name
        repeated = {name["method"]} if "method" in name else set(methods)
        assert repeated <= set(methods)
        assert not repeated & writes


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("http://localhost:1", True),
        ("127.0.0.1:1, 127.0.0.2:2", True),
        ("dns:///localhost:1", True),
        ("unix:/run/cherche", True),
        ("https://sidecar:1", True),
        ("https://one:1,two:2", True),
        ("sidecar:1", False),
        ("http://sidecar:1", False),
        ("127.0.0.1:1,sidecar:2", False),
        ("dns:///sidecar:1", False),
        ("0.0.0.0:1", False),
        ("localhost.example.org:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_what_leaves_this_machine_in_plain_text_is_not_private(address: str, expected: bool) -> None:
    assert channel.is_private(address, None) is expected
    assert channel.is_private(address, Tls()) is expected
    assert channel.is_private(address, Tls(ca=Path("ca.pem")))
