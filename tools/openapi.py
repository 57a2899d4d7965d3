"""Writes the OpenAPI document of the REST paths from the protos, and checks that it is what they say.

Usage: python tools/openapi.py [--check]
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import gen
import openapi_rules as rules
import yaml
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from openapi_examples import REQUESTS
from openapi_schemas import Comments, Schema, Schemas

from mitosis_coordinator.gateway.routes import Route, read_routes
from mitosis_coordinator.rpc.access import required_token
from mitosis_coordinator.rpc.errors import ERROR_TABLE
from mitosis_coordinator.services.tokens import TokenKind

YAML_OUT = Path("api/openapi.yaml")
# The same document as the coordinator serves it: a wheel holds no api/.
JSON_OUT = Path("coordinator/mitosis_coordinator/gateway/static/openapi.json")

_RESPONSES = {
    400: ("BadRequest", "A field does not fit: `fields` names each, with what was given and what is accepted."),
    401: ("Unauthorized", "The token is missing, malformed, expired, revoked or of another kind."),
    403: ("Forbidden", "The caller is known and may not do this."),
    404: ("NotFound", "There is no such thing, or none that the caller may know of."),
    408: ("RequestTimeout", "The body did not arrive in time."),
    409: ("Conflict", "The state does not allow it, the name is taken, or the `request_id` was used otherwise."),
    413: ("ContentTooLarge", "The body is over the limit."),
    415: ("UnsupportedMediaType", "The body is not JSON."),
    429: ("TooManyRequests", "A size, a count or a rate is over its limit."),
    501: ("NotImplemented", "Switched off by configuration."),
    503: ("Unavailable", "The database is away or the coordinator is going down; `Retry-After` says when to repeat."),
}
_ORDER = {"SuiteService": 0, "TaskService": 1, "ManagerService": 2, "WorkerService": 3}
_SCHEMES = {TokenKind.USER: "userToken", TokenKind.MANAGER: "managerToken", TokenKind.WORKER: "workerToken"}
_HTTP_CODES = {row.reason_name: row.http_code for row in ERROR_TABLE.values()}

_DESCRIPTION = """\
Suites of tasks, the managers that run them, independent workers, and who may do what.

