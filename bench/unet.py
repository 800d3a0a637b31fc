"""Print what a train step of a U-Net takes beside PyTorch's: `python3 bench/unet.py [--batch 32] [--size 28]`.

Noise prediction on images of one channel: two levels of 32 and 64 filters, GroupNorm, SiLU, a time embedding added in
every block, residual blocks, skips across by Concatenate, Adam. All start from the same weights, must agree on the
first loss, and take turns; numbers are medians in ms, of one thread the processor's, so that others who work on the
machine at the same time count less; `x floor` is of the least. PyTorch runs eagerly, with channels before pixels and
behind them, and compiled with --compiled. floor: the FLOPs of all products (forward, and of the gradients both) at the
measured peak of one core, of two on two threads.

Seen on two cores with AVX2, one thread: floor 180, PyTorch 337, channels last 324, tinyres 254
(the best of them 1.36 times the floor; 1.42 to 1.44 in other runs); two: floor 90, PyTorch 173, tinyres 139.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import roofline
from stepping import settle

import tinyres as tr
from tinyres import layers
from tinyres.backends import native

WIDTHS = (32, 64)
Step = Callable[[], float]


def main() -> int:
    parser = argparse.ArgumentParser(description="Time one train step of a U-Net in tinyres and PyTorch.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=28, help="height and width of the images")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile too: a minute more, takes a C++ compiler"
    )
    options = parser.parse_args()
    tr.manual_seed(0)
    model = tr.applications.unet((options.size, options.size, 1), widths=WIDTHS, time=True)
    data = batch_of(options.batch, options.size)
    flop = flop_of(model, options.batch)
    peak = roofline.fma_peak()
    print(f"{native.isa()}, peak {peak / 1e9:.0f} GFLOP/s per core, {flop / 1e9:.1f} GFLOP a step; {peers.versions()}")
    steps = {**theirs(model, data, options.compiled), "tinyres": ours(model, data)}
    losses = {name: step() for name, step in steps.items()}
    first = losses["tinyres"]
    assert all(abs(loss - first) <= 1e-4 * abs(first) for loss in losses.values()), losses
    print(f"{'threads':<9}{'floor':>8}" + "".join(f"{name:>20}" for name in steps) + f"{'x floor':>9}{'x torch':>9}")
    for threads in (1, 2):
        native.set_threads(threads)
        if peers.installed("torch"):
            peers.load("torch").set_num_threads(threads)
        if threads > 1:
            settle(steps["tinyres"])
        times = timed(steps, options.turns, time.process_time if threads == 1 else time.perf_counter)
        found = {name: statistics.median(own) for name, own in times.items()}
        floor, own = flop / peak / threads, found.pop("tinyres")
        told = "".join(f"{seconds * 1e3:>20,.0f}" for seconds in [*found.values(), own])
        best, least = min(found.values(), default=float("nan")), min(times["tinyres"])
        print(f"{threads:<9}{floor * 1e3:>8,.0f}{told}{least / floor:>9.2f}{best / own:>9.2f}", flush=True)
    return 0


def batch_of(batch: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy images, times, noise."""
    random = np.random.default_rng(0)
    images, noise = (random.normal(size=(batch, size, size, 1)).astype("float32") for _ in range(2))
    return images, random.integers(0, 1000, batch).astype("float32"), noise


def flop_of(model: tr.Model, batch: int) -> float:
    """Of the products: forward, and of the gradients of what is multiplied and of weights; the input has none."""
    total = 0.0
    for step in model.steps:
        if isinstance(step.layer, (layers.Conv2D, layers.Dense)):
            inside = step.call.outputs.shape[1:-1]
            products = 2.0 * batch * float(np.prod(inside or (1,))) * float(np.prod(step.layer.kernel.shape))
            total += products * (2 if step.path in ("stem", "time_hidden") else 3)
    return total


