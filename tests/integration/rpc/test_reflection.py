"""Reflection gives a client all that it needs to call a method it has no stub of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from sidecar.services import SERVICES
from sidecar.testing import RunningServer

METHOD = "cherche.v1.RerankerService.Rerank"


async def asked(address: str, symbols: Sequence[str]) -> list[reflection_pb2.ServerReflectionResponse]:
    """One answer for each symbol, from one stream."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols])
        )
        return [response async for response in call]


async def test_every_method_is_found_by_its_name_with_all_imports(server: RunningServer) -> None:
    """As ``grpcurl describe`` asks."""
    services = [Default().FindServiceByName(name) for name in SERVICES]
    methods = [method for service in services for method in service.methods]
    assert METHOD in {method.full_name for method in methods}
    answers = await asked(server.address, [method.full_name for method in methods])
    for method, answer in zip(methods, answers, strict=True):
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        imports = {file.name: set(file.dependency) for file in files}
        assert next(iter(imports)) == method.containing_service.file.name  # grpcurl takes the first
        assert set().union(*imports.values()) <= set(imports)
    [rerank] = [answer for answer in answers if answer.original_request.file_containing_symbol == METHOD]
    assert b"google/rpc/status.proto" in b"".join(rerank.file_descriptor_response.file_descriptor_proto)


async def test_what_does_not_exist_is_not_found(server: RunningServer) -> None:
    for answer in await asked(server.address, ["cherche.v1.RerankerService.Unknown", "unknown", ""]):
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_client_without_stubs_makes_a_call(server: RunningServer) -> None:
    def call() -> None:
        with grpc.insecure_channel(server.address) as channel:
            method = DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindMethodByName(METHOD)
            request = message_factory.GetMessageClass(method.input_type)(query="red car")
            request.texts.items.add(text="blue sky")
            request.texts.items.add(text="a red car")
            rerank = channel.unary_unary(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
            )
            assert [score.index for score in rerank(request).scores] == [1, 0]

    await asyncio.to_thread(call)