JSON has snake_case names, enums by name (`Executing`), numbers as numbers and RFC 3339 times. Fields that always have a
value are always shown, optional ones are left out when they are absent. Requests may hold no field that is not
documented. Every answer carries `X-Request-Id`, the caller's own where one was sent. Lists page with `page_size` and
`page_token`; creations are idempotent on `request_id`.
"""


def services() -> list[ServiceDescriptor]:
    """Every service of the contract, those that users meet first before the others."""
    found: list[ServiceDescriptor] = []
    for file in sorted((gen.ROOT / "protos/mitosis/v1").glob("*_service.proto")):
        module = importlib.import_module(f"mitosis.v1.{file.stem}_pb2")
        found += module.DESCRIPTOR.services_by_name.values()
    return sorted(found, key=lambda service: _ORDER.get(service.name, len(_ORDER)))


def comments() -> Comments:
    """The comments of the protos."""
    gen.prepare_workspace()
    path = str(Path(sys.executable).parent / "buf")
    built = subprocess.run(
        [path, "build", "--as-file-descriptor-set", "--output", "-"], cwd=gen.ROOT, capture_output=True, check=True
    )
    return Comments(FileDescriptorSet.FromString(built.stdout))


def document() -> Schema:
    """The whole document."""
    known = comments()
    offered = services()
    routes = read_routes(offered)
    schemas = Schemas(known, [route.method.input_type for route in routes])
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, schemas, known)
    paths |= _own_paths()
    schemas.components["Error"] = _ERROR
    project = tomllib.loads((gen.ROOT / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mitosis",
            "version": project["version"],
            "description": _DESCRIPTION,
            "license": {"name": "Apache 2.0", "identifier": project["license"]},
        },
        "servers": [{"url": "/"}],
        "security": [{"userToken": []}],
        "tags": [{"name": _tag(service), "description": known.of(service.full_name)} for service in offered]
        + [{"name": "Coordinator", "description": "The coordinator itself. Needs no token."}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {name: _error_response(text) for name, text in _RESPONSES.values()}
            | {"Error": _error_response("Any other error.")},
            "securitySchemes": {
                "userToken": {"type": "http", "scheme": "bearer", "description": "From `POST /login`."},
                "managerToken": {"type": "http", "scheme": "bearer", "description": "From `POST /managers`."},
                "workerToken": {"type": "http", "scheme": "bearer", "description": "From `POST /workers`."},
            },
        },
    }


def _operation(route: Route, schemas: Schemas, known: Comments) -> Schema:
    method = route.method
    text = known.of(method.full_name)
    summary = re.split(r"(?<=[.])\s", text, maxsplit=1)[0].rstrip(".")
    if summary.startswith("Errors:"):
        summary = re.sub(r"(?<!^)([A-Z])", lambda match: f" {match[1].lower()}", method.name)
    operation: Schema = {"operationId": method.name, "tags": [_tag(route.service)], "summary": summary}
    operation["description"] = text
    scheme = required_token(route.full_name)
    if scheme is None:
        operation["security"] = []
    elif scheme != TokenKind.USER:
        operation["security"] = [{_SCHEMES[scheme]: []}]
    if parameters := _parameters(route, schemas):
        operation["parameters"] = parameters
    if route.has_body:
        operation["requestBody"] = _body(route, schemas)
    operation["responses"] = {"200": _success(route, schemas), **_failures(route, text, secured=scheme is not None)}
    return operation


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    parameters = []
    for field in route.method.input_type.fields:
        in_path = field.name in route.variables
        if not in_path and route.has_body:
            continue
        schema = schemas.field(field)
        parameter: Schema = {"name": field.name, "in": "path" if in_path else "query"}
        if in_path:
            parameter["required"] = True
        if description := schema.pop("description", ""):
            parameter["description"] = description
        parameters.append({**parameter, "schema": schema})
    return parameters


def _body(route: Route, schemas: Schemas) -> Schema:
    message: Descriptor = route.method.input_type
    if route.variables:
        name = f"{route.method.name}Body"
        schemas.components[name] = schemas.of(message, without=route.variables)
        reference = {"$ref": f"#/components/schemas/{name}"}
    else:
        reference = schemas.reference(message)
    media: Schema = {"schema": reference}
    if route.method.name in REQUESTS:
        media["examples"] = {"guide": {"value": REQUESTS[route.method.name]}}
    return {"required": bool(rules.REQUIRED.get(message.name)), "content": {"application/json": media}}


def _success(route: Route, schemas: Schemas) -> Schema:
    message = route.method.output_type
    headers = {"X-Request-Id": {"schema": {"type": "string"}, "description": "The id of this call."}}
    if route.streaming:
        text = (
            f"Server-sent events. The `data` of each is a `{message.name}`; an event `error` holds an `Error` and ends "
            "the stream. Comments keep a quiet connection open."
        )
        held = {"anyOf": [schemas.reference(message), {"$ref": "#/components/schemas/Error"}]}
        data = {"type": "string", "contentMediaType": "application/json", "contentSchema": held}
        event = {"type": "object", "required": ["data"], "properties": {"event": {"type": "string"}, "data": data}}
        content = {"text/event-stream": {"schema": event}}
        return {"description": text, "headers": headers, "content": content}
    if route.response_field:
        shown = message.fields_by_name[route.response_field].message_type
        assert shown is not None, f"{route.full_name}: only a message can be sent alone"
        message = shown
    reference = schemas.reference(message)
    return {"description": "Done.", "headers": headers, "content": {"application/json": {"schema": reference}}}


def _failures(route: Route, text: str, *, secured: bool) -> Schema:
    codes = {_HTTP_CODES[reason] for reason in re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", text) if reason in _HTTP_CODES}
    codes |= {400, 503} | ({401} if secured else set()) | ({408, 413, 415} if route.has_body else set())
    names = {str(code): {"$ref": f"#/components/responses/{_RESPONSES[code][0]}"} for code in sorted(codes)}
    return names | {"default": {"$ref": "#/components/responses/Error"}}


def _tag(service: ServiceDescriptor) -> str:
    return service.name.removesuffix("Service") + "s" * (service.name not in ("AuthService", "AdminService"))


def _error_response(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


_ERROR: Schema = {
    "type": "object",
    "description": "The one form of every error.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "reason", "message", "fields", "metadata", "request_id"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP code."},
                "status": {"type": "string", "description": "The code that the same call has over gRPC."},
                "reason": {"type": "string", "description": "What to tell errors apart by, for example `WRONG_STATE`."},
                "message": {"type": "string", "description": "One sentence for people."},
                "fields": {
                    "type": "array",
                    "description": "Every field that was refused.",
                    "items": {
                        "type": "object",
                        "required": ["field", "description"],
                        "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                    },
                },
                "metadata": {
                    "type": "object",
                    "description": "Facts by name, for example the current `state` and the events `allowed` in it.",
                    "additionalProperties": {"type": "string"},
                },
                "request_id": {"type": "string", "description": "What the coordinator's log has the call under."},
            },
        }
    },
}


def _own_paths() -> Schema:
    """The paths that stand for no RPC."""

    def get(name: str, summary: str, properties: dict[str, Any], **more: Schema) -> Schema:
        schema = {"type": "object", "required": list(properties), "properties": properties}
        answer = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
        operation = {"operationId": name, "tags": ["Coordinator"], "summary": summary, "security": []}
        return {"get": {**operation, "responses": {"200": answer, **more}}}

    health = {"status": {"type": "string", "enum": ["ok", "unavailable"]}, "database": {"type": "string"}}
    away = get("", "", health)["get"]["responses"]["200"] | {"description": "The database does not answer."}
    info = {
        "grpc": {"type": "string", "description": "`host:port` of the gRPC services."},
        "grpc_tls": {"type": "boolean"},
        "version": {"type": "string"},
    }
    return {
        "/health": get("GetHealth", "Tells whether the coordinator and its database answer", health, **{"503": away}),
        "/info": get("GetInfo", "Tells where the gRPC services are", info),
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def render() -> dict[Path, str]:
    """Both forms of the document, by file."""
    made = document()
    head = "# Written by tools/openapi.py from protos/; `make gen`.\n"
    text = yaml.dump(made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return {YAML_OUT: head + text, JSON_OUT: json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n"}


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when something differs")
    options = parser.parse_args()
    stale = []
    for file, text in render().items():
        path = gen.ROOT / file
        if options.check and (not path.exists() or path.read_text() != text):
            stale.append(str(file))
        elif not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"{file}: {len(text)} bytes")
    if stale:
        print(f"not what protos/ say: {', '.join(stale)}; run `make gen` and commit", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
