"""The marker says which task runs, and is never believed when it is torn."""

import multiprocessing
import struct
import time
from pathlib import Path

import pytest

from mitosis_common.marker import RunningTask, TaskMarker, TaskMarkerReader, create_marker


def test_it_says_what_runs_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    create_marker(path)
    with TaskMarker(path) as marker, TaskMarkerReader(path) as reader:
        assert reader.read() is None
        before = time.monotonic_ns()
        marker.begin(7)
        running = reader.read()
        assert running is not None
        assert running.ordinal == 7
        assert before <= running.started_ns <= time.monotonic_ns()
        marker.end()
        assert reader.read() is None


def test_a_half_written_marker_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    create_marker(path)
    with TaskMarkerReader(path) as reader:
        path.write_bytes(struct.pack("=3Q", 3, 1000, 2 ^ 900))
        assert reader.read() is None
        path.write_bytes(struct.pack("=3Q", 3, 1000, 3 ^ 1000))
        assert reader.read() == RunningTask(3, 1000)


def test_a_successor_does_not_overwrite_what_the_reader_of_a_dead_worker_sees(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    create_marker(path)
    with TaskMarker(path) as marker, TaskMarkerReader(path) as reader:
        marker.begin(1)
        create_marker(path)
        running = reader.read()
        assert running is not None
        assert running.ordinal == 1


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    path.write_bytes(b"1234")
    with pytest.raises(ValueError, match="4 bytes"):
        TaskMarker(path)


def _write(path: Path, count: int) -> None:
    with TaskMarker(path) as marker:
        for ordinal in range(1, count + 1):
            marker.begin(ordinal)
            marker.end()


def test_ordinal_and_start_belong_together_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    create_marker(path)
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(path, 100_000))
    seen: list[RunningTask] = []
    with TaskMarkerReader(path) as reader:
        process.start()
        while process.is_alive():
            running = reader.read()
            if running is not None:
                seen.append(running)
        process.join()
    assert process.exitcode == 0
    assert seen == sorted(seen, key=lambda running: (running.ordinal, running.started_ns))
    starts: dict[int, int] = {}
    for running in seen:
        assert starts.setdefault(running.ordinal, running.started_ns) == running.started_ns
