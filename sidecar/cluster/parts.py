"""Parts of a server: Maven coordinates, module descriptors and generated poms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Module:
    """A folder under ``modules/``: coordinates, class that the server loads, extended module and permissions."""

    name: str
    coordinates: str
    classname: str
    extends: str = ""
    policy: tuple[str, ...] = ()

    def grants(self) -> str:
        """Text of the ``plugin-security.policy`` of a module."""
        lines = "".join(f"  permission {permission};\n" for permission in self.policy)
        return f"grant {{\n{lines}}};\n"


@dataclass(frozen=True, slots=True)
class Server:
    """One version of a product, and how to start it.

    Attributes
    ----------
    title, version : str
        For display.
    prefix : str
        Of its Java properties.
    java : tuple of int
        First and last feature version that can run it; 0 for no last one.
    folders : mapping
        Folder of the layout → Maven coordinates; the folder holds their runtime dependencies.
    modules : tuple of Module
    flags : tuple of str
        For Java; ``{home}`` stands for the server's folder.
    main : str
        Class to start.
    managers : str
        Name of the setting with the nodes of the first election.
    variable : str
        Environment variable with the URL of a cluster to use instead.
    template : mapping or None
        Index template for a started cluster, in place of missing modules.
    """

    title: str
    version: str
    prefix: str
    java: tuple[int, int]
    folders: Mapping[str, tuple[str, ...]]
    modules: tuple[Module, ...]
    flags: tuple[str, ...]
    main: str
    managers: str
    variable: str
    template: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Product in lower case, as in file names and settings."""
        return self.title.lower()

    @property
    def digest(self) -> str:
        """Eight hex digits that change with the parts of the server.

        >>> len(OPENSEARCH.digest)
        8
        """
        return sha256(repr((self.folders, self.modules)).encode()).hexdigest()[:8]

    def layout(self) -> dict[str, tuple[str, ...]]:
        """`folders` and those of the modules.

        >>> OPENSEARCH.layout()["modules/reindex"]
        ('org.opensearch.plugin:reindex-client:3.8.0',)
        """
        return {**self.folders, **{f"modules/{module.name}": (module.coordinates,) for module in self.modules}}

    def descriptor(self, module: Module) -> str:
        """Text of the ``plugin-descriptor.properties`` of a module."""
        return (
            f"name={module.name}\n"
            f"description={module.name}\n"
            f"version={self.version}\n"
            f"{self.name}.version={self.version}\n"
            f"java.version={_OLDEST_CLASSES.get(self.name, self.java[0])}\n"
            f"classname={module.classname}\n"
            f"extended.plugins={module.extends}\n"
            "has.native.controller=false\n"
        )


# Without these grants a node starts, refuses every connection and logs nothing.
_NETTY = (
    'java.lang.RuntimePermission "accessDeclaredMembers"',
    'java.net.SocketPermission "*", "accept,connect,resolve"',
    'java.util.PropertyPermission "*", "write"',
)
# Elasticsearch expects Java 8 as "1.8".
_OLDEST_CLASSES = {"elasticsearch": "1.8"}


def _opensearch(name: str, artifact: str, classname: str, extends: str = "", policy: tuple[str, ...] = ()) -> Module:
    coordinates = f"org.opensearch.plugin:{artifact}:3.8.0"
    return Module(name, coordinates, f"org.opensearch.{classname}", extends, policy)


def _elasticsearch(name: str, artifact: str, classname: str, policy: tuple[str, ...] = ()) -> Module:
    coordinates = f"org.elasticsearch.plugin:{artifact}:7.17.29"
    return Module(name, coordinates, f"org.elasticsearch.{classname}", policy=policy)


