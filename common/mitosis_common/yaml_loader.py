"""YAML as it is read from every file of a user."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

try:
    # Ten times as fast, and not in every build of PyYAML.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

_MERGE_TAG = "tag:yaml.org,2002:merge"


class UniqueKeyLoader(SafeLoader):
    """YAML 1.2 forbids a key twice; PyYAML silently lets the last one win, which hides half of a merge conflict."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Returns the mapping of a node. Raises `yaml.MarkedYAMLError`."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_TAG:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(None, None, "keys are texts", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f'the key "{key}" is there twice', key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Returns the document of a text. Raises `yaml.YAMLError`."""
    return yaml.load(text, Loader=UniqueKeyLoader)  # noqa: S506 - a safe loader


def describe_yaml_error(error: yaml.YAMLError) -> tuple[int | None, str]:
    """Returns the line, from 1, and what is wrong with it.

    The piece of the text that `str(error)` shows is left out: it may hold a secret.
    """
    if not isinstance(error, yaml.MarkedYAMLError):
        return None, "it holds characters that YAML does not allow"
    return error.problem_mark.line + 1 if error.problem_mark else None, str(error.problem)
