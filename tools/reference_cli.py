"""The page of the command line, from the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer

from mitosis_client.cli.app import app

_HEAD = """# Command line reference

Every command and option of `mitosis`. [The command line](cli.md) says what they have in common: where the coordinator
is, exit codes, JSON. `tools/reference.py` writes this page from the commands; it is not edited.
"""
# Values without a name of their own, by type; the words of a choice stand for themselves.
_WORDS = {"float": "NUMBER", "int": "NUMBER", "int range": "NUMBER", "list[str]": "TEXT", "path": "PATH", "str": "TEXT"}
_EVERYWHERE = {"help", "install_completion", "show_completion"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with what is typed for it, `mitosis` itself first."""
    root = typer.main.get_command(app)
    yield "mitosis", root
    yield from _below("mitosis", root)


def render() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(path, command) for path, command in commands())


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        inner = f"{path} {name}"
        yield from _below(inner, command) if hasattr(command, "commands") else [(inner, command)]


def _section(path: str, command: Any) -> str:
    own = [parameter for parameter in command.params if parameter.name not in _EVERYWHERE]
    arguments = [parameter for parameter in own if parameter.param_type_name == "argument"]
    options = [parameter for parameter in own if parameter.param_type_name == "option"]
    usage = [path, *(["[OPTIONS]"] if options else []), *map(_shown, arguments)]
    if hasattr(command, "commands"):
        usage.append("COMMAND")
    rows = [f"| `{_shown(item)}` | {_meaning(item)} |" for item in arguments]
    context = typer.Context(command)
    rows += [f"| {_names(item, context)} | {_meaning(item)} |" for item in options]
    table = "\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"\n## {path}\n\n```\n{' '.join(usage)}\n```\n\n{_text(command.help)}\n{table}"


def _shown(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: Any, context: typer.Context) -> str:
    kind = option.display_type(context).strip("<>")
    value = f" {option.metavar or _WORDS.get(kind, kind)}" if kind != "bool" else ""
    names = [f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
    short = [f"`{name}`" for name in option.opts if not name.startswith("--")]
    return _cell(", ".join([*short, *names]))


def _meaning(parameter: Any) -> str:
    words = [_text(parameter.help)]
    bounds = [f"{word} {bound}" for word, bound in (("at least", parameter.min), ("at most", parameter.max)) if bound]
    if bounds:
        words.append(f"{' and '.join(bounds).capitalize()}.")
    if parameter.required and parameter.param_type_name == "option":
        words.append("Required.")
    default = parameter.default
    if default not in (None, False) and not callable(default) and not parameter.required:
        words.append(f"Default: {default}.")
    if parameter.envvar:
        words.append(f"Environment: `{parameter.envvar}`.")
    return _cell(" ".join(filter(None, words)))


def _text(text: str | None) -> str:
    """A help text with its paragraphs, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
