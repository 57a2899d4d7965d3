"""The documented JSON form on the client's side: dictionaries to requests, answers to dataclasses.

`to_message` turns a dictionary (of a Python caller, a YAML file or a line of JSON) into a request and refuses what does
not fit with the path of each field; `decode` turns an answer into its dataclass. Neither needs code per message.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.models import DocumentedEnum, Model
from mitosis_common.json_fields import enum_names, enum_numbers, is_json_document, is_map, is_timestamp
from mitosis_common.json_reader import JsonForm, JsonFormError

__all__ = ["decode", "enum_names", "to_message"]

M = TypeVar("M", bound=Message)
D = TypeVar("D", bound=Model)

_SHOWN_CHARACTERS = 80


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 1] + "…"


_FORM = JsonForm(_show, null_is_absent=True)
# As REST reads it: keys of a task's spec that are no fields of it are the payload.
_REST_FORM = JsonForm(_show, null_is_absent=True, payload_fields=("task_spec",))


def to_message(document: object, message_type: type[M], path: str = "", *, as_rest: bool = False) -> M:
    """Returns the message that a JSON document describes.

    Fields keep their snake_case names, enums their documented ones, `None` means not given. `path` is put before the
    names of refused fields; `as_rest` also takes what only REST does.

    Raises `InvalidField` with every unknown field and every wrong type.
    """
    message = message_type()
    try:
        (_REST_FORM if as_rest else _FORM).read(document, message, path=path)
    except JsonFormError as error:
        raise InvalidField(
            [FieldViolation(item.field, f"given {item.given}; accepts {item.accepts}") for item in error.violations]
        ) from None
    return message


def decode(message: Message, model: type[D]) -> D:
    """Returns the dataclass for a message; fields that the dataclass does not have are left out."""
    return model(**{name: read(message) for name, read in _getters(cast(Hashable, model), message.DESCRIPTOR)})


_Getter = Callable[[Any], object]


@functools.cache
def _getters(model: type[Model], descriptor: Descriptor) -> tuple[tuple[str, _Getter], ...]:
    hints = typing.get_type_hints(model)
    fields = descriptor.fields_by_name
    return tuple((item.name, _getter(fields[item.name], hints[item.name])) for item in dataclasses.fields(model))


def _getter(field: FieldDescriptor, hint: object) -> _Getter:
    name = field.name
    if is_map(field):
        return lambda message: dict(getattr(message, name))
    if is_timestamp(field.message_type):
        return lambda message: getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None
    if field.message_type is not None:
        inner = _class_in(hint, Model)
        if field.is_repeated:
            return lambda message: tuple(decode(item, inner) for item in getattr(message, name))
        return lambda message: decode(getattr(message, name), inner) if message.HasField(name) else None
    if field.is_repeated:
        return lambda message: tuple(getattr(message, name))
    if field.enum_type is not None:
        return functools.partial(_get_enum, name, enum_numbers(field.enum_type), _class_in(hint, DocumentedEnum))
    if is_json_document(field):
        return lambda message: json.loads(getattr(message, name)) if message.HasField(name) else None
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)


def _get_enum(name: str, names: Mapping[int, str], kind: type[DocumentedEnum], message: Any) -> DocumentedEnum | None:
    number = getattr(message, name)
    return kind(names.get(number, f"Unknown{number}")) if number else None


def _class_in(hint: object, base: type[Any]) -> type[Any]:
    """Returns the one class under `base` that a hint such as `tuple[HookRun, ...]` or `Hook | None` names."""
    found = [inner for inner in typing.get_args(hint) or [hint] if isinstance(inner, type) and issubclass(inner, base)]
    if len(found) != 1:
        raise TypeError(f"{hint!r} does not name one {base.__name__}")
    return found[0]
