"""Term weights for Elasticsearch's `hugging_face` inference service, which sends what it sends to ELSER."""

from __future__ import annotations

from sidecar.gateway.connectors import TOKEN, ClusterRequest, Connector, inference
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import PurposeParameters, RequestBody, Texts, Weights, as_list, kind_of
from sidecar.gateway.sparse import SparseAnswer, SparseCall

PATH = "/es/elser"


class ElserSparse(RequestBody):
    """What Elasticsearch's `hugging_face` service sends for sparse embeddings."""

    inputs: Texts


def _read(body: ElserSparse, parameters: PurposeParameters) -> SparseCall:
    return SparseCall(
        texts=as_list(body.inputs),
        model=parameters.model,
        kind=kind_of(parameters.input_type),
        naming=parameters.naming,
    )


def _write(body: ElserSparse, answer: SparseAnswer) -> str:
    return answer.maps()


def sparse_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """Term weights through the `hugging_face` service; no dots, which `sparse_vector` refused before 8.16."""
    url = f"{gateway}{PATH}?naming=escaped{f'&model={model}' if model else ''}"
    settings = {"url": url, "api_key": TOKEN}
    return [inference("sparse_embedding", "cherche-sparse", "hugging_face", settings, "Elasticsearch 8.12 and later.")]


DIALECTS = [
    Dialect(
        name="elasticsearch_elser",
        path=PATH,
        callers="Elasticsearch `hugging_face`",
        example='[{"term":weight}]',
        description="Term weights for Elasticsearch's `hugging_face` service: an array of maps.",
        body=ElserSparse,
        parameters=PurposeParameters,
        answer=list[Weights],
        read=_read,
        write=_write,
        connectors=(Connector("elasticsearch", "sparse", sparse_connector, service="hugging_face"),),
    )
]
