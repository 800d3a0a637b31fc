"""Layer, RMS and group normalisation, forward and backward, beside PyTorch: kernels alone, on one thread, interleaved.

python3 bench/norms.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import one_thread  # noqa: F401  before NumPy

import numpy as np  # isort: skip
import peers

import tinyres as tr
from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer, from_array
from tinyres.kernels.dtypes import FLOAT32
from tinyres.kernels.record import RMS
from tinyres.launch import launch

TURNS, EPSILON = 60, 1e-5
# By name: samples, positions, channels, groups.
CASES = {
    "layer (2048, 128)": (2048, 1, 128, 1),
    "layer (2048, 768)": (2048, 1, 768, 1),
    "rms (2048, 128)": (2048, 1, 128, 1),
    "group (32, 28, 28, 32), 8 groups": (32, 784, 32, 8),
}
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def ours(sizes: tuple[int, ...], rms: bool, arrays: dict[str, np.ndarray]) -> Pair:
    samples, _, channels, groups = sizes
    x, g, gamma, beta = (from_array(arrays[name], FLOAT32) for name in ("x", "g", "gamma", "beta"))
    y, mean, rstd = (Buffer(n, FLOAT32) for n in (x.size, samples * groups, samples * groups))
    dx, dgamma, dbeta = (Buffer(n, FLOAT32) for n in (x.size, channels, channels))
    flags = RMS if rms else 0
    if rms:
        mean = beta = dbeta = ABSENT

    def forward() -> None:
        launch(kernels.groupnorm, (y, mean, rstd), (x, gamma, beta), sizes, (EPSILON,), flags)

    def backward() -> None:
        launch(kernels.groupnorm_grad, (dx, dgamma, dbeta), (g, x, mean, rstd, gamma), sizes, (), flags)

    return forward, backward


def theirs(sizes: tuple[int, ...], rms: bool, arrays: dict[str, np.ndarray]) -> Pair | None:
    """PyTorch's kernels, with channels second, as they like it best; for RMS it has no backward kernel of its own."""
    if not peers.installed("torch"):
        return None
    torch = peers.load("torch")
    samples, positions, channels, groups = sizes
    shape = (samples, channels) if positions == 1 else (samples, channels, positions)
    x, g = (torch.tensor(arrays[name]).reshape(shape) for name in ("x", "g"))
    gamma, beta = torch.tensor(arrays["gamma"]), torch.tensor(arrays["beta"])
    aten = torch.ops.aten
    if rms:
        leaf = x.clone().requires_grad_()
        scale = gamma.clone().requires_grad_()
        made = torch.nn.functional.rms_norm(leaf, (channels,), scale, EPSILON)
        return (
            lambda: torch.nn.functional.rms_norm(x, (channels,), gamma, EPSILON),
            lambda: torch.autograd.grad(made, (leaf, scale), g, retain_graph=True),
        )
    if positions == 1:
        _, mean, rstd = aten.native_layer_norm(x, [channels], gamma, beta, EPSILON)
        wanted = [True, True, True]
        return (
            lambda: aten.native_layer_norm(x, [channels], gamma, beta, EPSILON),
            lambda: aten.native_layer_norm_backward(g, x, [channels], mean, rstd, gamma, beta, wanted),
        )
    _, mean, rstd = aten.native_group_norm(x, gamma, beta, samples, channels, positions, groups, EPSILON)
    extent = samples, channels, positions, groups
    return (
        lambda: aten.native_group_norm(x, gamma, beta, *extent, EPSILON),
        lambda: aten.native_group_norm_backward(g, x, mean, rstd, gamma, *extent, [True, True, True]),
    )


def medians(runs: list[Callable[[], Any]]) -> list[float]:
    """Microseconds of each, taken in turn."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(TURNS + 5):
        for run, taken in zip(runs, times):
            start = time.perf_counter()
            run()
            if turn >= 5:
                taken.append(1e6 * (time.perf_counter() - start))
    return [float(np.median(taken)) for taken in times]


def main() -> None:
    info = tr.info()
    print(f"{info['isa']}; {peers.versions()}; one thread, medians of {TURNS} turns, µs")
    print(f"{'':<36}{'tinyres':>9}{'torch':>9}{'x torch':>9}{'GB/s':>7}")
    rng = np.random.default_rng(0)
    for name, sizes in CASES.items():
        samples, positions, channels, _ = sizes
        items = samples * positions * channels
        arrays = {key: rng.normal(size=items).astype(np.float32) for key in ("x", "g")}
        arrays |= {key: rng.normal(size=channels).astype(np.float32) for key in ("gamma", "beta")}
        rms = name.startswith("rms")
        mine, other = ours(sizes, rms, arrays), theirs(sizes, rms, arrays)
        for i, (direction, moved) in enumerate((("forward", 2), ("backward", 3))):
            runs = [mine[i]] if other is None else [mine[i], other[i]]
            took = medians(runs)
            peer = f"{took[1]:>9.0f}{took[1] / took[0]:>9.2f}" if other is not None else f"{'-':>9}{'-':>9}"
            rate = moved * 4e-3 * items / took[0]
            print(f"{name + ', ' + direction:<45}{took[0]:>6.0f}{peer}{rate:>7.1f}")


if __name__ == "__main__":
    main()
