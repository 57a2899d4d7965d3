"""A protoc plugin that writes `_pb2_grpc.py`, with the generator compiled into grpcio-tools.

grpcio-tools ships that generator inside its own protoc only, and buf can run neither. This reads a CodeGeneratorRequest
from standard input, hands its descriptors to that protoc, and answers with what it wrote.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Answer a request with the gRPC modules of its files, or with an error when protoc refuses them."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as folder:
        descriptors, out = Path(folder, "descriptors.binpb"), Path(folder, "out")
        out.mkdir()
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        arguments = ["protoc", f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}"]
        # A file without services would become a module that holds nothing but a version check.
        wanted = set(request.file_to_generate)
        names = [file.name for file in request.proto_file if file.name in wanted and file.service]
        if names and protoc.main([*arguments, *names]) != 0:
            response.error = "grpcio-tools refused the descriptors; its message is on standard error"
            return response
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
    return response


if __name__ == "__main__":
    answer = generate(plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(answer.SerializeToString())
