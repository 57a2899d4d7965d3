"""Reads the documented JSON form into the contract's messages, by their descriptors alone.

What does not fit is refused with the path of each field, all mistakes at once. There is no code per message.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis_common.json_fields import INT_LIMITS, enum_names, is_json_document, is_list, is_map, is_secret

PAYLOAD = "payload"

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that does not fit: its path, what was given as text, what is accepted."""

    field: str
    given: str
    accepts: str


class JsonFormError(ValueError):
    """A document does not describe the message; nothing of it is to be used."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{item.field}: given {item.given}; accepts {item.accepts}" for item in violations))
        self.violations = tuple(violations)


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How a kind of caller writes the form.

    `show` puts a refused value into words. With `null_is_absent` a null is a field not given. A message in one of the
    fields named in `payload_fields` takes keys that it has no field for as the members of its `payload`.
    """

    show: Callable[[object], str]
    null_is_absent: bool = False
    payload_fields: Collection[str] = ()

    def read(self, document: object, message: Message, *, path: str = "", bound: Collection[str] = ()) -> None:
        """Fills a message from a document.

        `path` is put before the names of refused fields; fields in `bound` were given in another place and are refused.

        Raises:
            JsonFormError: Something does not fit.
        """
        reading = _Reading(self)
        _fill(message, document, path, reading, bound)
        if reading.violations:
            raise JsonFormError(reading.violations)

    def read_texts(self, texts: Mapping[str, Sequence[str]], message: Message, *, bound: Collection[str] = ()) -> None:
        """Fills a message from texts by field, as a query string has them; `bound` as in `read`.

        Raises:
            JsonFormError: Something does not fit.
        """
        reading = _Reading(self)
        fields: dict[str, Any] = dict(message.DESCRIPTOR.fields_by_name)
        accepted = [name for name in fields if name not in bound]
        for name, values in texts.items():
            if name not in accepted:
                reading.unknown(name, accepted)
                continue
            try:
                _set_texts(fields[name], message, values, reading)
            except _Refused as refusal:
                reading.refuse_field(fields[name], name, values[0], str(refusal))
        if reading.violations:
            raise JsonFormError(reading.violations)


@dataclass(slots=True)
class _Reading:
    form: JsonForm
    violations: list[Violation] = field(default_factory=list)

    def add(self, path: str, given: str, accepts: str) -> None:
        # A key may be half a character, which no message can hold.
        self.violations.append(Violation(path.encode(errors="replace").decode(), given, accepts))

    def refuse(self, path: str, value: object, accepts: str) -> None:
        self.add(path, self.form.show(value), accepts)

    def refuse_field(self, item: Any, path: str, value: object, accepts: str) -> None:
        if is_secret(item):
            self.add(path, "something else, which is not shown", accepts)
        else:
            self.refuse(path, value, accepts)

    def unknown(self, path: str, accepted: Collection[str]) -> None:
        self.add(path, "an unknown field", ", ".join(sorted(accepted)) or "nothing")

    def is_absent(self, value: object) -> bool:
        return value is None and self.form.null_is_absent


class _Refused(Exception):
    """A value does not fit; the text says what is accepted."""


_Setter = Callable[[Message, Any, str, _Reading], None]


def _fill(message: Message, document: object, path: str, reading: _Reading, bound: Collection[str] = ()) -> None:
    if not isinstance(document, Mapping):
        reading.refuse(path or "document", document, "an object")
        return
    setters = _setters(message.DESCRIPTOR)
    for key, value in document.items():
        field_path = f"{path}.{key}" if path else str(key)
        setter = None if key in bound else setters.get(key)
        if setter is None:
            reading.unknown(field_path, setters.keys() - set(bound))
            continue
        try:
            setter(message, value, field_path, reading)
        except _Refused as refusal:
            reading.refuse_field(message.DESCRIPTOR.fields_by_name[key], field_path, value, str(refusal))


def _with_payload(document: object, fields: Collection[str], path: str, reading: _Reading) -> object:
    """The document with the keys that are no fields gathered under `payload`."""
    if not isinstance(document, Mapping):
        return document
    others = {key: value for key, value in document.items() if key not in fields}
    if not others:
        return document
    if PAYLOAD in document:
        accepted = ", ".join(sorted(fields))
        for key in others:
            accepts = f"{accepted}, or other keys as the payload when there is no {PAYLOAD}"
            reading.add(f"{path}.{key}", f"an unknown field beside {PAYLOAD}", accepts)
        return {key: value for key, value in document.items() if key in fields}
    return {**{key: value for key, value in document.items() if key in fields}, PAYLOAD: others}


@functools.cache
def _setters(descriptor: Descriptor) -> dict[str, _Setter]:
    return {item.name: _setter(item) for item in descriptor.fields}


def _setter(item: FieldDescriptor) -> _Setter:
    choice = item.containing_oneof
    # A field that is optional stands in a choice by itself.
    if choice is not None and len(choice.fields) > 1:
        return functools.partial(_set_chosen, choice.name, item.name, _plain_setter(item))
    return _plain_setter(item)


