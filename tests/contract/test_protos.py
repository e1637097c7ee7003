"""The committed stubs are those of the contract, which keeps buf's STANDARD style and only ever grows.

``python -m tests.contract.test_protos`` records additions in ``protos.txt``.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2 as pb
from google.rpc import status_pb2
from grpc_tools import protoc

from sidecar.config import Limits
from sidecar.rpc import generate
from sidecar.rpc.interceptors import PATIENT
from sidecar.wire.status import CLUSTER_AUTHORIZATION

FILES = sorted((generate.PROTOS / "cherche").rglob("*.proto"))
RECORD = Path(__file__).with_name("protos.txt")


def test_committed_stubs_are_fresh(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    assert contents(tmp_path) == contents(generate.TARGET), "run: make proto"


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.py*") if p.suffix != ".pyc"}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> list[pb.FileDescriptorProto]:
    return compiled(tmp_path_factory.mktemp("protos") / "contract.bin")


def compiled(target: Path) -> list[pb.FileDescriptorProto]:
    bundled = resources.files("grpc_tools") / "_proto"  # google/protobuf, which every compiler brings
    arguments = [f"--proto_path={generate.PROTOS}", f"--proto_path={bundled}"]
    arguments += ["--include_source_info", f"--descriptor_set_out={target}", *map(str, FILES)]
    assert protoc.main(["protoc", *arguments]) == 0
    return list(pb.FileDescriptorSet.FromString(target.read_bytes()).file)


def test_package_is_the_folder(contract: list[pb.FileDescriptorProto]) -> None:
    assert {file.package for file in contract} == {"cherche.v1"}
    assert {str(Path(file.name).parent) for file in contract} == {"cherche/v1"}
    assert all(re.fullmatch(r"[a-z_]+\.proto", Path(file.name).name) for file in contract)


def test_other_languages_have_what_their_compilers_ask_for(contract: list[pb.FileDescriptorProto]) -> None:
    for file in contract:
        options = file.options
        assert (options.go_package, options.java_package) == ("cherche/v1;cherchev1", "cherche.v1")
        assert options.csharp_namespace == "Cherche.V1"


def test_the_vendored_status_is_googles() -> None:
    theirs = Path(str(status_pb2.__file__)).with_name("status.proto")
    assert (generate.PROTOS / "google" / "rpc" / "status.proto").read_text() == theirs.read_text()


def test_the_readme_says_what_clients_of_other_languages_must_know() -> None:
    said = (generate.PROTOS / "README.md").read_text(encoding="utf-8")
    limits = Limits()
    assert f"`{CLUSTER_AUTHORIZATION}`" in said
    assert f"takes {limits.request_bytes >> 20} MiB (`limits.request_bytes`)" in said
    assert f"without one gets {limits.deadline:g} s" in said
    for method in PATIENT:
        assert f"`{method.partition('/')[2]}`" in said


def test_services_end_in_service_and_own_their_messages(contract: list[pb.FileDescriptorProto]) -> None:
    used: list[str] = []
    for service in (s for file in contract for s in file.service):
        assert service.name.endswith("Service")
        for method in service.method:
            assert re.fullmatch(r"[A-Z][A-Za-z]+", method.name)
            assert method.input_type == f".cherche.v1.{method.name}Request"
            assert method.output_type == f".cherche.v1.{method.name}Response"
            used += [method.input_type, method.output_type]
    assert used
    assert len(used) == len(set(used))


def test_enums_start_unspecified_and_carry_their_name(contract: list[pb.FileDescriptorProto]) -> None:
    enums = [enum for file in contract for enum in [*file.enum_type, *nested_enums(file)]]
    assert enums
    for enum in enums:
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper()
        assert (enum.value[0].number, enum.value[0].name) == (0, f"{prefix}_UNSPECIFIED")
        assert all(re.fullmatch(rf"{prefix}_[A-Z0-9_]+", value.name) for value in enum.value)


def nested_enums(file: pb.FileDescriptorProto) -> Iterator[pb.EnumDescriptorProto]:
    for message in file.message_type:
        yield from message.enum_type


def test_names_of_messages_and_fields(contract: list[pb.FileDescriptorProto]) -> None:
    for message in (m for file in contract for m in file.message_type):
        assert re.fullmatch(r"([A-Z][a-z0-9]*)+", message.name)
        assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", field.name) for field in message.field)


def test_everything_is_commented(contract: list[pb.FileDescriptorProto]) -> None:
    silent = [f"{file.name}: {name}" for file in contract for name in uncommented(file)]
    assert silent == []


def uncommented(file: pb.FileDescriptorProto) -> Iterator[str]:
    said = {
        tuple(place.path)
        for place in file.source_code_info.location
        if place.leading_comments.strip() or place.trailing_comments.strip()
    }
    for path, name in places(file):
        if path not in said:
            yield name


def places(file: pb.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Source paths (descriptor.proto field numbers) of all that wants a comment."""
    for i, message in enumerate(file.message_type):
        yield (4, i), message.name
        yield from (((4, i, 2, j), f"{message.name}.{f.name}") for j, f in enumerate(message.field))
    for i, enum in enumerate(file.enum_type):
        yield (5, i), enum.name
        yield from (((5, i, 2, j), v.name) for j, v in enumerate(enum.value))
    for i, service in enumerate(file.service):
        yield (6, i), service.name
        yield from (((6, i, 2, j), f"{service.name}.{m.name}") for j, m in enumerate(service.method))


