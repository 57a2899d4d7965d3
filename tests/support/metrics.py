"""What a process exposes for Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
_ROW = re.compile(r"^\| `(mitosis_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


def documented(section: str = "") -> dict[str, set[str]]:
    """The labels of every series that the page of metrics lists, in the section of that name or in all."""
    text = PAGE.read_text(encoding="utf-8")
    if section:
        text = text.partition(f"<!-- generated: {section} -->")[2].partition("<!-- end")[0]
    found: dict[str, set[str]] = {}
    for name, kind, column in _ROW.findall(text):
        labels = set(re.findall(r"`(\w+)`", column))
        if kind == "histogram":
            found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    return found


@dataclass(frozen=True)
class Scrape:
    """Everything that one scrape found."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
    labels: Mapping[str, frozenset[str]]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series, named by all of its labels; None when there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def series(self, name: str) -> list[dict[str, str]]:
        """The labels of every series of a name."""
        return [dict(labels) for found, labels in self.samples if found == name]


def parse(text: str) -> Scrape:
    """Read an exposition."""
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    labels: dict[str, frozenset[str]] = {}
    for name, pairs in samples:
        labels[name] = labels.get(name, frozenset()) | {label for label, _ in pairs}
    return Scrape(samples, labels)


async def scrape(url: str) -> Scrape:
    """Scrape a process."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return parse(await response.text())
