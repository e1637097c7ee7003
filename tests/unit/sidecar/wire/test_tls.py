from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import Tls
from sidecar.errors import ChercheError, Code
from sidecar.wire.tls import channel_credentials, server_credentials


@pytest.mark.parametrize("given", [{"cert": Path("c")}, {"key": Path("k")}])
def test_a_server_needs_a_certificate_and_its_key(given: dict[str, Path]) -> None:
    with pytest.raises(ChercheError, match="TLS needs both a certificate and its key") as refused:
        server_credentials(Tls(**given))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent, there = tmp_path / "absent.pem", tmp_path / "there.pem"
    there.write_bytes(b"certificate")
    for tls in (Tls(cert=absent, key=there), Tls(cert=there, key=absent), Tls(cert=there, key=there, client_ca=absent)):
        with pytest.raises(ChercheError, match=r"absent\.pem cannot be read: No such file"):
            server_credentials(tls)
    for tls in (Tls(ca=absent), Tls(cert=there, key=absent)):
        with pytest.raises(ChercheError, match=r"absent\.pem cannot be read: No such file"):
            channel_credentials(tls)


def test_a_client_sends_a_certificate_only_with_its_key(tmp_path: Path) -> None:
    channel_credentials(None)
    channel_credentials(Tls(cert=tmp_path / "never-read.pem"))
