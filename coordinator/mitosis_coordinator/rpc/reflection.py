"""Server reflection that shows the comments of the contract.

grpc_reflection answers from the generated code, which has no comments, and knows only the protocol's older version.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from importlib.resources import files
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

_OLDER: Final = "grpc.reflection.v1alpha"
_NEWER: Final = "grpc.reflection.v1"
_METHOD: Final = "ServerReflectionInfo"

REFLECTION_SERVICES: Final = (f"{_OLDER}.ServerReflection", f"{_NEWER}.ServerReflection")


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Serve both versions of the reflection protocol.

    Args:
        services: The full names of the services to list; those of reflection itself are added.
    """
    reflection = Reflection([*services, *REFLECTION_SERVICES])
    method = grpc.stream_stream_rpc_method_handler(
        reflection.answers,
        request_deserializer=pb.ServerReflectionRequest.FromString,
        response_serializer=pb.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {_METHOD: method}) for service in REFLECTION_SERVICES]
    )


class Reflection:
    """Answers what a client asks of the contract and of everything that its messages and errors are made of."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)
        self._serialized: dict[str, bytes] = {}
        # Apart from the process's own pool, which would refuse a file that it has without comments.
        self._pool = DescriptorPool()
        for file in _described():
            if file.name not in self._serialized:
                self._serialized[file.name] = file.SerializeToString(deterministic=True)
                self._pool.AddSerializedFile(self._serialized[file.name])

    async def answers(
        self, requests: AsyncIterable[pb.ServerReflectionRequest], context: Any
    ) -> AsyncIterator[pb.ServerReflectionResponse]:
        """Answer one question after the other."""
        async for request in requests:
            response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._answer(request, response)
            except KeyError:
                _refuse(response, grpc.StatusCode.NOT_FOUND, "this server does not know it")
            yield response

    def _answer(self, request: pb.ServerReflectionRequest, response: pb.ServerReflectionResponse) -> None:
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add_files(response, self._pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._add_files(response, self._file_of(request.file_containing_symbol))
            case "file_containing_extension":
                asked = request.file_containing_extension
                extended = self._pool.FindMessageTypeByName(asked.containing_type)
                extension = self._pool.FindExtensionByNumber(extended, asked.extension_number)
                self._add_files(response, self._file_of(extension.full_name))
            case "all_extension_numbers_of_type":
                extended = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                found = response.all_extension_numbers_response
                found.base_type_name = extended.full_name
                found.extension_number.extend(sorted(field.number for field in self._pool.FindAllExtensions(extended)))
            case _:
                _refuse(response, grpc.StatusCode.INVALID_ARGUMENT, "the request asks nothing")

    def _file_of(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # The pool finds everything by name but methods.
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            if method not in found.methods_by_name:
                raise
            return found.file

    def _add_files(self, response: pb.ServerReflectionResponse, file: FileDescriptor) -> None:
        found = (self._serialized[needed.name] for needed in _with_imports(file))
        response.file_descriptor_response.file_descriptor_proto.extend(found)


def _described() -> Iterator[FileDescriptorProto]:
    """Every file to be known, each after those that it imports; some come twice."""
    yield from FileDescriptorSet.FromString(
        files("mitosis_coordinator.rpc").joinpath("contract.binpb").read_bytes()
    ).file
    # A client that shows an error asks for what is packed in it by name.
    for module in (error_details_pb2, status_pb2, health_pb2, pb):
        for file in reversed(_with_imports(module.DESCRIPTOR)):
            yield FileDescriptorProto.FromString(file.serialized_pb)
    # The versions of the protocol differ in nothing but their package's name.
    older = text_format.MessageToString(FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb))
    newer = text_format.Parse(older.replace("v1alpha", "v1"), FileDescriptorProto())
    newer.options.ClearField("deprecated")
    yield newer


def _with_imports(file: FileDescriptor) -> list[FileDescriptor]:
    """A file and all that it needs, each before what it imports."""
    needed: dict[str, FileDescriptor] = {}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        # Once more at the end, when a file before imports it too.
        needed.pop(current.name, None)
        needed[current.name] = current
        waiting.extend(current.dependencies)
    return list(needed.values())


def _refuse(response: pb.ServerReflectionResponse, code: grpc.StatusCode, message: str) -> None:
    response.error_response.error_code = code.value[0]
    response.error_response.error_message = message
