"""What a server is made of: Maven coordinates, module descriptors, generated poms. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

VERSION = "3.8.0"
LOG4J = "2.25.4"
JAVA = 21


@dataclass(frozen=True, slots=True)
class Module:
    """A folder under ``modules/``: its artifact, the class that the server loads, what it extends."""

    name: str
    artifact: str
    classname: str
    extends: str = ""


MODULES = (
    Module("transport-netty4", "transport-netty4-client", "org.opensearch.transport.Netty4ModulePlugin"),
    Module("mapper-extras", "mapper-extras-client", "org.opensearch.index.mapper.MapperExtrasModulePlugin"),
    Module("lang-painless", "lang-painless", "org.opensearch.painless.PainlessModulePlugin"),
    Module(
        "analysis-common",
        "analysis-common",
        "org.opensearch.analysis.common.CommonAnalysisModulePlugin",
        "lang-painless",
    ),
    Module(
        "ingest-common",
        "ingest-common",
        "org.opensearch.ingest.common.IngestCommonModulePlugin",
        "lang-painless",
    ),
    Module("reindex", "reindex-client", "org.opensearch.index.reindex.ReindexModulePlugin"),
    Module(
        "search-pipeline-common",
        "search-pipeline-common",
        "org.opensearch.search.pipeline.common.SearchPipelineCommonModulePlugin",
        "lang-painless",
    ),
    Module("rank-eval", "rank-eval-client", "org.opensearch.index.rankeval.RankEvalModulePlugin"),
    Module("lang-mustache", "lang-mustache-client", "org.opensearch.script.mustache.MustacheModulePlugin"),
)

SERVER = (
    f"org.apache.logging.log4j:log4j-core:{LOG4J}",
    f"org.opensearch:opensearch:{VERSION}",
    f"org.opensearch:opensearch-cli:{VERSION}",
    f"org.opensearch:opensearch-plugin-classloader:{VERSION}",
)
AGENT = (
    f"org.opensearch:opensearch-agent:{VERSION}",
    f"org.opensearch:opensearch-agent-bootstrap:{VERSION}",
)

# Without this grant the agent blocks node-to-node connections and logs nothing.
NETTY_POLICY = """grant {
  permission java.lang.RuntimePermission "accessDeclaredMembers";
  permission java.net.SocketPermission "*", "accept,connect,resolve";
  permission java.util.PropertyPermission "*", "write";
};
"""


def folders() -> dict[str, tuple[str, ...]]:
    """Folder of the layout → Maven coordinates whose runtime dependencies it holds.

    >>> folders()["modules/reindex"]
    ('org.opensearch.plugin:reindex-client:3.8.0',)
    """
    modules = {f"modules/{module.name}": (f"org.opensearch.plugin:{module.artifact}:{VERSION}",) for module in MODULES}
    return {"lib": SERVER, "agent": AGENT, **modules}


def pom(name: str, coordinates: Iterable[str] = (), modules: Iterable[str] = ()) -> str:
    """Write a pom that depends on `coordinates` and lists `modules`."""
    dependencies = "".join(_dependency(coordinate) for coordinate in coordinates)
    members = "".join(f"<module>{escape(module)}</module>" for module in modules)
    packaging = "<packaging>pom</packaging>" if members else ""
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>cherche.cluster</groupId><artifactId>{escape(name)}</artifactId><version>1</version>"
        f"{packaging}<modules>{members}</modules><dependencies>{dependencies}</dependencies></project>\n"
    )


def descriptor(module: Module) -> str:
    """Write the ``plugin-descriptor.properties`` of a module."""
    return (
        f"name={module.name}\n"
        f"description={module.name}\n"
        f"version={VERSION}\n"
        f"opensearch.version={VERSION}\n"
        f"java.version={JAVA}\n"
        f"classname={module.classname}\n"
        "custom.foldername=\n"
        f"extended.plugins={module.extends}\n"
        "has.native.controller=false\n"
    )


def _dependency(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return (
        f"<dependency><groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId>"
        f"<version>{escape(version)}</version></dependency>"
    )
