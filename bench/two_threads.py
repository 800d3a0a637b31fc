"""Print what a second thread can bring to a train step, and what it does: `python3 bench/two_threads.py`.

A step is a chain: every layer needs all of what the layer before it made, so two workers exchange halves of their
results at every matrix product, and wait for one another. `waits` counts these waits in the step, `exchange` is what
one of them costs at least: one core raises a flag, the other sees it and fetches half an activation. The best that two
threads could do is half of the time of one plus all exchanges: `at best`. All of it is measured in the same run, in
turn the list for one, that for two by columns and rows, and that in which both do each large call; `two` is the faster
of the last, as a captured step takes it.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import argparse
import functools
import statistics
import time
from dataclasses import replace

import roofline
from steps import SIZES, Size
from steps.in_tinyres import train_step
from steps.task import batch_of, first_weights

import tinyres as tr
from tinyres.backends import native
from tinyres.kernels.record import AHEAD, ALONE
from tinyres.capture.halves import in_halves
from tinyres.capture.plan import pack
from tinyres.capture.workers import PlacedCall, Share, all_together, plan_workers

TURNS = 15


def main() -> int:
    parser = argparse.ArgumentParser(description="Two threads against one, and the limit that two cores set.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="batch/units/blocks, separated by commas")
    sizes = [Size(*map(int, size.split("/"))) for size in parser.parse_args().sizes.split(",")]
    for nbytes in (0, 4096, 65536):
        print(f"wait for the other core and fetch {nbytes:>6,} bytes: {roofline.exchange_seconds(nbytes) * 1e6:.2f} µs")
    heads = f"{'one µs':>9}{'two µs':>9}{'waits':>7}{'exchange':>10}{'two : one':>11}{'at best':>9}"
    print(f"{'batch/units/blocks':<19}{heads}")
    for size in sizes:
        print(row(size), flush=True)
    return 0


def row(size: Size) -> str:
    waits, alone, shared = both_ways(size)
    exchange = roofline.exchange_seconds(size.batch * size.units * 4 // 2)
    best = alone / (alone / 2 + waits * exchange)
    return (
        f"{size!s:<19}{alone * 1e6:>9,.0f}{shared * 1e6:>9,.0f}{waits:>7}{exchange * 1e6:>10.2f}"
        f"{alone / shared:>11.2f}{best:>9.2f}"
    )


def both_ways(size: Size) -> tuple[int, float, float]:
    """The waits of the list for two, and the medians on one worker and on two, run in turn."""
    x, labels = batch_of(size)
    step = tr.capture(train_step(size, first_weights(size)))
    step(x, labels)
    executable = step.program.executable
    calls = [PlacedCall(call, *executable.operands(call), 0.0) for call in executable.program.calls]
    costs = [native.cost(pack(p.call, p.outs, p.ins, 0)) for p in calls]
    planned = plan_workers(in_halves(calls))
    together = all_together([replace(p, cost=cost) for p, cost in zip(calls, costs)])
    lists = (
        [pack(p.call, p.outs, p.ins, Share(ALONE).bits | AHEAD) for p in calls],
        *([pack(p.call, p.outs, p.ins, share.bits) for p, share in shared] for shared in (planned, together)),
    )
    times: list[list[float]] = [[] for _ in lists]
    native.set_threads(2)
    for _ in range(TURNS):
        for way, packed in enumerate(lists):
            run = functools.partial(native.run, b"".join(packed), len(packed))
            run()  # wakes or loses the worker
            start = time.perf_counter()
            run()
            times[way].append(time.perf_counter() - start)
    native.set_threads(1)
    alone, *shared = map(statistics.median, times)
    return sum(share.waits for _, share in planned), alone, min(shared)


if __name__ == "__main__":
    raise SystemExit(main())
