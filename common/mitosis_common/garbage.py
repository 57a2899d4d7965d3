"""How often the interpreter looks for cycles of garbage, in a process that serves."""

import gc

# The defaults, 700, 10 and 10, look at what is young a thousand times a second while tasks flow, and rarely find
# anything: what is made for a task is freed by its reference count.
_THRESHOLDS = (20_000, 10, 20)


def settle() -> None:
    """Leave everything that was loaded so far out of every later look. Call it once, when the process is ready.

    Modules and classes stay for ever, and a full look at the hundred thousand objects that they are stops everything
    for 50 ms and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
