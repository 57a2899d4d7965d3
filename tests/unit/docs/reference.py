"""What docs/operations/configuration.md has to say of each key, read from the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from mitosis_coordinator import config as coordinator
from mitosis_nodemgr import config as manager
from mitosis_worker import config as worker

_BOUNDS = (("ge", "≥ {}"), ("gt", "> {}"), ("le", "≤ {}"), ("lt", "< {}"), ("min_length", "{} or more characters"))
_WORDS: Mapping[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text, secret",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: where it is, what it accepts, its default, and the environment variable that sets it, if one can."""

    where: str
    key: str
    accepts: str
    default: str
    variable: str


def coordinator_rows() -> list[Key]:
    """The coordinator's keys."""
    return list(_rows("coordinator", coordinator.CoordinatorConfig, coordinator.ENV_NAMES))


def manager_rows() -> list[Key]:
    """The manager's keys."""
    return list(_rows("manager", manager.ManagerConfig, manager.ENV_NAMES))


def worker_rows() -> list[Key]:
    """The independent worker's keys."""
    return list(_rows("worker", worker.WorkerConfig, worker.ENV_NAMES))


def _rows(where: str, model: type[BaseModel], names: Mapping[str, str]) -> Iterator[Key]:
    by_key = {key: name for name, key in names.items()}
    for section, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, leaf in inner.model_fields.items():
                key = f"{section}.{name}"
                generic = f"MITOSIS_{section}__{name}".upper()
                yield Key(where, key, _accepts(leaf), _default(leaf), by_key.get(key, generic))
        else:
            # A variable needs a section in its name.
            yield Key(where, section, _accepts(field), _default(field), "")


def _accepts(field: FieldInfo) -> str:
    kind, bounds = _kind(field.annotation)
    own = [item for item in map(_bound, field.metadata) if item]
    return ", ".join([kind, *dict.fromkeys([*own, *bounds])])


def _kind(annotation: Any) -> tuple[str, list[str]]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        word, bounds = _kind(arguments[0])
        return word, [*bounds, *filter(None, map(_bound, _flat(arguments[1:])))]
    if origin in (Union, UnionType):
        return _kind(next(item for item in arguments if item is not NoneType))
    if origin is Literal:
        return " or ".join(f"`{item}`" for item in arguments), []
    if origin is tuple:
        return "list", []
    if origin is not None and issubclass(origin, Mapping):
        return "mapping", []
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{item.value}`" for item in annotation), []
    return _WORDS[annotation], []


def _flat(metadata: tuple[object, ...]) -> Iterator[object]:
    for item in metadata:
        # A `Field(...)` inside `Annotated` carries its own list.
        yield from item.metadata if isinstance(item, FieldInfo) else [item]


def _bound(item: object) -> str:
    return ", ".join(
        words.format(getattr(item, name)) for name, words in _BOUNDS if getattr(item, name, None) is not None
    )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _computed(field)
    value = field.default
    match value:
        case None | "" | ():
            return "none"
        case bool():
            return str(value).lower()
        case Enum():
            return f"`{value.value}`"
        case str():
            return f"`{value}`"
        case _:
            return f"{value:g}" if isinstance(value, float) else str(value)


def _computed(field: FieldInfo) -> str:
    """Say how a default is found that depends on the machine."""
    factory = getattr(field.default_factory, "__name__", "")
    return {
        "default_data_dir": "`$XDG_DATA_HOME/mitosis/coordinator`",
        "usable_cores": "the usable cores",
        "runtime_dir": "`$XDG_RUNTIME_DIR/mitosis`",
        "_data_dir": "`$XDG_STATE_HOME/mitosis/manager`",
        "dict": "none",
    }[factory]