def test_nothing_that_clients_rely_on_is_gone_or_changed(contract: list[pb.FileDescriptorProto]) -> None:
    """What buf calls breaking in category FILE: names, numbers, types and cardinalities stay."""
    now = set(signatures(contract))
    missing = [line for line in recorded() if line not in now]
    assert not missing, "keep these, and add beside them"


def test_the_record_is_complete(contract: list[pb.FileDescriptorProto]) -> None:
    assert recorded() == sorted(signatures(contract)), "run: python -m tests.contract.test_protos"


def test_a_removed_or_renumbered_field_is_found(contract: list[pb.FileDescriptorProto]) -> None:
    changed = pb.FileDescriptorProto()
    changed.CopyFrom(contract[0])
    changed.message_type[0].field[0].number += 100
    del changed.message_type[0].field[1]
    now = set(signatures([changed, *contract[1:]]))
    assert len([line for line in recorded() if line not in now]) == 2


def recorded() -> list[str]:
    return RECORD.read_text(encoding="utf-8").splitlines()


def signatures(contract: list[pb.FileDescriptorProto]) -> Iterator[str]:
    """One line for each thing that a client relies on."""
    for file in contract:
        for message in file.message_type:
            yield from (f"{file.name} {message.name}.{signature(field, message)}" for field in message.field)
        for enum in [*file.enum_type, *nested_enums(file)]:
            yield from (f"{file.name} {enum.name}.{value.name} = {value.number}" for value in enum.value)
        for service in file.service:
            for method in service.method:
                ways = ("stream " * method.client_streaming, "stream " * method.server_streaming)
                call = f"({ways[0]}{method.input_type}) returns ({ways[1]}{method.output_type})"
                yield f"{file.name} {service.name}.{method.name}{call}"


def signature(field: pb.FieldDescriptorProto, message: pb.DescriptorProto) -> str:
    kind = field.type_name or pb.FieldDescriptorProto.Type.Name(field.type)
    label = pb.FieldDescriptorProto.Label.Name(field.label)
    group = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return " ".join(filter(None, [f"{field.name} = {field.number}", kind, label, group and f"oneof {group}"]))


def main() -> None:
    """Record additions; what is recorded stays."""
    with tempfile.TemporaryDirectory() as scratch:
        now = sorted(signatures(compiled(Path(scratch) / "contract.bin")))
    RECORD.write_text("".join(f"{line}\n" for line in sorted({*now, *recorded()})), encoding="utf-8")


if __name__ == "__main__":
    main()
