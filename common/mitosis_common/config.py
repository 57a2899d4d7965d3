"""Configuration from one YAML file and the environment, with every mistake reported at once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mitosis_common.yaml_loader import describe_yaml_error, load_yaml

M = TypeVar("M", bound=BaseModel)

ENV_PREFIX = "MITOSIS_"
ENV_SEPARATOR = "__"

# What a reader needs to know is what is accepted; pydantic's own words are the fallback.
_ACCEPTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a section: a mapping of keys to values",
    "model_type": "a section: a mapping of keys to values",
    "path_type": "a path",
    "string_type": "a text",
    "tuple_type": "a list",
}
_BOUNDS = (("ge", "at least {}"), ("gt", "more than {}"), ("le", "at most {}"), ("lt", "less than {}"))


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds one line for each mistake, none with the value of a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(
    model: type[M],
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    env_names: Mapping[str, str] | None = None,
) -> M:
    """Build a model from a YAML file and the environment, which wins.

    `env_names` gives names of their own to dotted paths, as in `{"DATABASE_URL": "database.url"}`; every field can also
    be set as `MITOSIS_<SECTION>__<FIELD>`. Texts from the environment are converted by the model; a field that is a
    list, a mapping or a section takes YAML. An empty variable counts as not set. Variables that start with `MITOSIS_`
    and hold no `__` belong to other parts of the product and are left alone.

    Raises ConfigError with every problem at once, each as `<where>: <field>: given <value>; accepts <what>`.
    """
    problems: list[str] = []
    document: dict[str, Any] = {}
    if path is not None:
        document = _read_yaml(path, problems)
        if problems:
            # What the file may hold would be reported as missing.
            raise ConfigError(problems)
    sources: dict[str, str] = {}
    for name, value in sorted(environ.items()):
        dotted = (env_names or {}).get(name) or _generic_path(name)
        if dotted is None or value == "":
            continue
        if not _put(document, dotted.split("."), _parse_env(model, dotted.split("."), value)):
            problems.append(f"{name}: {dotted} lies inside something that the file says is not a section")
            continue
        sources[dotted] = name
    loaded: M | None = None
    try:
        loaded = model.model_validate(document)
    except ValidationError as error:
        problems += [_describe(model, details, path, sources) for details in error.errors(include_url=False)]
    if problems or loaded is None:
        raise ConfigError(problems)
    return loaded


def _read_yaml(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        loaded = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 at byte {error.start}")
    except yaml.YAMLError as error:
        line, problem = describe_yaml_error(error)
        problems.append(f"{path}: {f'line {line}: ' if line else ''}not valid YAML: {problem}")
    else:
        if loaded is None:
            return {}
        if isinstance(loaded, dict):
            return loaded
        problems.append(f"{path}: accepts a mapping of keys to values at the top, holds a {type(loaded).__name__}")
    return {}


def _generic_path(name: str) -> str | None:
    if not name.startswith(ENV_PREFIX) or ENV_SEPARATOR not in name:
        return None
    return name.removeprefix(ENV_PREFIX).lower().replace(ENV_SEPARATOR, ".")


def _field(model: type[BaseModel], location: Sequence[object]) -> FieldInfo | None:
    """Find the field that a path leads to; None where it leads out of the models."""
    current: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for part in location:
        if current is None or not isinstance(part, str):
            return field
        field = current.model_fields.get(part) or next(
            (candidate for candidate in current.model_fields.values() if part == candidate.alias), None
        )
        if field is None:
            return None
        current = _section(field)
    return field


def _section(field: FieldInfo) -> type[BaseModel] | None:
    candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _parse_env(model: type[BaseModel], location: Sequence[str], value: str) -> object:
    """Read YAML where the field wants a structure, so that a text such as `no` or `1e3` stays one everywhere else."""
    field = _field(model, location)
    if field is None or (_section(field) is None and not _holds_structure(field.annotation)):
        return value
    try:
        return load_yaml(value)
    except yaml.YAMLError:
        return value


def _holds_structure(annotation: object) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    if isinstance(origin, type):
        return issubclass(origin, list | tuple | Mapping | set | frozenset)
    return any(_holds_structure(argument) for argument in getattr(annotation, "__args__", ()))


def _put(document: dict[str, Any], location: Sequence[str], value: object) -> bool:
    *sections, last = location
    for section in sections:
        if document.get(section) is None:
            document[section] = {}
        inner: object = document[section]
        if not isinstance(inner, dict):
            return False
        document = inner
    document[last] = value
    return True


def _describe(model: type[BaseModel], details: ErrorDetails, path: Path | None, sources: Mapping[str, str]) -> str:
    location = details["loc"]
    dotted = ".".join(str(part) for part in location if not str(part).startswith("function-"))
    # A variable that sets a key of a section that is not known is what makes that section.
    unknown = details["type"] == "extra_forbidden" and isinstance(details["input"], Mapping)
    where = next(
        (
            name
            for known, name in sources.items()
            if dotted == known or dotted.startswith(f"{known}.") or (unknown and known.startswith(f"{dotted}."))
        ),
        None,
    )
    prefix = ": ".join(filter(None, [where or (str(path) if path else "configuration"), dotted]))

    if details["type"] == "missing":
        return f"{prefix}: is required"
    field = _field(model, location)
    if details["type"] == "extra_forbidden":
        return f"{prefix}: is not a known key; {_siblings(model, location)}"
    accepts = _accepts(details, field)
    if field is None or _is_secret(field) or isinstance(details["input"], Mapping):
        return f"{prefix}: accepts {accepts}" if field and not _is_secret(field) else f"{prefix}: {_own_words(details)}"
    given = f'"{details["input"]}"' if isinstance(details["input"], str) else str(details["input"])
    return f"{prefix}: given {given[:100]}; accepts {accepts}"


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in getattr(field.annotation, "__args__", ())


def _accepts(details: ErrorDetails, field: FieldInfo | None) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected']}"
    if kind in ("value_error", "assertion_error"):
        # A validator's own message already says what is accepted.
        return _own_words(details)
    bounds = [
        words.format(getattr(item, name))
        for item in (field.metadata if field else ())
        for name, words in _BOUNDS
        if getattr(item, name, None) is not None
    ]
    base = _ACCEPTED.get(kind)
    if base is None and bounds and field is not None:
        base = "a whole number" if field.annotation is int else "a number" if field.annotation is float else None
    if base is None:
        return details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{base}, {' and '.join(bounds)}" if bounds else base


def _own_words(details: ErrorDetails) -> str:
    """The message of an error without the kind that pydantic puts before that of a validator."""
    own = details["type"] in ("value_error", "assertion_error")
    return (details["msg"].partition(", ")[2] if own else "") or details["msg"]


def _siblings(model: type[BaseModel], location: Sequence[object]) -> str:
    section = model if len(location) == 1 else (_section(field) if (field := _field(model, location[:-1])) else None)
    return f"there are {', '.join(sorted(section.model_fields))}" if section else "nothing is accepted here"
