"""Print the times of attention beside PyTorch's: `python3 bench/attention.py`.

Causal attention, forward and its gradients to queries, keys and values, in µs, medians of calls in turn. PyTorch has
one thread and the faster of two layouts: its own, heads before tokens, and ours seen through a transpose. `two` is
tinyres on two threads, `GFLOP/s` what one reaches of the products that a causal mask needs, which are half of all.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import peers

import tinyres as tr
from tinyres.backends import native
from tinyres.engine.op import Context
from tinyres.engine.tensor import Tensor
from tinyres.ops.attention import ATTENTION

TURNS = 15


class Size(NamedTuple):
    """(batch, tokens, heads, dim) of queries, keys and values."""

    batch: int
    tokens: int
    heads: int
    dim: int

    @property
    def flop(self) -> float:
        """Of the two products of the forward pass; the gradients have five."""
        return 2 * 2 * self.batch * self.heads * self.tokens**2 * self.dim / 2


SIZES = (Size(32, 64, 4, 32), Size(4, 256, 4, 32), Size(1, 1024, 8, 64))


def main() -> int:
    print(f"{native.isa()}, one thread; {peers.versions()}")
    print(f"{'batch/tokens/heads/dim':<24}{'':<10}{'tinyres':>9}{'two':>9}{'torch':>9}{'x torch':>9}{'GFLOP/s':>9}")
    for size in SIZES:
        ways = ours(size)
        seconds = timed({**ways, **theirs(size)})
        native.set_threads(2)
        shared = timed(ways)
        native.set_threads(1)
        for what, products in (("forward", 1.0), ("gradients", 2.5)):
            one, two = seconds[what], shared[what]
            peer = min((s for name, s in seconds.items() if name.startswith(f"torch {what}")), default=float("nan"))
            print(
                f"{'/'.join(map(str, size)):<24}{what:<10}{one * 1e6:>9,.0f}{two * 1e6:>9,.0f}{peer * 1e6:>9,.0f}"
                f"{peer / one:>9.2f}{products * size.flop / one / 1e9:>9.0f}",
                flush=True,
            )
    return 0


def arrays_of(size: Size) -> list[np.ndarray]:
    """Queries, keys, values and the gradient of what comes of them."""
    random = np.random.default_rng(0)
    return [random.normal(size=size).astype("float32") for _ in range(4)]


def ours(size: Size) -> dict[str, Callable[[], object]]:
    q, k, v, g = (tr.tensor(a, requires_grad=True) for a in arrays_of(size))
    y = tr.dot_product_attention(q, k, v, is_causal=True)
    assert ATTENTION.fast_vjp is not None and y.node is not None
    ctx, rule = Context(y.node, (True, True, True), connected=False), ATTENTION.fast_vjp

    def forward() -> Tensor:
        with tr.no_grad():
            return tr.dot_product_attention(q, k, v, is_causal=True)

    def gradients() -> object:
        return rule(g, ctx)

    return {"forward": forward, "gradients": gradients}


def theirs(size: Size) -> dict[str, Callable[[], object]]:
    """The ways of PyTorch, if it is installed."""
    if not peers.installed("torch"):
        return {}
    torch: Any = peers.load("torch")
    attention = torch.nn.functional.scaled_dot_product_attention
    ways: dict[str, Callable[[], object]] = {}
    for layout in ("heads before tokens", "heads inside"):
        turned = [torch.tensor(a).transpose(1, 2) for a in arrays_of(size)]
        q, k, v, g = (t if layout == "heads inside" else t.contiguous() for t in turned)
        leaves = [t.detach().requires_grad_(True) for t in (q, k, v)]
        y = attention(*leaves, is_causal=True)

        def forward(leaves: Any = leaves) -> object:
            with torch.no_grad():
                return attention(*leaves, is_causal=True)

        def gradients(y: Any = y, leaves: Any = leaves, g: Any = g) -> object:
            return torch.autograd.grad(y, leaves, g, retain_graph=True)

        ways |= {f"torch forward, {layout}": forward, f"torch gradients, {layout}": gradients}
    return ways


def timed(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, the median of calls that take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, run in ways.items():
            begin = time.perf_counter()
            run()
            if turn > 0:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


if __name__ == "__main__":
    raise SystemExit(main())
