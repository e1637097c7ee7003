"""Callers without the token, with a wrong one, or behind a certificate that is not to be trusted."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from sidecar.client.client import Client
from sidecar.config import Tls
from sidecar.errors import ChercheError, Code
from sidecar.values.index import IndexOptions
from tests.benchmarks.faults.row import INDEX, Row
from tests.benchmarks.process import Process


async def tokens(folder: Path) -> list[Row]:
    """The command line without a token, and with a wrong one."""
    process = Process(folder, CHERCHE_TOKEN="right")
    await process.start()
    rows = []
    try:
        for fault, token in (("no token", ""), ("a wrong token", "wrong")):
            done = await asyncio.to_thread(lambda t=token: process.cli("setup", INDEX, CHERCHE_TOKEN=t))
            row = Row(fault, exit_code=done.returncode)
            row.errors.append(json.loads(done.stderr.splitlines()[-1])["error"]["code"])
            # Asked with the right token, the index must not be there.
            asked = await asyncio.to_thread(lambda: process.cli("doctor", INDEX, CHERCHE_TOKEN="right"))
            row.after = "SET UP" if '"ok": true' in asked.stdout else "nothing was set up"
            rows.append(row)
    finally:
        process.kill()
    return rows


class Authority:
    """One that signs certificates, by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.certificate, self._key = folder, folder / f"{name}.pem", folder / f"{name}.key"
        _openssl("req", "-x509", *_FRESH, "-days", "2", "-subj", f"/CN={name}", *_out(self._key, self.certificate))

    def signed(self, name: str, days: int = 2) -> tuple[Path, Path]:
        """A certificate for this machine, and its key; negative days for one that has expired."""
        key, request, found, extra = (self._folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        extra.write_text("subjectAltName=IP:127.0.0.1\n")
        _openssl("req", *_FRESH, "-subj", f"/CN={name}", *_out(key, request))
        signer = ("-CA", str(self.certificate), "-CAkey", str(self._key))
        whose = ("-in", str(request), "-out", str(found), "-extfile", str(extra))
        _openssl("x509", "-req", *signer, *whose, "-days", str(days))
        return found, key


_FRESH = ("-newkey", "rsa:2048", "-nodes")


def _out(key: Path, certificate: Path) -> tuple[str, ...]:
    return "-keyout", str(key), "-out", str(certificate)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


async def handshakes(folder: Path) -> list[Row]:
    """Clients that the sidecar must not let in, and a sidecar that clients must not trust."""
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    (cert, key), (old_cert, old_key) = ours.signed("server"), ours.signed("old-server", -1)
    good, foreign, expired = ours.signed("client"), theirs.signed("stranger"), ours.signed("old-client", -1)
    whole = Tls(ca=ours.certificate, cert=good[0], key=good[1])
    clients = {
        "a client without a certificate": Tls(ca=ours.certificate),
        "a client's certificate of another authority": Tls(ca=ours.certificate, cert=foreign[0], key=foreign[1]),
        "a client's certificate that has expired": Tls(ca=ours.certificate, cert=expired[0], key=expired[1]),
        "a client that trusts another authority": Tls(ca=theirs.certificate, cert=good[0], key=good[1]),
        "a client in plain text": None,
    }
    files = {"CHERCHE_TLS__CLIENT_CA": str(ours.certificate)}
    process = Process(folder, CHERCHE_TLS__CERT=str(cert), CHERCHE_TLS__KEY=str(key), **files)
    await process.start(whole)
    try:
        rows = [await _kept_out(fault, process.address, tls) for fault, tls in clients.items()]
        async with Client(process.address, timeout=30.0, tls=whole) as client:
            try:
                await client.get_index(INDEX)
            except ChercheError as error:
                found = error.code
            else:
                found = None
        for row in rows:
            row.after = "nothing was set up" if found is Code.NOT_FOUND else "SET UP"
            row.lost += found is not Code.NOT_FOUND
    finally:
        process.kill()
    process = Process(folder, CHERCHE_TLS__CERT=str(old_cert), CHERCHE_TLS__KEY=str(old_key))
    process.begin()
    try:
        await _listens(process)
        row = await _kept_out("a sidecar's certificate that has expired", process.address, Tls(ca=ours.certificate))
        row.after = "the client sends nothing"
    finally:
        process.kill()
    return [*rows, row]


async def _listens(process: Process) -> None:
    """Wait until something takes connections, which is no sign that it can be trusted."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", process.port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def _kept_out(fault: str, address: str, tls: Tls | None) -> Row:
    """A setup that must not come through."""
    row = Row(fault)
    async with Client(address, timeout=5.0, tls=tls) as client:
        try:
            await client.setup_index(INDEX, IndexOptions())
        except ChercheError as error:
            row.errors.append(error.code.value)
        else:
            row.lost += 1
    return row
