"""What the documented JSON form needs to know of a field: read from the descriptors, the same for every part."""

from __future__ import annotations

import functools
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import options_pb2

INT_LIMITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}


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
def enum_numbers(enum: EnumDescriptor) -> dict[int, str]:
    """Returns the documented name of each number of an enum, without the zero."""
    return {number: name for name, number in enum_names(enum).items()}


def is_json_document(field: FieldDescriptor) -> bool:
    """Tells whether a string field holds one JSON document, shown as itself."""
    # The stubs of descriptor and of extension disagree about the same object.
    return bool(field.GetOptions().Extensions[cast(Any, options_pb2.json_document)])


def is_secret(field: FieldDescriptor) -> bool:
    """Tells whether a field's value may appear in no error and no log."""
    return bool(field.GetOptions().Extensions[cast(Any, options_pb2.secret)])


def is_map(field: FieldDescriptor) -> bool:
    """Tells whether a field is a map; all of the contract's are from string to string."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_timestamp(message: Descriptor | None) -> bool:
    """Tells whether a message is a moment, shown as RFC 3339 text."""
    return message is not None and message.full_name == Timestamp.DESCRIPTOR.full_name


def is_list(message: Descriptor | None) -> bool:
    """Tells whether a message wraps a list that must be told apart from no list (`LabelList`), shown as the list."""
    return message is not None and [inner.name for inner in message.fields] == ["values"]
