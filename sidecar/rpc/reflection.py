"""Server reflection: what ``grpcurl`` and the like ask for the contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection

SERVICE_NAME = reflection.SERVICE_NAME


class _Pool:
    """The default pool, in which the file of a method is found too.

    Protobuf's own (7.35, upb) finds files of messages, fields and services, so that ``grpcurl describe
    cherche.v1.RerankerService.Rerank`` failed.
    """

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the pool has
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that defines a symbol.

        Raises
        ------
        KeyError
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


def add_reflection(names: Iterable[str], server: grpc.aio.Server) -> None:
    """Answer for the services of these names and for reflection itself."""
    reflection.enable_server_reflection([*names, SERVICE_NAME], server, cast(DescriptorPool, _Pool()))
