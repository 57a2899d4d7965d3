"""`python -m tests.simulation`: many runs, each from a seed of its own; the first bad ones are told in full."""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice

from mitosis_common.processes import set_parent_death_signal
from tests.simulation.damage import Damage, damaged
from tests.simulation.lockstep import LockstepEngine
from tests.simulation.statements import never_used
from tests.simulation.store import ModelEngine
from tests.simulation.world import Outcome, run

_TOLD = 3
_CHUNK = 10


def main() -> int:
    """Run, and return 1 when something happened that must not."""
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of texts have an order, and a seed stands for one order of events alone.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    seed = random.randrange(1_000_000_000) if options.seed is None else options.seed
    print(f"seeds {seed} to {seed + options.runs - 1}", flush=True)
    began = time.monotonic()
    seeds = range(seed, seed + options.runs)
    steps = count = 0
    bad: list[Outcome] = []
    for outcome in _outcomes(seeds, options):
        count += 1
        steps += outcome.steps
        if outcome.violation is not None:
            bad.append(outcome)
            if options.first:
                break
        elif outcome.digest is not None:
            print(f"seed {outcome.seed}: digest {outcome.digest}, {outcome.virtual_seconds:.1f} s of virtual time")
    for outcome in bad[:_TOLD]:
        _tell(outcome, options)
    if options.database is not None:
        print(f"statements that were not compared: {', '.join(never_used()) or 'none'}")
    seconds = time.monotonic() - began
    print(f"{count} runs, {steps} transactions, {seconds:.1f} s: {len(bad)} bad")
    return 1 if bad else 0


def _outcomes(seeds: range, options: argparse.Namespace) -> Iterator[Outcome]:
    digest = options.digests or len(seeds) == 1
    run_some = partial(_run_some, damage=options.damage, digest=digest, database_url=options.database)
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    if options.jobs == 1 or len(chunks) == 1 or options.database is not None:
        for chunk in chunks:
            yield from run_some(chunk)
        return
    with ProcessPoolExecutor(options.jobs, initializer=set_parent_death_signal) as pool:
        waiting = iter(chunks)
        # A few ahead, so that a bad run ends the rest soon.
        ahead = deque(pool.submit(run_some, chunk) for chunk in islice(waiting, 2 * options.jobs))
        while ahead:
            yield from ahead.popleft().result()
            ahead.extend(pool.submit(run_some, chunk) for chunk in islice(waiting, 1))


def _run_some(seeds: range, damage: Damage | None, digest: bool, database_url: str | None) -> list[Outcome]:
    # What was imported is never garbage, and need not be looked through after each run.
    gc.freeze()
    make_engine = ModelEngine if database_url is None else partial(LockstepEngine, database_url=database_url)
    with damaged(damage):
        return [run(seed, digest=digest, make_engine=make_engine) for seed in seeds]


def _tell(outcome: Outcome, options: argparse.Namespace) -> None:
    again = f"make simulate SEED={outcome.seed} RUNS=1"
    if options.damage is not None:
        again += f" ARGS='--damage {options.damage}'"
    print(f"\nseed {outcome.seed}: {outcome.violation}\nagain: {again}")
    for line in outcome.trace[-options.lines :]:
        print(line[:400])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many seeds, one after the other")
    parser.add_argument("--seed", type=int, help="the first seed; by chance when none is given")
    parser.add_argument("--jobs", type=int, default=min(4, len(os.sched_getaffinity(0))), help="processes")
    parser.add_argument("--lines", type=int, default=60, help="lines of the trace to print for a bad run")
    parser.add_argument("--digests", action="store_true", help="print what tells one run from another")
    parser.add_argument("--first", action="store_true", help="end at the first bad run")
    parser.add_argument(
        "--database", metavar="URL", help="compare the model with this database, statement by statement"
    )
    parser.add_argument("--damage", type=Damage, choices=list(Damage), help="break something on purpose")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