OPENSEARCH = Server(
    title="OpenSearch",
    version="3.8.0",
    prefix="opensearch",
    java=(21, 0),
    folders={
        "lib": (
            "org.apache.logging.log4j:log4j-core:2.25.4",
            "org.opensearch:opensearch:3.8.0",
            "org.opensearch:opensearch-cli:3.8.0",
            "org.opensearch:opensearch-plugin-classloader:3.8.0",
        ),
        "agent": ("org.opensearch:opensearch-agent:3.8.0", "org.opensearch:opensearch-agent-bootstrap:3.8.0"),
    },
    modules=(
        _opensearch("transport-netty4", "transport-netty4-client", "transport.Netty4ModulePlugin", policy=_NETTY),
        _opensearch("mapper-extras", "mapper-extras-client", "index.mapper.MapperExtrasModulePlugin"),
        _opensearch("lang-painless", "lang-painless", "painless.PainlessModulePlugin"),
        _opensearch(
            "analysis-common", "analysis-common", "analysis.common.CommonAnalysisModulePlugin", "lang-painless"
        ),
        _opensearch("ingest-common", "ingest-common", "ingest.common.IngestCommonModulePlugin", "lang-painless"),
        _opensearch("reindex", "reindex-client", "index.reindex.ReindexModulePlugin"),
        _opensearch(
            "search-pipeline-common",
            "search-pipeline-common",
            "search.pipeline.common.SearchPipelineCommonModulePlugin",
            "lang-painless",
        ),
        _opensearch("rank-eval", "rank-eval-client", "index.rankeval.RankEvalModulePlugin"),
        _opensearch("lang-mustache", "lang-mustache-client", "script.mustache.MustacheModulePlugin"),
    ),
    flags=(
        "-javaagent:{home}/agent/opensearch-agent-3.8.0.jar",
        "--add-modules=jdk.incubator.vector",
        "--enable-native-access=ALL-UNNAMED",
    ),
    main="org.opensearch.bootstrap.OpenSearch",
    managers="cluster.initial_cluster_manager_nodes",
    variable="OPENSEARCH_URL",
)

# Two modules of 7.17 are not on Maven Central, and the last builds there (7.10.2, by CodeLibs) need classes that
# 7.16 moved. So Painless is missing, and "english" is the standard analyzer with English stop words, without
# stemming.
_ENGLISH = {
    "index_patterns": ["*"],
    "priority": 0,
    "template": {"settings": {"analysis": {"analyzer": {"english": {"type": "standard", "stopwords": "_english_"}}}}},
}
ELASTICSEARCH = Server(
    title="Elasticsearch",
    version="7.17.29",
    prefix="es",
    java=(17, 23),  # it installs a security manager, which Java 24 removed
    folders={
        "lib": (
            "org.apache.logging.log4j:log4j-core:2.17.1",
            "org.elasticsearch:elasticsearch:7.17.29",
            "org.elasticsearch:elasticsearch-plugin-classloader:7.17.29",
        ),
    },
    modules=(
        _elasticsearch("transport-netty4", "transport-netty4-client", "transport.Netty4Plugin", _NETTY),
        _elasticsearch("mapper-extras", "mapper-extras-client", "index.mapper.MapperExtrasPlugin"),
        _elasticsearch("reindex", "reindex-client", "reindex.ReindexPlugin"),
    ),
    flags=(
        "-Djava.security.manager=allow",
        "-Dlog4j2.disable.jmx=true",
        "-Des.distribution.flavor=oss",
    ),
    main="org.elasticsearch.bootstrap.Elasticsearch",
    managers="cluster.initial_master_nodes",
    variable="ELASTICSEARCH_URL",
    template=_ENGLISH,
)


def pom(name: str, coordinates: Iterable[str] = (), modules: Iterable[str] = ()) -> str:
    """Text of a pom that depends on `coordinates` and lists `modules`."""
    dependencies = "".join(_dependency(coordinate) for coordinate in coordinates)
    members = "".join(f"<module>{escape(module)}</module>" for module in modules)
    packaging = "<packaging>pom</packaging>" if members else ""
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>cherche.cluster</groupId><artifactId>{escape(name)}</artifactId><version>1</version>"
        f"{packaging}<modules>{members}</modules><dependencies>{dependencies}</dependencies></project>\n"
    )


def _dependency(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return (
        f"<dependency><groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId>"
        f"<version>{escape(version)}</version></dependency>"
    )
