"""The page of the gRPC services, from the description of the contract that reflection serves."""

import re
from collections.abc import Iterator

import gen
from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto

from mitosis_coordinator.rpc.access import RIGHTS

_HEAD = """# gRPC reference

Every service and RPC, with the words of the protos; fields and messages are in
[`protos/mitosis/v1`](../../protos/mitosis/v1). `tools/reference.py` writes this page; it is not edited.
[REST](reference.md) has the same calls, [permissions](../user-guide/permissions.md) explain who may call.

Metadata `authorization: Bearer TOKEN` goes with every call that needs a token. Errors carry `google.rpc.Status` with
an `ErrorInfo`, whose reasons are those of [`errors.proto`](../../protos/mitosis/v1/errors.proto).

```sh
grpcurl -plaintext 127.0.0.1:7070 describe mitosis.v1.SuiteService
grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{"group_name": "default"}' \\
  127.0.0.1:7070 mitosis.v1.SuiteService/ListSuites
```
"""
_SERVICE_FIELD, _METHOD_FIELD = 6, 2
_VERBS = ("get", "put", "post", "delete", "patch")


def render() -> str:
    """The whole page."""
    contract = FileDescriptorSet.FromString((gen.ROOT / gen.CONTRACT_OUT).read_bytes())
    return _HEAD + "".join(part for file in contract.file if file.package == "mitosis.v1" for part in _services(file))


def _services(file: FileDescriptorProto) -> Iterator[str]:
    comments = {tuple(item.path): item.leading_comments for item in file.source_code_info.location}
    for number, service in enumerate(file.service):
        yield f"\n## {service.name}\n\n{_text(comments[_SERVICE_FIELD, number])}\n"
        for index, method in enumerate(service.method):
            comment = comments[_SERVICE_FIELD, number, _METHOD_FIELD, index]
            right = RIGHTS[f"{file.package}.{service.name}/{method.name}"]
            yield f"\n### {method.name}\n\n{_facts(method, right)}\n\n{_text(comment)}\n"


def _facts(method: MethodDescriptorProto, right: str) -> str:
    request = ("stream " if method.client_streaming else "") + method.input_type.rpartition(".")[2]
    answer = ("stream " if method.server_streaming else "") + method.output_type.rpartition(".")[2]
    rule = method.options.Extensions[annotations_pb2.http]
    paths = [f"REST `{verb.upper()} {path}`" for verb in _VERBS if (path := getattr(rule, verb))]
    return "; ".join([f"`{request}` → `{answer}`", *paths, f"needs {right}"])


def _text(comment: str) -> str:
    """A comment with its paragraphs and lists, without the line breaks between them."""
    lines = [line.removeprefix(" ") for line in comment.strip("\n").splitlines()]
    return re.sub(r"(?<=\S)\n(?=[^\s*-])", " ", "\n".join(lines)).strip()
