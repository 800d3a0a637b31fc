"""Print how long a train step takes, in turns with all peers: `python3 bench/train_step_table.py [--quick]`.

The contenders of a size are built first, must agree on the first loss, and are then timed in turns of a few steps, so
that whatever else the machine does hits all alike. Numbers are medians over the turns, in µs per step on one thread.
floor: the FLOPs of the matrix products at the measured peak of one core. captured: tinyres. Ratios are of the times of
the same turns; generic and fallback are captured steps too, by the core's instruction set for any processor, and by
NumPy where there is no core. The notes under the table are tinyres against itself: on two threads, with the gradient
norm of every layer watched, and the recording of a step in eager steps; and the fallback against NumPy by hand.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import argparse
import gc
import math
import os
import statistics
import sys
import time

import peers
import roofline
from steps import CONTENDERS, OURS, PEERS, SIZES, Size, Step, gemm_flops

import tinyres as tr

TURN_SECONDS = 10e-3
_setting: object = None  # what tinyres was given last
COLUMNS = {
    "numpy": ["numpy by hand"],
    "torch": ["torch eager"],
    "fused": ["torch fused optimizer"],
    "jax": ["jax jit", "jax jit, scanned"],
    "eager": ["tinyres eager"],
    "captured": [OURS],
    "generic": [f"{OURS}, generic"],
    "fallback": [f"{OURS}, NumPy"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Time one train step of a residual MLP in tinyres and its peers.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="batch/units/blocks, separated by commas")
    parser.add_argument("--turns", type=int, default=21, help="how often each contender gets its turn (default 21)")
    parser.add_argument("--quick", action="store_true", help="three turns of the three smallest sizes")
    options = parser.parse_args()
    sizes = [Size(*map(int, size.split("/"))) for size in options.sizes.split(",")]
    sizes, turns = (sizes[:3], 3) if options.quick else (sizes, options.turns)
    print(machine(), f"peak {roofline.fma_peak() / 1e9:.0f} GFLOP/s per core, {turns} turns", sep="\n")
    print(f"{'batch/units/blocks':<19}{'floor':>8}" + "".join(f"{name:>10}" for name in COLUMNS), end="")
    print(f"{'x peer':>9}{'x torch':>9}{'x floor':>9}")
    times = {}
    for size in sizes:
        times[size] = time_in_turns(size, turns)
        print(row(size, times[size]), flush=True)
    print("\n".join(notes(times)))
    return 0


def machine() -> str:
    """What ran this, for whoever reads the table later."""
    info = tr.info()
    return f"{info.get('isa', 'no C core')}, {os.cpu_count()} CPUs; Python {sys.version.split()[0]}, {peers.versions()}"


def time_in_turns(size: Size, turns: int) -> dict[str, list[float]]:
    """Seconds per step of each available contender, one number per turn; "capture" is the first call of ours."""
    names = [name for name, contender in CONTENDERS.items() if contender.is_available]
    steps = {name: CONTENDERS[name].make(size) for name in names}
    first = {}
    for name, step in steps.items():
        CONTENDERS[name].set_up()
        start = time.perf_counter()
        first[name] = float(step())  # type: ignore[arg-type]
        if name == OURS:
            capturing = time.perf_counter() - start
    if max(first.values()) - min(first.values()) > 1e-4 * abs(first[OURS]):
        raise SystemExit(f"the contenders do not compute the same loss at {size}: {first}")
    counts = {name: _steps_per_turn(name, step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    for _ in range(turns):
        for name, step in steps.items():
            times[name].append(_turn(name, step, counts[name]))
    gc.enable()
    times["capture"] = [capturing]
    return times


def _steps_per_turn(name: str, step: Step) -> int:
    _turn(name, step, 2)
    return max(1, round(TURN_SECONDS / _turn(name, step, 1)))


def _turn(name: str, step: Step, count: int) -> float:
    global _setting
    if CONTENDERS[name].setting != _setting:
        CONTENDERS[name].set_up()
        _setting = CONTENDERS[name].setting
        step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def ratio(above: list[float], below: list[float]) -> float:
    """The median over the turns of above / below."""
    return statistics.median([a / b for a, b in zip(above, below)])


def fastest_peer(times: dict[str, list[float]]) -> str:
    return min((name for name in PEERS if name in times), key=lambda name: statistics.median(times[name]))


def row(size: Size, times: dict[str, list[float]]) -> str:
    floor = gemm_flops(size) / roofline.fma_peak()
    cells = []
    for names in COLUMNS.values():
        medians = [statistics.median(times[name]) for name in names if name in times]
        cells.append(f"{min(medians) * 1e6:>10,.0f}" if medians else f"{'-':>10}")
    ours = times[OURS]
    torch = f"{ratio(times['torch eager'], ours):>9.1f}" if "torch eager" in times else f"{'-':>9}"
    return (
        f"{size!s:<19}{floor * 1e6:>8,.0f}{''.join(cells)}{ratio(times[fastest_peer(times)], ours):>9.2f}{torch}"
        f"{statistics.median(ours) / floor:>9.2f}"
    )


def notes(times: dict[Size, dict[str, list[float]]]) -> list[str]:
    """What the rows say together."""
    against_peers = {size: ratio(t[fastest_peer(t)], t[OURS]) for size, t in times.items()}
    worst = min(against_peers, key=against_peers.__getitem__)
    mean = math.exp(statistics.fmean(map(math.log, against_peers.values())))
    lines = [f"against the fastest peer: geometric mean {mean:.2f}, least {against_peers[worst]:.2f} at {worst}"]
    for text, above, below in (
        ("two threads against one: ", OURS, f"{OURS}, 2 threads"),
        ("every layer's gradient watched, against not: ", "tinyres fit, watched", "tinyres fit"),
        ("without the core against NumPy by hand: ", f"{OURS}, NumPy", "numpy by hand"),
    ):
        each = [f"{ratio(t[above], t[below]):.2f}" for t in times.values()]
        lines.append(text + ", ".join(each))
    capture = [f"{t['capture'][0] / statistics.median(t['tinyres eager']):.1f}" for t in times.values()]
    return [*lines, "recording a step, in eager steps: " + ", ".join(capture)]


if __name__ == "__main__":
    raise SystemExit(main())