def _plain_setter(item: FieldDescriptor) -> _Setter:
    if is_map(item):
        return functools.partial(_set_map, item.name)
    if item.is_repeated:
        return functools.partial(_set_repeated, item)
    if item.message_type is not None:
        return functools.partial(_set_message, item)
    return functools.partial(_set_scalar, item.name, _scalar_reader(item))


def _set_chosen(
    choice: str, name: str, setter: _Setter, message: Message, value: Any, path: str, reading: _Reading
) -> None:
    chosen = message.WhichOneof(choice)
    if chosen not in (None, name):
        raise _Refused(f"either this or {chosen}")
    setter(message, value, path, reading)


def _set_scalar(
    name: str, read: Callable[[Any], object], message: Message, value: Any, _path: str, reading: _Reading
) -> None:
    if read is _read_json or not reading.is_absent(value):
        setattr(message, name, read(value))


def _set_map(name: str, message: Message, value: Any, path: str, reading: _Reading) -> None:
    if reading.is_absent(value):
        return
    if not isinstance(value, Mapping):
        raise _Refused("an object of strings")
    target = getattr(message, name)
    for key, item in value.items():
        try:
            target[_read_str(key)] = _read_str(item)
        except _Refused as refusal:
            reading.refuse(f"{path}.{key}", item, str(refusal))


def _set_repeated(item: FieldDescriptor, message: Message, value: Any, path: str, reading: _Reading) -> None:
    if reading.is_absent(value):
        return
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise _Refused("a list")
    target = getattr(message, item.name)
    read = None if item.message_type is not None else _scalar_reader(item)
    for index, element in enumerate(value):
        element_path = f"{path}[{index}]"
        if read is None:
            _fill(target.add(), element, element_path, reading)
            continue
        try:
            target.append(read(element))
        except _Refused as refusal:
            reading.refuse(element_path, element, str(refusal))


def _set_message(item: FieldDescriptor, message: Message, value: Any, path: str, reading: _Reading) -> None:
    if reading.is_absent(value):
        return
    target = getattr(message, item.name)
    # An empty plan or hook given is not the same as none given.
    target.SetInParent()
    if isinstance(target, Timestamp):
        _set_time(target, value)
    elif is_list(target.DESCRIPTOR):
        _set_repeated(target.DESCRIPTOR.fields[0], target, value, path, reading)
    elif item.name in reading.form.payload_fields:
        _fill(target, _with_payload(value, target.DESCRIPTOR.fields_by_name, path, reading), path, reading)
    else:
        _fill(target, value, path, reading)


def _set_time(target: Timestamp, value: Any) -> None:
    try:
        target.FromJsonString(value)
    except (ValueError, TypeError, AttributeError):
        raise _Refused("an RFC 3339 time") from None


def _scalar_reader(item: FieldDescriptor) -> Callable[[Any], object]:
    if is_json_document(item):
        return _read_json
    if item.enum_type is not None:
        return functools.partial(_read_enum, enum_names(item.enum_type))
    if item.type in INT_LIMITS:
        return functools.partial(_read_int, *INT_LIMITS[item.type])
    return _READERS[item.type]


def json_text(value: object) -> str:
    """The JSON document of a value, as short as it can be.

    Raises:
        TypeError, ValueError, RecursionError: It has none.
    """
    # Numbers are the commonest payload, and the encoder sets itself up anew for each value.
    return str(value) if type(value) is int else _JSON.encode(value)


def _read_json(value: Any) -> str:
    try:
        text = json_text(value)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise _Refused("a JSON value") from None
    return text


def _read_enum(names: Mapping[str, int], value: Any) -> int:
    if not isinstance(value, str) or value not in names:
        raise _Refused("one of " + ", ".join(names))
    return names[value]


def _read_int(low: int, high: int, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        # JSON has one kind of numbers: 1.0 is as whole as 1.
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Refused(f"a whole number from {low} to {high}")
    return value


def _read_float(value: Any) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise _Refused("a number")


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


def _set_texts(item: FieldDescriptor, message: Message, values: Sequence[str], reading: _Reading) -> None:
    if item.message_type is not None:
        raise _Refused("nothing here: it belongs into the body")
    read = _scalar_reader(item)
    if not item.is_repeated:
        if len(values) > 1:
            reading.add(item.name, f"{len(values)} values", "one")
            return
        setattr(message, item.name, read(_plain(item, values[0])))
        return
    target = getattr(message, item.name)
    for index, value in enumerate(values):
        try:
            target.append(read(_plain(item, value)))
        except _Refused as refusal:
            reading.refuse(f"{item.name}[{index}]", value, str(refusal))


def _plain(item: FieldDescriptor, text: str) -> object:
    """The JSON value that a text stands for; the text itself where it stands for none, which is then refused."""
    if item.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if item.type in INT_LIMITS or item.type == FieldDescriptor.TYPE_DOUBLE:
        try:
            value: object = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, int | float) else text
    return text