def ours(model: tr.Model, data: tuple[np.ndarray, ...]) -> Step:
    optimizer = tr.optim.Adam(list(model.trainable_weights), lr=1e-3, epsilon=1e-7)

    @tr.capture
    def step(images: tr.Tensor, times: tr.Tensor, noise: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.mse(model([images, times], training=True), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    given = [tr.tensor(each) for each in data]
    return lambda: float(step(*given))


def theirs(model: tr.Model, data: tuple[np.ndarray, ...], compiled: bool) -> dict[str, Step]:
    """The ways of PyTorch, if it is installed."""
    if not peers.installed("torch"):
        return {}
    torch: Any = peers.load("torch")
    found: dict[str, Step] = {}
    for name, last, compiling in (
        ("torch eager", False, False), ("torch channels last", True, False), ("torch compiled", True, True),
    ):  # fmt: skip
        if compiling and not compiled:
            continue
        net = mirrored(torch, model)
        if last:
            net = net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)
        run = torch.compile(net) if compiling else net
        images, noise = (torch.tensor(each).permute(0, 3, 1, 2) for each in (data[0], data[2]))
        layout = torch.channels_last if last else torch.contiguous_format
        images, noise = (each.contiguous(memory_format=layout) for each in (images, noise))
        found[name] = functools.partial(torch_step, torch, run, optimizer, images, torch.tensor(data[1]), noise)
    return found


def torch_step(torch: Any, net: Any, optimizer: Any, images: Any, times: Any, noise: Any) -> float:
    loss = torch.nn.functional.mse_loss(net(images, times), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def mirrored(torch: Any, model: tr.Model) -> Any:
    """The same net in PyTorch's modules, with these weights."""
    nn, functional = torch.nn, torch.nn.functional
    weights = {name: p.numpy() for name, p in model.named_parameters().items()}

    class UNet(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict()
            for path in dict.fromkeys(name.rpartition("/")[0] for name in weights):
                self.parts[path.replace("/", ":")] = module_of(nn, path, weights)

        def call(self, path: str, x: Any) -> Any:
            return self.parts[path.replace("/", ":")](x)

        def block(self, scope: str, x: Any, told: Any) -> Any:
            y = self.call(f"{scope}/conv2d", functional.silu(self.call(f"{scope}/group_normalization", x)))
            y = y + self.call(f"{scope}/dense", told)[..., None, None]
            y = self.call(f"{scope}/conv2d_1", functional.silu(self.call(f"{scope}/group_normalization_1", y)))
            projected = f"{scope}:conv2d_2" in self.parts
            return y + (self.call(f"{scope}/conv2d_2", x) if projected else x)

        def forward(self, images: Any, times: Any) -> Any:
            half = WIDTHS[0] // 2
            rates = 10000 ** (-torch.arange(half) / half)
            waves = torch.cat([torch.sin(times[:, None] * rates), torch.cos(times[:, None] * rates)], 1)
            told = self.call("condition_dense", functional.silu(self.call("time_hidden", waves)))
            told = functional.silu(told)
            fine = self.block("down0", self.call("stem", images), told)
            coarse = self.block("down1", self.call("down1/halve", fine), told)
            x = self.block("middle", coarse, told)
            x = self.block("up1", torch.cat([x, coarse], 1), told)
            x = self.block("up0", torch.cat([functional.interpolate(x, scale_factor=2.0), fine], 1), told)
            return self.call("head", functional.silu(self.call("group_normalization", x)))

    return UNet()


def module_of(nn: Any, path: str, weights: dict[str, np.ndarray]) -> Any:
    """A module of PyTorch with the weights of a layer."""
    import torch

    own = {name.rpartition("/")[2]: torch.tensor(w) for name, w in weights.items() if name.rpartition("/")[0] == path}
    if "gamma" in own:
        made = nn.GroupNorm(8, len(own["gamma"]), eps=1e-5)
        given = own["gamma"], own["beta"]
    elif own["kernel"].ndim == 4:
        kernel = own["kernel"].permute(3, 2, 0, 1).contiguous()
        strides = 2 if path.endswith("halve") else 1
        made = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], strides, kernel.shape[2] // 2)
        given = kernel, own["bias"]
    else:
        made = nn.Linear(*own["kernel"].shape)
        given = own["kernel"].T.contiguous(), own["bias"]
    for parameter, value in zip(made.parameters(), given):
        parameter.data.copy_(value)
    return made


def timed(steps: dict[str, Step], turns: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each, of steps that take turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, run in steps.items():
            begin = clock()
            run()
            if turn > 0:
                times[name].append(clock() - begin)
    return times


if __name__ == "__main__":
    raise SystemExit(main())
