"""Finds the commands in a page's shell examples."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_HEREDOC = re.compile(r"<<-?'?(?P<word>\w+)'?(?P<rest>.*?)\n.*?^(?P=word)$", re.DOTALL | re.MULTILINE)
_PUNCTUATION = frozenset("();<>|&")
# What may stand before a command.
_BEFORE = re.compile(r"[A-Za-z_]\w*=.*|do|then|else|if|while|!|sudo|nice|\$")
_AS_USER = ["sudo", "-u"]


def fences(page: str, *languages: str) -> list[str]:
    """The code blocks of a page that are in one of these languages."""
    return [found["text"] for found in _FENCE.finditer(page) if found["language"] in languages]


def simple_commands(script: str) -> Iterator[list[str]]:
    """Every simple command of a script as its words, without redirections and without what is set for it.

    Variables stay as they are written; what stands in `$(...)` is a command of its own.
    """
    for line in _logical_lines(_HEREDOC.sub(r"\g<rest>", script)):
        words: list[str] = []
        redirected = False
        for token in _tokens(line):
            if token and set(token) <= _PUNCTUATION:
                redirected = token[0] in "<>"
                if not redirected:
                    yield from _finished(words)
                    words = []
            elif redirected:
                redirected = False
            else:
                words.append(token)
        yield from _finished(words)


def _logical_lines(script: str) -> Iterator[str]:
    """Lines, with those that a backslash or an open quotation continues."""
    waiting = ""
    for line in script.splitlines():
        waiting += line
        if waiting.endswith("\\"):
            waiting = waiting.removesuffix("\\")
            continue
        try:
            _tokens(waiting)
        except ValueError:
            waiting += "\n"
            continue
        yield waiting
        waiting = ""
    if waiting.strip():
        raise ValueError(f"an open quotation: {waiting}")


def _tokens(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _finished(words: list[str]) -> Iterator[list[str]]:
    while words and _BEFORE.fullmatch(words[0]):
        words = words[3:] if words[:2] == _AS_USER else words[1:]
    if words:
        yield words
