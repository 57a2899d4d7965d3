"""Writes the contract's messages in their documented JSON form, by their descriptors alone.

Plain fields are shown whatever they hold, absent optional fields and unspecified enums are left out, and JSON documents
that a message carries go out as they came in, to the last digit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring as quoted
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mitosis_common.json_fields import enum_numbers, is_json_document, is_list, is_map, is_timestamp

_Writer = Callable[[Any], str]
_Member = Callable[[Any], str | None]


def to_json(message: Message) -> str:
    """Returns a message as JSON text: snake_case names, enums by name, RFC 3339 times, numbers as numbers."""
    members = [text for write in _members(message.DESCRIPTOR) if (text := write(message)) is not None]
    return "{" + ",".join(members) + "}"


@functools.cache
def _members(descriptor: Descriptor) -> tuple[_Member, ...]:
    return tuple(_member(field) for field in descriptor.fields)


def _member(field: FieldDescriptor) -> _Member:
    name, key = field.name, f"{quoted(field.name)}:"
    write = _writer(field)
    if is_map(field):
        return lambda message: key + _write_map(getattr(message, name))
    if field.is_repeated:
        return lambda message: f"{key}[{','.join(map(write, getattr(message, name)))}]"
    if field.enum_type is not None:
        return lambda message: key + write(number) if (number := getattr(message, name)) else None
    if field.has_presence:
        return lambda message: key + write(getattr(message, name)) if message.HasField(name) else None
    return lambda message: key + write(getattr(message, name))


def _writer(field: FieldDescriptor) -> _Writer:
    if field.message_type is not None:
        return _message_writer(field.message_type)
    if field.enum_type is not None:
        return functools.partial(_write_enum, enum_numbers(field.enum_type))
    if is_json_document(field):
        return str
    return _WRITERS[field.cpp_type]


def _message_writer(descriptor: Descriptor) -> _Writer:
    if is_timestamp(descriptor):
        return lambda moment: f'"{moment.ToJsonString()}"'
    if is_list(descriptor):
        write = _writer(descriptor.fields[0])
        return lambda message: f"[{','.join(map(write, message.values))}]"
    return to_json


def _write_map(entries: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{quoted(key)}:{quoted(value)}" for key, value in entries.items()) + "}"


def _write_enum(names: Mapping[int, str], number: int) -> str:
    return f'"{names.get(number, f"Unknown{number}")}"'


_WRITERS: dict[int, _Writer] = {
    FieldDescriptor.CPPTYPE_STRING: quoted,
    FieldDescriptor.CPPTYPE_BOOL: lambda value: "true" if value else "false",
    FieldDescriptor.CPPTYPE_INT32: str,
    FieldDescriptor.CPPTYPE_INT64: str,
    FieldDescriptor.CPPTYPE_DOUBLE: float.__repr__,
}
