"""What the gradients of slices move: each put into zeros of its own and added, or straight to where they belong.

python3 bench/parts.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

import tinyres as tr
from tinyres.capture.listing import call_bytes

ROWS, COLUMNS = 256, 1024


def measured(fn: Callable[[], object]) -> tuple[int, float, float]:
    """Calls, megabytes moved and milliseconds of a captured step."""
    step = tr.capture(fn)
    step()
    program = step.program.program
    times = []
    for _ in range(20):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    moved = sum(call_bytes(program, call) for call in program.calls)
    return len(program.calls), moved / 1e6, min(times) * 1e3


def main() -> None:
    x = tr.tensor(np.ones((ROWS, COLUMNS)), requires_grad=True)
    c = tr.tensor(np.ones(ROWS * COLUMNS))

    def loss() -> tr.Tensor:
        return (tr.concatenate([x[i] for i in range(ROWS)]) * c).sum()

    def added() -> list[tr.Tensor]:
        return tr.grad(loss(), [x], create_graph=True)  # ops only: `place`, then `add`

    def parts() -> list[tr.Tensor]:
        return tr.grad(loss(), [x])

    print(f"{ROWS} row slices of a tensor of {x.size * 4 / 1e6:.3g} MB, joined again, and their gradient, captured")
    print(f"{'':<28}{'calls':>7}{'MB moved':>10}{'ms':>8}")
    for name, fn, passes in (
        ("zeros and sums", added, None),
        ("parts", parts, "-place"),
        ("parts, no zeros (the default)", parts, None),
    ):
        if passes is not None:
            os.environ["TINYRES_PASSES"] = passes
        calls, moved, ms = measured(fn)
        os.environ.pop("TINYRES_PASSES", None)
        print(f"{name:<30}{calls:>5}{moved:>10.4g}{ms:>8.3g}")


if __name__ == "__main__":
    main()
