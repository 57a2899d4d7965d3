"""Child processes: bounded tails, groups that end, and exit codes in words."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis_common import processes
from mitosis_common.processes import OutputTail


def test_a_short_output_is_kept_whole() -> None:
    tail = OutputTail(16)
    tail.write("grün".encode())
    assert (tail.text(), tail.total_bytes, tail.dropped_bytes) == ("grün", 5, 0)


def test_a_character_cut_at_the_start_is_left_out_and_one_at_the_end_is_marked() -> None:
    tail = OutputTail(8)
    tail.write("€€b".encode() + b"cd\xe2")
    assert tail.dropped_bytes == 2
    assert tail.text() == "bcd\ufffd"


def test_nul_is_replaced() -> None:
    tail = OutputTail(16)
    tail.write(b"a\0b")
    assert tail.text() == "a\ufffdb"


@given(st.lists(st.binary(max_size=40)), st.integers(1, 32))
def test_a_tail_is_always_bounded_and_storable(chunks: list[bytes], limit: int) -> None:
    tail = OutputTail(limit)
    for chunk in chunks:
        tail.write(chunk)
    whole = b"".join(chunks)
    text = tail.text()
    assert tail.total_bytes == len(whole)
    assert tail.dropped_bytes == max(0, len(whole) - limit)
    assert len(text.encode()) <= limit
    assert "\0" not in text


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(1, 32), st.integers(1, 9)
)
def test_the_tail_of_well_formed_text_is_its_end(text: str, limit: int, step: int) -> None:
    encoded, tail = text.encode(), OutputTail(limit)
    for start in range(0, len(encoded), step):
        tail.write(encoded[start : start + step])
    assert text.endswith(tail.text())
    assert len(encoded) - len(tail.text().encode()) <= max(0, len(encoded) - limit) + 3


@pytest.mark.parametrize(
    ("returncode", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-11, "killed by SIGSEGV"), (-200, "killed by signal 200")],
)
def test_exit_codes_in_words(returncode: int, words: str) -> None:
    assert processes.describe_exit(returncode) == words


@pytest.mark.parametrize("pgid", [-1, 0, 1])
def test_never_signals_everybody(pgid: int) -> None:
    with pytest.raises(ValueError, match="one group"):
        processes.signal_group(pgid, signal.SIGTERM)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_a_child_ends_with_its_parent() -> None:
    child = (
        "import time\nfrom mitosis_common import processes\n"
        "processes.set_parent_death_signal()\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    parent = (
        f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(p.pid, flush=True)\np.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while runs(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
