"""Bars as SVG, without a library: what there is to draw does not need one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.results import Bars, amount

WIDTH = 720
_LABELS, _VALUES = 190, 110
_BAR, _GAP, _TITLE = 18, 6, 34
_STYLE = (
    "text { font: 12px sans-serif; fill: #333 } .title { font-weight: bold } "
    "rect.page { fill: #fff } rect.bar { fill: #4878a8 } rect.ours { fill: #c0504d }"
)
_OURS = "Mitosis"


def draw(charts: Sequence[Bars]) -> str:
    """One drawing of all charts below each other; each has a scale of its own, from zero."""
    parts: list[str] = []
    top = 10
    for chart in charts:
        parts += _chart(chart, top)
        top += _TITLE + len(chart.values) * (_BAR + _GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">\n'
        f'<style>{_STYLE}</style>\n<rect class="page" width="{WIDTH}" height="{top}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _chart(chart: Bars, top: int) -> list[str]:
    longest = max((value for value in chart.values.values()), default=0.0)
    parts = [f'<text class="title" x="10" y="{top + 16}">{escape(chart.title)}</text>']
    for number, (label, value) in enumerate(chart.values.items()):
        y = top + _TITLE - 8 + number * (_BAR + _GAP)
        width = max(value, 0.0) / longest * (WIDTH - _LABELS - _VALUES) if longest > 0 else 0.0
        kind = "ours" if label.startswith(_OURS) else "bar"
        parts += [
            f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}"/>',
            f'<text x="{_LABELS + width + 6:.1f}" y="{y + 13}">{escape(amount(value, chart.unit))}</text>',
        ]
    return parts
