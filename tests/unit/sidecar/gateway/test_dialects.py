from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.gateway.dialects import CONNECTORS, DIALECTS, checked


def test_each_module_is_found() -> None:
    paths = {"/opensearch/v1/sparse", "/es/v1/sparse", "/es/elser", "/embed_sparse"}
    assert paths | {"/v1/rerank", "/v2/rerank", "/rerank"} <= {dialect.path for dialect in DIALECTS}


@pytest.mark.parametrize("same", ["path", "name"])
def test_two_dialects_with_the_same_path_or_name_are_refused(same: str) -> None:
    first, second = DIALECTS[:2]
    with pytest.raises(ValueError, match=getattr(first, same)):
        checked([first, replace(second, **{same: getattr(first, same)})])


def test_a_cluster_has_one_connector_for_each_task() -> None:
    keys = [(connector.product, connector.service, connector.task, connector.since) for connector in CONNECTORS]
    assert len(set(keys)) == len(keys)
