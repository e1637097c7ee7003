"""Document- and field-level security with the real security plugin, on the newest engine with a published one."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from sidecar.client.client import Client
from sidecar.cluster.places import java_home, maven
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.integration.plugin.conftest import SYNONYMS
from tests.integration.plugin.nodes import opensearch, running_node

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

SECURITY = "org.opensearch.plugin:opensearch-security:3.4.0.0:zip"
# Otherwise provided by a module that the plugin extends and that is in no repository.
COLLECTIONS = "org.apache.commons:commons-collections4:4.5.0"
PASSWORD = "vErY-str0ng-and-l0ng-phrase"
INDEX = "articles"
HIDDEN_KIND = {"term": {"kind.keyword": "secret"}}
PERMISSIONS = ["read", "indices:admin/mappings/get", "indices:admin/get", "indices:monitor/settings/get"]
ROLES = {
    "documents": {"dls": json.dumps({"bool": {"must_not": HIDDEN_KIND}})},
    "fields": {"fls": ["~text", "~cherche_*"]},
    "both": {"dls": json.dumps({"bool": {"must_not": HIDDEN_KIND}}), "fls": ["~text", "~cherche_*"]},
}
PIPELINE = {
    "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union"}}],
    "response_processors": [{"cherche_rerank": {}}],
}
TEXTS = ["car word1", "automobile film word2", "movie word3 word4", "hush", "hush car"]
SETTINGS = """
plugins.security.ssl.transport.pemcert_filepath: node.pem
plugins.security.ssl.transport.pemkey_filepath: node-key.pem
plugins.security.ssl.transport.pemtrustedcas_filepath: node.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: false
plugins.security.nodes_dn: ["CN=node"]
plugins.security.authcz.admin_dn: ["CN=nobody"]
plugins.security.allow_default_init_securityindex: true
plugins.security.restapi.roles_enabled: ["all_access"]
plugins.security.audit.type: noop
plugins.cherche.query.deadline: 20s
plugins.cherche.rerank.deadline: 20s
""".splitlines()


def authorization(user: str) -> str:
    password = "admin" if user == "admin" else PASSWORD
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def send(url: str, method: str, path: str, body: Any = None, user: str = "admin") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": authorization(user)}
    with urlopen(Request(url + path, data, headers, method=method), timeout=60) as reply:
        return json.load(reply)


def is_up(url: str) -> bool:
    try:
        return bool(send(url, "GET", "/_cluster/health?timeout=1s")["status"] != "red")
    except HTTPError as error:
        error.close()  # its own index does not exist yet
        return False
    except URLError:
        return False


@pytest.fixture(scope="module")
def security_zip(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]) -> Path:
    """The published zip without its dependency on modules that are in no repository: they tag workloads."""
    folder = tmp_path_factory.mktemp("security")
    published, jar = fetched(SECURITY, folder, require), fetched(COLLECTIONS, folder, require)
    target = folder / "installed.zip"
    with zipfile.ZipFile(published) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "plugin-descriptor.properties":
                lines = data.decode().splitlines()
                data = "\n".join(line for line in lines if not line.startswith("extended.plugins")).encode()
            new.writestr(name, data)
        new.write(jar, jar.name)
    return target


def fetched(artifact: str, folder: Path, require: Callable[[str, str], None]) -> Path:
    """An artifact, copied by Maven."""
    environment = {**os.environ, "JAVA_HOME": str(java_home(os.environ))}
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    command = [maven(), "-B", "-q", "-ntp", copy, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    if ran.returncode:
        require("java", f"Maven cannot fetch {artifact}: {ran.stdout[-300:]}")
    return next(folder.glob(f"{artifact.split(':')[1]}-*"))


@pytest.fixture(scope="module")
def url(older_plugin_zip: Path, security_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node with both plugins, and a user for every role."""
    folder = tmp_path_factory.mktemp("certificates")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=node"]
    command += ["-addext", "extendedKeyUsage=serverAuth,clientAuth", "-addext", "subjectAltName=IP:127.0.0.1"]
    paths = ["-keyout", str(folder / "node-key.pem"), "-out", str(folder / "node.pem")]
    subprocess.run([*command, *paths], check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with zipfile.ZipFile(security_zip) as archive:
        shipped = [name for name in archive.namelist() if name.startswith("config/") and name.endswith(".yml")]
        files |= {f"opensearch-security/{Path(name).name}": archive.read(name) for name in shipped}
    server = opensearch("3.4.0")
    with running_node(
        [older_plugin_zip, security_zip], is_up, server=server, settings=SETTINGS, files=files, heap="768m"
    ) as node:
        url = node.url
        for name, role in ROLES.items():
            allowed = {"index_patterns": [f"{INDEX}*"], "allowed_actions": PERMISSIONS, **role}
            body = {"index_permissions": [allowed], "cluster_permissions": ["cluster:monitor/main"]}
            send(url, "PUT", f"/_plugins/_security/api/roles/{name}", body)
            send(url, "PUT", f"/_plugins/_security/api/internalusers/{name}", {"password": PASSWORD})
            send(url, "PUT", f"/_plugins/_security/api/rolesmapping/{name}", {"users": [name]})
        yield url


@dataclass(frozen=True, slots=True)
class Secured:
    """The node and the sidecar; `client` has a user's credentials."""

    url: str
    server: RunningServer

    async def search(self, user: str, text: str, *, pipeline: bool = True, filters: Any = None) -> dict[str, Any]:
        """A user's search."""
        match: dict[str, Any] = {"multi_match": {"query": text, "fields": ["title", "text"]}}
        query = {"bool": {"must": [match], "filter": filters}} if filters else match
        body = {"query": query, "size": 100, "track_total_hits": True} | (
            {"search_pipeline": PIPELINE, "track_total_hits": 10_000} if pipeline else {}
        )
        return dict(await asyncio.to_thread(send, self.url, "POST", f"/{INDEX}/_search", body, user))

    def client(self, user: str) -> Client:
        return Client(self.server.address, authorization=authorization(user), timeout=60)


@pytest.fixture
async def secured(url: str) -> AsyncIterator[Secured]:
    """Articles, some of them secret; only secret texts have the word ``hush``."""
    engine = OpenSearchEngine.connect(url)
    rng = random.Random(5)
    words = [*(f"word{n}" for n in range(12)), "car", "automobile", "film", "movie"]
    async with running_server(engine, [FakeModel(synonyms=SYNONYMS)], authorization=authorization("admin")) as server:
        settings = {"plugins.cherche.endpoints": [server.address]}
        send(url, "PUT", "/_cluster/settings", {"persistent": settings})
        await server.client.setup_index(INDEX, IndexOptions())

        async def documents() -> AsyncIterator[SourceDocument]:
            for n in range(60):
                kind = "secret" if n % 4 == 0 else "open"
                text = " ".join(rng.choices(words, k=12)) + (" hush" if kind == "secret" else "")
                source = {"title": " ".join(rng.choices(words, k=3)), "text": text, "kind": kind}
                yield SourceDocument(f"{kind}-{n:02}", json.dumps(source).encode())

        outcomes = [one.outcome async for one in server.client.index_documents(INDEX, documents(), refresh=True)]
        assert outcomes == ["encoded"] * 60
        yield Secured(url, server)
        send(url, "DELETE", f"/{INDEX}")
    await engine.aclose()


def shown(reply: dict[str, Any]) -> list[tuple[str, float]]:
    """Ids and scores."""
    return [(hit["_id"], hit["_score"]) for hit in reply["hits"]["hits"]]


async def test_hidden_documents_leave_no_trace(secured: Secured) -> None:
    """A user sees the hits, order, scores and totals that an administrator gets with a filter."""
    for text in TEXTS:
        seen = await secured.search("documents", text)
        wanted = await secured.search("admin", text, filters=[{"bool": {"must_not": HIDDEN_KIND}}])
        assert [id for id, _ in shown(seen)] == [id for id, _ in shown(wanted)]
        # with another filter Lucene sums clauses in another order: the last digit of float32 differs
        assert [score for _, score in shown(seen)] == pytest.approx([score for _, score in shown(wanted)], rel=3e-7)
        assert seen["hits"]["total"] == wanted["hits"]["total"]
        assert not any(id.startswith("secret") for id, _ in shown(seen))
        assert "secret" not in json.dumps(seen)
    everything = await secured.search("admin", "hush")
    assert any(id.startswith("secret") for id, _ in shown(everything))


async def test_hidden_fields_leave_no_trace(secured: Secured) -> None:
    """With an encoded field and cherche_* hidden, the page is that of a search without the plugin."""
    for text in TEXTS:
        seen = await secured.search("fields", text)
        plain = await secured.search("fields", text, pipeline=False)
        assert shown(seen) == shown(plain)
        assert seen["hits"]["total"]["value"] == plain["hits"]["total"]["value"]
        assert not any("text" in hit["_source"] for hit in seen["hits"]["hits"])
        assert "cherche_maxsim" not in json.dumps(seen)
    assert shown(await secured.search("fields", "hush")) == []
    assert (await secured.search("fields", "car"))["ext"]["cherche"]["rerank_status"] == "CODES_MISSING"


async def test_both_at_once(secured: Secured) -> None:
    for text in TEXTS:
        seen = await secured.search("both", text)
        assert shown(seen) == shown(await secured.search("both", text, pipeline=False))
        assert "secret" not in json.dumps(seen)
        assert "hush" not in json.dumps(seen["hits"])


@pytest.mark.parametrize("user", sorted(ROLES))
async def test_the_sidecar_shows_no_more(secured: Secured, user: str) -> None:
    """The sidecar searches with its caller's credentials: no hidden hit, field or token."""
    async with secured.client(user) as client:
        for text in TEXTS:
            for rerank in (False, True):
                found = await client.search(SearchRequest(INDEX, text, rerank=rerank, size=50))
                if "dls" in ROLES[user]:
                    assert not any(hit.id.startswith("secret") for hit in found.hits)
                if "fls" in ROLES[user]:
                    assert not any("text" in (hit.source or {}) for hit in found.hits)
                    assert "hush" not in str(found.hits)


async def test_a_stranger_sees_nothing(secured: Secured) -> None:
    async with Client(secured.server.address, timeout=30) as client:
        with pytest.raises(ChercheError):
            await client.search(SearchRequest(INDEX, "car"))
