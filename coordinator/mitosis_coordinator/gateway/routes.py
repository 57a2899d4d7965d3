"""The REST routes, read from the `google.api.http` options of the services."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.api.http_pb2 import HttpRule  # type: ignore[import-untyped]
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

_TEMPLATE = re.compile(r"(/[a-z-]+|/\{[a-z_]+\})+")
_VARIABLE = re.compile(r"\{([a-z_]+)\}")
WHOLE_BODY = "*"


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP method on one path, and the RPC that it stands for.

    With `has_body` every field that is not in the path comes in the body, else in the query string. `response_field` is
    the field of the response that is sent alone; empty for the whole response.
    """

    verb: str
    path: str
    has_body: bool
    response_field: str
    service: ServiceDescriptor
    method: MethodDescriptor

    @property
    def full_name(self) -> str:
        """The RPC as the layers know it, `/mitosis.v1.SuiteService/GetSuite`."""
        return f"/{self.service.full_name}/{self.method.name}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields that the path holds."""
        return tuple(_VARIABLE.findall(self.path))

    @property
    def streaming(self) -> bool:
        """Whether the answer is a stream of messages."""
        return bool(self.method.server_streaming)

    @property
    def request_class(self) -> type[Message]:
        """The class of the request."""
        return message_factory.GetMessageClass(self.method.input_type)


def patterns(routes: Sequence[Route]) -> dict[str, str]:
    """The pattern of each path, in which a variable stands for no word that another path has in its place.

    Without that `/managers/heartbeat` would be a manager too, and its 405 would not be one.
    """
    taken: dict[str, set[str]] = {}
    for route in routes:
        segments = route.path.split("/")
        for index, segment in enumerate(segments):
            if not segment.startswith("{"):
                taken.setdefault("/".join(segments[:index]), set()).add(segment)
    found = {}
    for route in routes:
        segments = route.path.split("/")
        for index, segment in enumerate(segments):
            words = taken.get("/".join(route.path.split("/")[:index]), ())
            if segment.startswith("{") and words:
                others = "|".join(sorted(map(re.escape, words)))
                segments[index] = f"{{{segment[1:-1]}:(?!(?:{others})(?:/|$))[^/]+}}"
        found[route.path] = "/".join(segments)
    return found


def read_routes(services: Sequence[ServiceDescriptor]) -> list[Route]:
    """All routes of services, in the order of the contract.

    Raises:
        ValueError: A rule uses what the gateway does not serve.
    """
    return [
        _route(service, method, rule) for service in services for method in service.methods for rule in _rules(method)
    ]


def _rules(method: MethodDescriptor) -> Iterator[HttpRule]:
    options = method.GetOptions()
    # The stubs of descriptor and of extension disagree about the same object.
    extension = cast(Any, annotations_pb2.http)
    if options.HasExtension(extension):
        rule: HttpRule = options.Extensions[extension]
        yield rule
        yield from rule.additional_bindings


def _route(service: ServiceDescriptor, method: MethodDescriptor, rule: HttpRule) -> Route:
    verb = rule.WhichOneof("pattern") or ""
    path = getattr(rule, verb, "")
    if method.client_streaming:
        raise ValueError(f"{method.full_name}: a stream of requests has no REST form")
    if verb not in ("get", "post", "put", "patch", "delete") or not _TEMPLATE.fullmatch(path):
        raise ValueError(f"{method.full_name}: {verb or 'no method'} {path} is not served")
    if rule.body not in ("", WHOLE_BODY):
        raise ValueError(f"{method.full_name}: body {rule.body!r} is not served; accepts {WHOLE_BODY!r} or none")
    return Route(verb.upper(), path, rule.body == WHOLE_BODY, rule.response_body, service, method)
