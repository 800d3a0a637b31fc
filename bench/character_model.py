"""Print a train step of a character model beside PyTorch's: `python3 bench/character_model.py`.

4 blocks of 4 heads, 128 wide, windows of 64 characters of 66, 32 of them; softmax cross-entropy, gradients clipped by
their common norm, AdamW: 10.6 GFLOP in matrix products, scores that a causal mask hides among them. PyTorch runs
eagerly and, where there is a C++ compiler, compiled (`torch.compile`); queries, keys and values are one product there,
attention and AdamW its fused ones. Steps take turns, medians in ms; `floor` is the time of the products at the peak
that the same run has measured. With two threads everything has two, and the floor is half.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import roofline

from stepping import settle, train_step

import tinyres as tr
from tinyres.backends import native

CHARACTERS, CONTEXT, BATCH, BLOCKS, HEADS, WIDTH = 66, 64, 32, 4, 4, 128
RATE, DECAY, CLIP = 1e-3, 0.1, 1.0
WARM_UP, SPAN = 3, 2  # steps before any is timed, and of one contender in a row in each turn: the first one is not

Step = Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(description="A train step of a character model beside PyTorch's.")
    parser.add_argument("--turns", type=int, default=11, help="in which each contender steps twice (default: 11)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes a minute")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    ids, following = random.integers(0, CHARACTERS, (2, BATCH, CONTEXT))
    steps = {"tinyres": in_tinyres(ids, following)}
    if peers.installed("torch"):
        steps |= in_torch(ids, following, compiled=not options.no_compile)
    print(f"{native.isa()}; {peers.versions()}; {products() / 1e9:.2f} GFLOP a step")
    print(f"{'':<10}{'floor':>8}" + "".join(f"{name:>16}" for name in steps) + f"{'x floor':>9}{'x peer':>8}")
    alone: dict[str, float] = {}
    for threads in (1, 2):
        set_threads(threads)
        floor, ms = timed(steps, options.turns, threads)
        best = min([ms[name] for name in steps if name != "tinyres"], default=math.nan)
        print(
            f"{threads} thread{'s' * (threads > 1):<2}{floor:>8.1f}" + "".join(f"{ms[name]:>16.1f}" for name in steps)
            + f"{ms['tinyres'] / floor:>9.2f}{best / ms['tinyres']:>8.2f}", flush=True,
        )  # fmt: skip
        alone = alone or ms
    print("two against one: " + ", ".join(f"{name} {alone[name] / ms[name]:.2f}" for name in steps))
    return 0


def products() -> float:
    """Floating point operations of the matrix products of a step, forward and to both operands."""
    tokens = BATCH * CONTEXT
    weights = BLOCKS * 12 * WIDTH**2 + CHARACTERS * WIDTH
    attention = BLOCKS * 2 * tokens * CONTEXT * WIDTH
    return 3 * 2 * (tokens * weights + attention)


def set_threads(count: int) -> None:
    native.set_threads(count)
    if peers.installed("torch"):
        peers.load("torch").set_num_threads(count)


def timed(steps: dict[str, Step], turns: int, threads: int) -> tuple[float, dict[str, float]]:
    """The floor and the median of each contender, in ms."""
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    if threads > 1:
        settle(steps["tinyres"])
    times: dict[str, list[float]] = {name: [] for name in steps}
    peaks = []
    for _ in range(turns):
        peaks.append(roofline.fma_peak())
        for name, step in steps.items():
            for k in range(SPAN):
                start = time.perf_counter()
                step()
                if k:
                    times[name].append((time.perf_counter() - start) * 1e3)
    return products() / max(peaks) / threads * 1e3, {name: statistics.median(found) for name, found in times.items()}


def in_tinyres(ids: np.ndarray, following: np.ndarray) -> Step:
    tr.manual_seed(0)
    model = tr.applications.gpt(CHARACTERS, CONTEXT, BLOCKS, HEADS, WIDTH, activation=None)
    optimizer = tr.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, clip_norm=CLIP)
    step = tr.capture(train_step(model, optimizer))
    return lambda: step(ids, following)


def in_torch(ids: np.ndarray, following: np.ndarray, compiled: bool) -> dict[str, Step]:
    torch = peers.load("torch")
    steps = {"torch eager": _torch_step(torch, *_torch_model(torch), ids, following)}
    if compiled:
        model, parameters = _torch_model(torch)
        try:
            step = _torch_step(torch, torch.compile(model), parameters, ids, following)
            step()
            steps["torch.compile"] = step
        except Exception as error:  # no C++ compiler, or one that it cannot use
            print(f"torch.compile is left out: {type(error).__name__}")
    return steps


def _torch_step(torch: Any, model: Any, parameters: Any, ids: np.ndarray, following: np.ndarray) -> Step:
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY, fused=True)
    x, y = torch.tensor(ids), torch.tensor(following).flatten()

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return float(loss.detach())

    return step


def _torch_model(torch: Any) -> tuple[Any, list[Any]]:
    """The same net in PyTorch's layers, as a function of ids, and its parameters."""
    nn, functional = torch.nn, torch.nn.functional
    torch.manual_seed(0)

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
            self.projections, self.joined = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any) -> Any:
            heads = self.projections(self.norms[0](x)).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(*heads, is_causal=True)
            x = x + self.joined(y.transpose(1, 2).flatten(2))
            return x + self.mlp(self.norms[1](x))

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(CHARACTERS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks, self.norm = nn.Sequential(*[Block() for _ in range(BLOCKS)]), nn.LayerNorm(WIDTH)
            self.apply(lambda part: nn.init.normal_(part.weight, std=0.02) if hasattr(part, "embedding_dim") else None)

        def forward(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.positions.weight
            return functional.linear(self.norm(self.blocks(x)), self.tokens.weight)

    model = Net()
    return model, list(model.parameters())


if __name__ == "__main__":
    raise SystemExit(main())
