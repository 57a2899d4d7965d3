"""The documented JSON form of the contract's messages, read from their descriptors.

`to_message` turns a dictionary (of a Python caller, a YAML file or a line of JSON) into a request and refuses what does
not fit with the path of each field; `decode` turns an answer into its dataclass. Neither needs code per message.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import options_pb2
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.models import DocumentedEnum, Model

M = TypeVar("M", bound=Message)
D = TypeVar("D", bound=Model)

_INT_LIMITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}
_SHOWN_CHARACTERS = 80


# --- names -----------------------------------------------------------------------------------------------------------


@functools.cache
def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """Returns the documented names of an enum, `ROUND_ROBIN` under its prefix being `RoundRobin`, without the zero."""
    prefix = "".join(f"_{char}" if char.isupper() else char.upper() for char in enum.name).lstrip("_") + "_"
    return {
        "".join(word.capitalize() for word in value.name.removeprefix(prefix).split("_")): value.number
        for value in enum.values
        if value.number != 0
    }


@functools.cache
def _enum_numbers(enum: EnumDescriptor) -> dict[int, str]:
    return {number: name for name, number in enum_names(enum).items()}


def _is_json_document(field: FieldDescriptor) -> bool:
    # The stubs of descriptor and of extension disagree about the same object.
    return bool(field.GetOptions().Extensions[cast(Any, options_pb2.json_document)])


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


# --- dictionary to message -------------------------------------------------------------------------------------------


def to_message(document: object, message_type: type[M], path: str = "") -> M:
    """Returns the message that a JSON document describes.

    Fields keep their snake_case names, enums their documented ones, `None` means not given. `path` is put before the
    names of refused fields. Raises `InvalidField` with every unknown field and every wrong type.
    """
    message = message_type()
    violations: list[FieldViolation] = []
    _fill(message, document, path, violations)
    if violations:
        raise InvalidField(violations)
    return message


class _Refused(Exception):
    """A value does not fit; the text says what is accepted."""


def _fill(message: Message, document: object, path: str, violations: list[FieldViolation]) -> None:
    if not isinstance(document, Mapping):
        _refuse(violations, path or "document", document, "an object")
        return
    setters = _setters(message.DESCRIPTOR)
    for key, value in document.items():
        field_path = f"{path}.{key}" if path else str(key)
        setter = setters.get(key)
        if setter is None:
            accepted = ", ".join(sorted(setters))
            violations.append(FieldViolation(field_path, f"given an unknown field; accepts {accepted}"))
            continue
        try:
            setter(message, value, field_path, violations)
        except _Refused as refusal:
            _refuse(violations, field_path, value, str(refusal))


def _refuse(violations: list[FieldViolation], path: str, value: object, accepted: str) -> None:
    shown = repr(value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[: _SHOWN_CHARACTERS - 1] + "…"
    violations.append(FieldViolation(path, f"given {shown}; accepts {accepted}"))


_Setter = Callable[[Message, Any, str, list[FieldViolation]], None]


@functools.cache
def _setters(descriptor: Descriptor) -> dict[str, _Setter]:
    return {field.name: _setter(field) for field in descriptor.fields}


def _setter(field: FieldDescriptor) -> _Setter:
    if _is_map(field):
        return functools.partial(_set_map, field.name)
    if field.is_repeated:
        return functools.partial(_set_repeated, field)
    if field.message_type is not None:
        return functools.partial(_set_message, field)
    return functools.partial(_set_scalar, field.name, _scalar_reader(field))


def _set_scalar(
    name: str,
    read: Callable[[Any], object],
    message: Message,
    value: Any,
    _path: str,
    _violations: list[FieldViolation],
) -> None:
    if value is None and read is not _read_json:
        return
    setattr(message, name, read(value))


def _set_map(name: str, message: Message, value: Any, path: str, violations: list[FieldViolation]) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _Refused("an object of strings")
    target = getattr(message, name)
    for key, item in value.items():
        if isinstance(key, str) and isinstance(item, str):
            target[key] = item
        else:
            _refuse(violations, f"{path}.{key}", item, "a string")


def _set_repeated(
    field: FieldDescriptor, message: Message, value: Any, path: str, violations: list[FieldViolation]
) -> None:
    if value is None:
        return
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise _Refused("a list")
    target = getattr(message, field.name)
    read = None if field.message_type is not None else _scalar_reader(field)
    for index, item in enumerate(value):
        item_path = f"{path}[{index}]"
        if read is None:
            _fill(target.add(), item, item_path, violations)
            continue
        try:
            target.append(read(item))
        except _Refused as refusal:
            _refuse(violations, item_path, item, str(refusal))


def _set_message(
    field: FieldDescriptor, message: Message, value: Any, path: str, violations: list[FieldViolation]
) -> None:
    if value is None:
        return
    target = getattr(message, field.name)
    # An empty plan or hook given is not the same as none given.
    target.SetInParent()
    if isinstance(target, Timestamp):
        _set_time(target, value)
    elif [inner.name for inner in target.DESCRIPTOR.fields] == ["values"]:
        # A list that must be told apart from no list (`LabelList`) is written as the list itself.
        _set_repeated(target.DESCRIPTOR.fields[0], target, value, path, violations)
    else:
        _fill(target, value, path, violations)


def _set_time(target: Timestamp, value: Any) -> None:
    try:
        target.FromJsonString(value)
    except (ValueError, TypeError, AttributeError):
        raise _Refused("an RFC 3339 time") from None


def _scalar_reader(field: FieldDescriptor) -> Callable[[Any], object]:
    if _is_json_document(field):
        return _read_json
    if field.enum_type is not None:
        return functools.partial(_read_enum, enum_names(field.enum_type))
    if field.type in _INT_LIMITS:
        return functools.partial(_read_int, *_INT_LIMITS[field.type])
    return _READERS[field.type]


def _read_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise _Refused("a JSON value") from None


def _read_enum(names: Mapping[str, int], value: Any) -> int:
    if not isinstance(value, str) or value not in names:
        raise _Refused("one of " + ", ".join(names))
    return names[value]


def _read_int(low: int, high: int, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Refused(f"a whole number from {low} to {high}")
    return value


def _read_float(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _Refused("a number")
    return float(value)


def _read_str(value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused("a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused("a string that is valid Unicode") from None
    return value


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Refused("true or false")
    return value


_READERS: dict[int, Callable[[Any], object]] = {
    FieldDescriptor.TYPE_STRING: _read_str,
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_DOUBLE: _read_float,
}


# --- message to dataclass --------------------------------------------------------------------------------------------


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
    if _is_map(field):
        return lambda message: dict(getattr(message, name))
    if field.message_type is not None and field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        return lambda message: getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None
    if field.message_type is not None:
        inner = _class_in(hint, Model)
        if field.is_repeated:
            return lambda message: tuple(decode(item, inner) for item in getattr(message, name))
        return lambda message: decode(getattr(message, name), inner) if message.HasField(name) else None
    if field.is_repeated:
        return lambda message: tuple(getattr(message, name))
    if field.enum_type is not None:
        return functools.partial(_get_enum, name, _enum_numbers(field.enum_type), _class_in(hint, DocumentedEnum))
    if _is_json_document(field):
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
