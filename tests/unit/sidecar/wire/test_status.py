from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from sidecar.errors import ChercheError, Code, invalid, overloaded
from sidecar.wire import status


@pytest.mark.parametrize("code", list(Code))
def test_errors_survive_the_wire(code: Code) -> None:
    error = ChercheError(code, "document '\ud800' is broken", "mend it")
    back = status.from_status(status_pb2.Status.FromString(status.to_status(error).SerializeToString()))
    assert (back.code, back.reason, back.next_step) == (code, "document '?' is broken", "mend it")
    assert back.retry_after is None


def test_only_overload_says_when_to_retry() -> None:
    back = status.from_status(status.to_status(overloaded("full", 2.5)))
    assert (back.code, back.retry_after) == (Code.RESOURCE_EXHAUSTED, 2.5)
    kinds = [detail.TypeName() for detail in status.to_status(invalid("x")).details]
    assert kinds == [error_details_pb2.ErrorInfo.DESCRIPTOR.full_name]


def test_statuses_of_other_servers_are_understood() -> None:
    error = status.from_status(status_pb2.Status(code=code_pb2.DATA_LOSS, message="gone"))
    assert (error.code, error.reason) == (Code.INTERNAL, "gone")
    assert status.from_status(status_pb2.Status(code=999, message="?")).code is Code.INTERNAL
