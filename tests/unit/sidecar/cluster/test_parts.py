from __future__ import annotations

from xml.etree import ElementTree

import pytest

from sidecar.cluster import parts

SERVERS = (parts.OPENSEARCH, parts.ELASTICSEARCH)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_poms_are_xml_and_name_every_part(server: parts.Server) -> None:
    for folder, coordinates in server.layout().items():
        tree = ElementTree.fromstring(parts.pom(folder, coordinates))
        names = [element.text for element in tree.iter("{http://maven.apache.org/POM/4.0.0}artifactId")]
        assert names == [folder, *(coordinate.split(":")[1] for coordinate in coordinates)]
