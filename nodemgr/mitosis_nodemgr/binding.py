"""Which worker may run on which processor cores. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum


class CpuBinding(StrEnum):
    """The three bindings, spelled as in configuration and JSON."""

    ROUND_ROBIN = "RoundRobin"
    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"


class BindingRefusedError(Exception):
    """The machine does not have the cores that the plan asks for."""


def bind(
    binding: CpuBinding, worker_count: int, allowed: Collection[int], wanted: Collection[int] = ()
) -> list[frozenset[int]]:
    """Returns the cores of each worker.

    `allowed` are the cores that the manager may use; `wanted`, when not empty, narrows them. With `EXCLUSIVE` all cores
    are dealt out evenly and no core has two owners; with `ROUND_ROBIN` worker i gets core i modulo their number; with
    `SHARED` every worker gets all. Raises `BindingRefusedError` when there are too few.
    """
    cores = sorted(set(allowed) & set(wanted) if wanted else set(allowed))
    if not cores:
        raise BindingRefusedError(
            f"none of the cores {_numbers(wanted)} is among those that this manager may use: {_numbers(allowed)}"
        )
    if binding is CpuBinding.SHARED:
        return [frozenset(cores)] * worker_count
    if binding is CpuBinding.ROUND_ROBIN:
        return [frozenset({cores[worker % len(cores)]}) for worker in range(worker_count)]
    if worker_count > len(cores):
        raise BindingRefusedError(
            f"cpu_binding Exclusive needs a core for each of {worker_count} workers; "
            f"this manager has {len(cores)} to give: {_numbers(cores)}"
        )
    return _shares(cores, worker_count)


def _shares(cores: Sequence[int], worker_count: int) -> list[frozenset[int]]:
    """Deals neighbouring cores to the same worker: they tend to share a cache."""
    size, larger = divmod(len(cores), worker_count)
    shares: list[frozenset[int]] = []
    start = 0
    for worker in range(worker_count):
        end = start + size + (worker < larger)
        shares.append(frozenset(cores[start:end]))
        start = end
    return shares


def _numbers(cores: Collection[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores)) or "none"
