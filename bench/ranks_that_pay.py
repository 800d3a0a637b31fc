"""Where more ranks pay, by a model and by a simulation up to 1,024: `python3 bench/ranks_that_pay.py --step 60`.

A step of one rank takes `step` ms of work, of which 1/ranks is left to each in strong scaling, and all of it in weak
scaling. Then every rank sends its bucket but its own part out, and that part's sum round: 2·(ranks - 1)/ranks·bytes, in
2·log2(ranks) turns of `latency` each, at `bandwidth`; and all wait for the slowest, whose work varies by `jitter`. The
model is step/ranks + exchange; the simulation draws every rank's work and lets each message start when its ranks are
there, by recursive halving and doubling. `hidden` is strong scaling were the exchange done beside all of backward, two
thirds of the work: what that could bring at most. `python3 bench/over_ranks.py` measures what stands in it.
"""

from __future__ import annotations

import argparse

import numpy as np

RANKS = [2**i for i in range(11)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Where more ranks pay: strong and weak scaling to 1,024 ranks.")
    parser.add_argument("--step", type=float, default=60.0, help="ms of a step on one rank (default: 60)")
    parser.add_argument("--bytes", type=float, default=4.3e6, help="of the bucket (default: 4.3e6)")
    parser.add_argument("--latency", type=float, default=20.0, help="µs of a message (default: 20)")
    parser.add_argument("--bandwidth", type=float, default=1.2, help="GB/s of a link (default: 1.2, 10 Gbit/s)")
    parser.add_argument("--fixed", type=float, default=0.5, help="ms of a step that no rank takes over (default: 0.5)")
    parser.add_argument(
        "--jitter", type=float, default=0.03, help="standard deviation of a rank's work (default: 0.03)"
    )
    parser.add_argument("--steps", type=int, default=200, help="that are simulated (default: 200)")
    options = parser.parse_args()
    print(
        f"step {options.step:g} ms, bucket {options.bytes / 1e6:g} MB, "
        f"{options.latency:g} µs a message, {options.bandwidth:g} GB/s"
    )
    print(
        f"{'ranks':>6}{'exchange':>10}{'strong':>9}{'hidden':>9}{'simulated':>11}{'times':>7}{'weak':>9}{'simulated':>11}{'of':>6}"
    )
    for ranks in RANKS:
        sent = exchange(options, ranks)
        strong, weak = (options.fixed + options.step / share + sent for share in (ranks, 1))
        seen, seen_weak = (simulated(options, ranks, options.step / share) for share in (ranks, 1))
        alone, work = options.fixed + options.step, options.step / ranks
        hidden = options.fixed + work / 3 + max(2 * work / 3, sent)
        print(
            f"{ranks:>6}{sent:>10.2f}{strong:>9.2f}{hidden:>9.2f}{seen:>11.2f}{alone / seen:>7.1f}"
            f"{weak:>9.2f}{seen_weak:>11.2f}{alone / seen_weak:>6.2f}"
        )
    print(
        f"strong scaling is at its best on {best(options)} ranks; it pays where the exchange takes less than it spares"
    )
    return 0


def exchange(options: argparse.Namespace, ranks: int) -> float:
    """ms of the sums: out and round, each in log2(ranks) turns."""
    moved = 2 * (ranks - 1) / ranks * options.bytes / (options.bandwidth * 1e6)
    return moved + 2 * np.log2(ranks) * options.latency / 1e3


def best(options: argparse.Namespace) -> int:
    return min(RANKS, key=lambda ranks: options.step / ranks + exchange(options, ranks))


def simulated(options: argparse.Namespace, ranks: int, work: float) -> float:
    """The median step of ranks that meet pairwise: a pair goes on when both are there."""
    random, taken = np.random.default_rng(0), []
    numbers = np.arange(ranks)
    for _ in range(options.steps):
        clock = options.fixed + work * np.maximum(0.5, random.normal(1.0, options.jitter, ranks))
        distances = [2**i for i in range(int(np.log2(ranks)))]
        for distance in [*reversed(distances), *distances]:  # halving the bucket, then doubling it again
            part = options.bytes * distance / ranks
            clock = np.maximum(clock, clock[numbers ^ distance])
            clock = clock + options.latency / 1e3 + part / (options.bandwidth * 1e6)
        taken.append(clock.max())
    return float(np.median(taken))


if __name__ == "__main__":
    raise SystemExit(main())
