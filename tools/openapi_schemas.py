"""Messages of the contract as JSON Schema, as the gateway reads and writes them."""

import re
from collections.abc import Collection, Iterable
from typing import Any

import openapi_rules as rules
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from mitosis_common.json_fields import INT_LIMITS, enum_names, is_json_document, is_list, is_map, is_timestamp

Schema = dict[str, Any]

_FORMATS: dict[int, Schema] = {
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}
# The one field whose objects take any further key, as the payload.
_LOOSE_FIELD, _LOOSE_SCHEMA = "task_spec", "NewTaskSpec"


class Comments:
    """What the protos say of each of their parts, by full name."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._texts: dict[str, str] = {}
        for file in files.file:
            for location in file.source_code_info.location:
                if text := location.leading_comments.strip():
                    self._texts[_name_at(file, list(location.path))] = _flowing(text)

    def of(self, full_name: str) -> str:
        """The comment on a message, field, enum value, service or method; empty for none."""
        return self._texts.get(full_name, "")


def _name_at(file: FileDescriptorProto, path: list[int]) -> str:
    names: list[str] = [file.package]
    node: Any = file
    for number, index in zip(path[::2], path[1::2], strict=False):
        field = node.DESCRIPTOR.fields_by_number[number]
        if field.message_type is None or not field.is_repeated:
            return ""
        node = getattr(node, field.name)[index]
        names.append(getattr(node, "name", ""))
    return ".".join(names)


def _flowing(comment: str) -> str:
    """A comment with its lines joined; paragraphs stay apart."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(line.strip() for line in comment.splitlines()))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class Schemas:
    """Collects the schemas that a document refers to.

    A message that occurs in requests refuses fields that it does not have; one that occurs in answers alone promises
    the fields that are always shown.
    """

    def __init__(self, comments: Comments, inputs: Iterable[Descriptor]) -> None:
        self._comments = comments
        self._inputs = _reachable(inputs)
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor) -> Schema:
        """A reference to a message's schema, which is made when it is met first."""
        if message.name not in self.components:
            # Before it is filled: messages may hold each other.
            self.components[message.name] = {}
            self.components[message.name] = self.of(message)
        return {"$ref": f"#/components/schemas/{message.name}"}

    def of(self, message: Descriptor, without: Collection[str] = ()) -> Schema:
        """A message's schema, without the fields that come in another place."""
        is_input = message.full_name in self._inputs
        schema: Schema = {"type": "object"}
        if text := self._comments.of(message.full_name):
            schema["description"] = text
        shown = [field for field in message.fields if field.name not in without]
        schema["properties"] = {field.name: self.field(field) for field in shown}
        required = rules.REQUIRED.get(message.name, [])
        if not is_input:
            required = [field.name for field in shown if _always_shown(field)]
        if message.name == "GroupMembership":
            required = ["group_name"]
        if required := [name for name in required if name not in without]:
            schema["required"] = required
        if is_input:
            schema["additionalProperties"] = False
        return schema | rules.BETWEEN.get(message.name, {})

    def field(self, field: FieldDescriptor) -> Schema:
        """One field's schema, with its comment."""
        schema = self._value(field)
        described = self._comments.of(f"{_owner(field).full_name}.{field.name}")
        if field.enum_type is not None:
            described = "\n\n".join(filter(None, [described, self._members(field.enum_type)]))
        return schema | ({"description": described} if described else {})

    def _members(self, enum: EnumDescriptor) -> str:
        names = {number: name for name, number in enum_names(enum).items()}
        texts = {
            names[value.number]: self._comments.of(f"{enum.full_name}.{value.name}")
            for value in enum.values
            if value.number in names
        }
        return "\n".join(f"- `{name}`: {text}" if text else f"- `{name}`" for name, text in texts.items())

    def _value(self, field: FieldDescriptor) -> Schema:
        limits = rules.FIELDS.get(_owner(field).name, {}).get(field.name, {})
        if is_map(field):
            return {"type": "object", "additionalProperties": {"type": "string"}, **limits}
        if field.message_type is not None and is_list(field.message_type):
            return {"type": "array", "items": self._item(field.message_type.fields[0]), **limits}
        if field.is_repeated:
            return {"type": "array", "items": self._item(field), **limits}
        return {**self._item(field), **limits}

    def _item(self, field: FieldDescriptor) -> Schema:
        owner = _owner(field)
        if is_timestamp(field.message_type):
            return rules.DATE_TIME
        if field.message_type is not None:
            if field.name == _LOOSE_FIELD and owner.full_name in self._inputs:
                return self._loose(field.message_type)
            return self.reference(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "enum": list(enum_names(field.enum_type))}
        if is_json_document(field):
            # Any JSON value.
            return {}
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.name in rules.MAYBE_A_UUID | rules.MAYBE_A_UUID_IN.get(owner.name, set()):
                return rules.UUID_OR_EMPTY
            if field.name in rules.ALWAYS_A_UUID:
                return rules.UUID
        schema = _FORMATS[field.type]
        if owner.full_name in self._inputs and field.type in INT_LIMITS:
            low, high = INT_LIMITS[field.type]
            return {**schema, "minimum": low, "maximum": high}
        return schema

    def _loose(self, message: Descriptor) -> Schema:
        strict = self.reference(message)
        known = self.components[message.name]
        self.components[_LOOSE_SCHEMA] = {
            "type": "object",
            "description": (
                f"A `{message.name}`; keys that are not fields of it are the members of its `payload`, "
                "which is then not given itself."
            ),
            "properties": known["properties"],
            **rules.BETWEEN[message.name],
            "anyOf": [strict, {"not": {"required": ["payload"]}}],
        }
        return {"$ref": f"#/components/schemas/{_LOOSE_SCHEMA}"}


def _owner(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None, "an extension is in no message"
    return field.containing_type


def _always_shown(field: FieldDescriptor) -> bool:
    # An enum is left out where it is unspecified, which none in an answer is.
    return field.is_repeated or not field.has_presence


def _reachable(messages: Iterable[Descriptor]) -> set[str]:
    found: set[str] = set()
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            found.add(message.full_name)
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return found
