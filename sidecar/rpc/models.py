"""ModelService."""

from __future__ import annotations

from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import model_pb2, model_pb2_grpc
from sidecar.rpc.call import Call
from sidecar.services import Services
from sidecar.wire.models import model_to_pb


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """The models a sidecar serves."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Call) -> model_pb2.ListModelsResponse:
        """List them."""
        return model_pb2.ListModelsResponse(models=[model_to_pb(one) for one in self._services.registry.list()])

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Call) -> model_pb2.GetModelResponse:
        """Describe one."""
        return model_pb2.GetModelResponse(model=model_to_pb(self._services.registry.get(request.name)))

    async def LoadModel(self, request: model_pb2.LoadModelRequest, context: Call) -> model_pb2.LoadModelResponse:
        """Load one and wait until it is warm."""
        self._allowed()
        served = await self._services.registry.load(request.name, request.source)
        return model_pb2.LoadModelResponse(model=model_to_pb(served))

    async def UnloadModel(self, request: model_pb2.UnloadModelRequest, context: Call) -> model_pb2.UnloadModelResponse:
        """Free one."""
        self._allowed()
        await self._services.registry.unload(request.name)
        return model_pb2.UnloadModelResponse()

    def _allowed(self) -> None:
        if not self._services.may_load:
            raise ChercheError(
                Code.PERMISSION_DENIED,
                "this sidecar does not let callers load or unload models",
                "restart it with CHERCHE_ALLOW_LOAD=true, or with the model: cherche serve --model NAME=PATH",
            )
