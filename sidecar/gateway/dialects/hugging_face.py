"""Term weights for Elasticsearch's `hugging_face` inference service, which sends what it sends to ELSER."""

from __future__ import annotations

from sidecar.gateway.body import RequestBody
from sidecar.gateway.connectors import NOT_RUN, TOKEN, ClusterRequest, Connector, inference
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import PurposeParameters, Texts, Weights, as_list, kind_of
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
    """Term weights through the `hugging_face` service, which does not say what is a query: an endpoint for each."""

    def endpoint(name: str, purpose: str, note: str) -> ClusterRequest:
        url = f"{gateway}{PATH}?input_type={purpose}{f'&model={model}' if model else ''}"
        return inference("sparse_embedding", name, "hugging_face", {"url": url, "api_key": TOKEN}, note)

    return [
        endpoint("cherche-sparse", "document", "Elasticsearch 8.12 and later. The `inference_id` of a field."),
        endpoint("cherche-sparse-query", "query", "The `search_inference_id` of the field, and that of queries."),
    ]


DIALECTS = [
    Dialect(
        name="elasticsearch_elser",
        path=PATH,
        callers="Elasticsearch `hugging_face`",
        example='[{"term":weight}]',
        description="Term weights for Elasticsearch's `hugging_face` service: an array of maps.",
        body=ElserSparse,
        table=ElserSparse,
        parameters=PurposeParameters,
        answer=list[Weights],
        read=_read,
        write=_write,
        connectors=(Connector("elasticsearch", "sparse", sparse_connector, NOT_RUN, service="hugging_face"),),
    )
]
