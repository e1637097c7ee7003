from __future__ import annotations

from sidecar.gateway.dialects import DIALECTS
from sidecar.gateway.state import STATES
from tests.integration.gateway.conftest import Http


async def test_the_document_describes_every_dialect(http: Http) -> None:
    paths = (await http.get("/openapi.json")).json["paths"]
    assert set(paths) == {*(state.path for state in STATES), *(dialect.path for dialect in DIALECTS)}
    for dialect in DIALECTS:
        operation = paths[dialect.path]["post"]
        assert operation["operationId"] == dialect.name
        assert operation["description"]
        assert "schema" in operation["requestBody"]["content"]["application/json"]
        assert "schema" in operation["responses"]["200"]["content"]["application/json"]
