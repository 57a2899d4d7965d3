"""What becomes of samples: rates of tenths, rounds in turn, the page and the drawing."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.draining import decile_rates
from benchmarks.peers.rounds import OURS, PeerFailed, alternate
from benchmarks.plot import draw
from benchmarks.report import page
from benchmarks.results import Bars, Report, Row, Run, amount, at_least, below, percentile, scaled


def test_a_steady_suite_has_ten_equal_tenths() -> None:
    samples = [(second / 2, 50 * second) for second in range(21)]

    assert decile_rates(samples, 1000) == pytest.approx([100.0] * 10)


def test_a_suite_that_slows_down_shows_it_in_the_tenths_that_were_slow() -> None:
    samples = [(0.0, 0), (5.0, 500), (15.0, 1000)]

    assert decile_rates(samples, 1000) == pytest.approx([100.0] * 5 + [50.0] * 5)


def test_tenths_that_pass_between_two_samples_share_their_rate() -> None:
    assert decile_rates([(0.0, 0), (2.0, 1000)], 1000) == pytest.approx([500.0] * 10)


def test_a_peer_that_fails_is_left_out_from_then_on_and_spoils_nothing() -> None:
    calls: list[str] = []

    def ours() -> float:
        calls.append("ours")
        return 300.0

    def slow() -> float:
        calls.append("slow")
        return 100.0

    def broken() -> float:
        calls.append("broken")
        raise PeerFailed("no wheel")

    measured = alternate(2, {OURS: ours, "broken": broken, "slow": slow})

    assert calls == ["ours", "broken", "slow", "ours", "slow"]
    assert measured.medians == {OURS: 300.0, "slow": 100.0}
    assert measured.ratio("slow", "tasks/s", 4) == Row(
        "Mitosis by slow", "3", "300 and 100 tasks/s", "3.00", "at least 4", False
    )
    assert measured.ratio("broken", "tasks/s", 4) == Row(
        "Mitosis by broken", "not measured", "no wheel", target="at least 4"
    )


def test_a_failure_of_our_own_is_not_hidden() -> None:
    def broken() -> float:
        raise RuntimeError("3 of 4 tasks completed")

    with pytest.raises(RuntimeError, match="3 of 4"):
        alternate(2, {OURS: broken})


def test_targets_are_met_from_the_right_side() -> None:
    assert at_least("rate", 8000, "tasks/s", 8000).reached is True
    assert at_least("rate", 7999, "tasks/s", 8000).reached is False
    assert below("wait", 5.0, "ms", 5).reached is False
    assert below("wait", 4.99, "ms", 5) == Row("wait", "4.99 ms", target="under 5 ms", reached=True)


def test_amounts_have_about_three_digits() -> None:
    assert [amount(value, "s") for value in (0.5, 12.34, 1234.5, 5.0)] == ["0.50 s", "12.3 s", "1,234 s", "5 s"]


def test_percentiles_and_sizes() -> None:
    assert [percentile(range(101), part) for part in (0, 50, 95, 100)] == [0, 50, 95, 100]
    assert (scaled(1000, 0.01), scaled(1000, 0.0001, 5)) == (10, 5)


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    report = Report("drain", [below("wait", 4.0, "ms", 5)], {"samples": [1.0]}, [Bars("rates", "/s", {"10 %": 1.0})])
    run = Run.of("bench", ["drain"], 0.5, [report])
    run.write(tmp_path / "deep" / "run.json")

    assert Run.read(tmp_path / "deep" / "run.json") == run
    assert run.command == "make bench ARGS='drain --scale 0.5'"


def test_the_page_says_first_what_was_not_reached() -> None:
    rows = [below("fast", 1.0, "ms", 5), below("slow", 9.0, "ms", 5), Row("a|b", "1")]
    text = page([Run("2026-01-01 10:00 UTC", "make bench", "2 cores", 1.0, [Report("latency", rows)])], "plot.svg")

    assert "## Not reached\n\n- slow: 9 ms, promised under 5 ms\n\n## `make bench`" in text
    assert "| latency | fast | 1 ms |  |  | under 5 ms | yes |" in text
    assert "| latency | a\\|b | 1 |" in text
    assert "plot.svg" not in text


def test_bars_are_as_long_as_their_values() -> None:
    drawing = ElementTree.fromstring(draw([Bars("<rates>", "/s", {"Mitosis": 200.0, "other": 50.0, "none": 0.0})]))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in drawing.iter(f"{space}rect") if bar.attrib["class"] != "page"]

    assert widths[1] == pytest.approx(widths[0] / 4)
    assert widths[2] == 0
    assert "<rates>" in [text.text for text in drawing.iter(f"{space}text")]
