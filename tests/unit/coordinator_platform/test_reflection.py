"""What the server tells of its own contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2 as pb

from mitosis_coordinator.rpc.reflection import REFLECTION_SERVICES, Reflection

SERVICE = "mitosis.v1.SuiteService"


@pytest.fixture(scope="module")
def reflection() -> Reflection:
    return Reflection([SERVICE, *REFLECTION_SERVICES])


async def ask(reflection: Reflection, **question: object) -> pb.ServerReflectionResponse:
    async def asking() -> AsyncIterator[pb.ServerReflectionRequest]:
        yield pb.ServerReflectionRequest(host="here", **question)  # type: ignore[arg-type]

    [answer] = [answer async for answer in reflection.answers(asking(), None)]
    assert answer.valid_host == answer.original_request.host == "here"
    return answer


async def files(reflection: Reflection, **question: object) -> list[FileDescriptorProto]:
    answer = await ask(reflection, **question)
    assert answer.WhichOneof("message_response") == "file_descriptor_response", answer
    return [FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_response.file_descriptor_proto]


async def test_services_are_listed(reflection: Reflection) -> None:
    listed = (await ask(reflection, list_services="")).list_services_response.service
    assert [service.name for service in listed] == sorted([SERVICE, *REFLECTION_SERVICES])


async def test_a_service_comes_with_its_comments_and_all_that_it_imports(reflection: Reflection) -> None:
    found = await files(reflection, file_containing_symbol=SERVICE)
    assert found[0].name == "mitosis/v1/suite_service.proto"
    comments = {tuple(at.path): at.leading_comments for at in found[0].source_code_info.location}
    assert comments[6, 0].startswith(" Suites: sets of tasks that share an environment.")
    assert comments[6, 0, 2, 0].startswith(" Creates a suite in state Queued")
    names = {file.name for file in found}
    assert all(set(file.dependency) <= names for file in found)
    assert {"google/api/http.proto", "google/protobuf/descriptor.proto"} <= names


@pytest.mark.parametrize(
    "symbol",
    [
        *REFLECTION_SERVICES,
        "grpc.health.v1.Health",
        "google.rpc.BadRequest",
        "google.rpc.ErrorInfo",
        "google.protobuf.Timestamp",
        "mitosis.v1.SuiteService.GetSuite",
        "mitosis.v1.TaskSuite",
    ],
)
async def test_what_messages_and_errors_are_made_of_is_known(reflection: Reflection, symbol: str) -> None:
    [first, *_] = await files(reflection, file_containing_symbol=symbol)
    assert [first] == (await files(reflection, file_by_filename=first.name))[:1]


async def test_extensions_are_known(reflection: Reflection) -> None:
    field_options = "google.protobuf.FieldOptions"
    numbers = (await ask(reflection, all_extension_numbers_of_type=field_options)).all_extension_numbers_response
    assert (numbers.base_type_name, {50101, 50102} - set(numbers.extension_number)) == (field_options, set())
    extension = pb.ExtensionRequest(containing_type=field_options, extension_number=50101)
    assert (await files(reflection, file_containing_extension=extension))[0].name == "mitosis/v1/options.proto"


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"file_by_filename": "mitosis/v2/suite.proto"}, 5),
        ({"file_containing_symbol": ""}, 5),
        ({"file_containing_symbol": f"{SERVICE}.DropSuite"}, 5),
        ({"file_containing_symbol": "\0" * 10_000}, 5),
        ({"all_extension_numbers_of_type": SERVICE}, 5),
        ({"file_containing_extension": pb.ExtensionRequest(containing_type="google.protobuf.FieldOptions")}, 5),
        ({}, 3),
    ],
)
async def test_what_is_not_there_is_answered(reflection: Reflection, question: dict[str, object], code: int) -> None:
    answer = await ask(reflection, **question)
    assert answer.WhichOneof("message_response") == "error_response"
    assert answer.error_response.error_code == code
