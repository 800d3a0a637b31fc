"""Print a training step on one and on two ranks beside PyTorch's DDP: `python3 bench/over_ranks.py`.

Strong (s): the same batch; weak (w): a batch of the same size for each rank. `alone` is `fit` without ranks, on one
thread and on two; a world has two shards, whatever the number of ranks, and each rank one thread. PyTorch runs eagerly,
DDP over gloo. Every contender is a program of its own, in several turns; medians of steps in ms. `sent` is what a rank
sends in a step. It needs mpi4py and mpirun (pip install 'tinyres[mpi]').
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
from stepping import settle

NETS = {"mlp": 256, "resnet20": 64, "characters": 32}  # and the samples of a batch
SECONDS, WARM_UP = 1.0, 3  # of each run, and steps before any is timed
Step = Callable[[], Any]


def main() -> int:
    parser = argparse.ArgumentParser(description="A training step on one and on two ranks, beside PyTorch's DDP.")
    parser.add_argument("nets", nargs="*", default=list(NETS), help=f"of {', '.join(NETS)} (default: all)")
    parser.add_argument("--turns", type=int, default=3, help="in which each contender runs once (default: 3)")
    parser.add_argument("--only", default=None, choices=("strong", "weak"), help="one of the two rows of a net")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(*options.nets, **json.loads(options.one))
    import tinyres as tr

    print(f"{tr.info().get('isa', 'no core')}; {len(os.sched_getaffinity(0))} CPUs; {peers.versions()}")
    print(f"{'net':<12}{'batch':>6}{'':>4}{'alone, 1 and 2 threads':>24}{'ranks: 1':>10}{'2':>8}{'sent':>9}", end="")
    print(f"{'torch: 1':>12}{'DDP 2':>8}{'  two against one rank, and torch':<30}")
    for net in options.nets:
        for weak in [kind == "weak" for kind in ("strong", "weak") if options.only in (None, kind)]:
            print(line(net, NETS[net], weak, options.turns), flush=True)
    return 0


def line(net: str, batch: int, weak: bool, turns: int) -> str:
    """The row of a net: each contender in each turn, in another order every time."""
    two = batch * 2 if weak else batch
    ways: dict[str, dict[str, Any]] = {
        "alone": {"ranks": 0, "threads": 1, "batch": batch},
        "threads": {"ranks": 0, "threads": 2, "batch": batch},
        "1": {"ranks": 1, "threads": 1, "batch": batch},
        "2": {"ranks": 2, "threads": 1, "batch": two},
    }
    if peers.installed("torch"):
        ways |= {"torch": {**ways["1"], "peer": True}, "ddp": {**ways["2"], "peer": True}}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(turns):
        names = list(ways)[turn:] + list(ways)[:turn]
        for name in names:
            found[name].append(started(net, **ways[name]))
    ms = {name: statistics.median(run["ms"] for run in runs) for name, runs in found.items()}
    work = 2 if weak else 1  # what two ranks do in a step, of what one does
    row = f"{net:<12}{two:>6}{'w' if weak else 's':>4}{ms['alone']:>14.1f}{ms['threads']:>10.1f}"
    row += f"{ms['1']:>10.1f}{ms['2']:>8.1f}{found['2'][0]['sent'] / 1e6:>6.2f} MB"
    if "ddp" in ms:
        row += f"{ms['torch']:>12.1f}{ms['ddp']:>8.1f}"
    row += f"{work * ms['1'] / ms['2']:>8.2f}"
    return row + (f"{work * ms['torch'] / ms['ddp']:>8.2f}{ms['ddp'] / ms['2']:>8.2f}" if "ddp" in ms else "")


def started(net: str, ranks: int, threads: int, batch: int, peer: bool = False) -> dict[str, float]:
    """What rank 0 of such a program prints."""
    how = {"world": ranks, "batch": batch, "threads": threads, "peer": peer}
    command = [sys.executable, str(Path(__file__).resolve()), net, "--one", json.dumps(how)]
    if ranks:
        mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if mpirun is None:
            raise SystemExit("mpirun is not there: pip install 'tinyres[mpi]'")
        command = [mpirun, "--oversubscribe", "-n", str(ranks), *command]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | allowed)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def one(net: str, world: int, batch: int, threads: int, peer: bool) -> int:
    """Time this process's steps, as one of the ranks, and let the first print them."""
    rank, step, sent = (in_torch if peer else in_tinyres)(net, world, batch, threads)
    for _ in range(WARM_UP):
        step()
    if threads > 1 and not peer:
        settle(step)
    before, times = sent(), []
    began = time.perf_counter()
    for _ in range(WARM_UP):
        step()
    steps = max(5, int(SECONDS * WARM_UP / (time.perf_counter() - began))) if not world else 0
    for _ in range(steps or {"mlp": 30, "resnet20": 9, "characters": 15}[net]):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    if rank == 0:
        bytes_sent = (sent() - before) / (len(times) + WARM_UP)
        print(json.dumps({"ms": statistics.median(times) * 1e3, "sent": bytes_sent}))
    return 0


def data(net: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    if net == "characters":
        ids, following = random.integers(0, 66, (2, batch, 64))
        return ids, following
    shape = (batch, 64) if net == "mlp" else (batch, 32, 32, 3)
    return random.standard_normal(shape).astype(np.float32), random.integers(0, 10, batch)


def in_tinyres(net: str, world: int, batch: int, threads: int) -> tuple[int, Step, Callable[[], int]]:
    import tinyres as tr
    from steps import in_tinyres, task

    tr.set_threads(threads)
    tr.manual_seed(0)
    x, y = data(net, batch)
    if net == "characters":
        model: Any = tr.applications.gpt(66, 64, 4, 4, 128, activation=None)
    else:
        mlp = net == "mlp"
        model = in_tinyres.net(task.Size(batch, 256, 16)) if mlp else tr.applications.resnet(20, activation=None)
    model.compile(tr.optim.SGD(lr=0.001, momentum=0.9), loss=tr.losses.softmax_cross_entropy)
    given = tr.tensor(x, dtype=str(x.dtype)), tr.tensor(y, dtype="int64")
    if not world:
        run = model.runner("train_step", True)
        return 0, lambda: run(*given), lambda: 0
    ranks = tr.distributed.world(shards=2)
    ranks.begin(model, {})
    tr.set_threads(threads)
    sharded = ranks.step(model, True)
    return ranks.rank, lambda: sharded(*given), lambda: ranks.bytes_sent


def in_torch(net: str, world: int, batch: int, threads: int) -> tuple[int, Step, Callable[[], int]]:
    torch = peers.load("torch")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, y = (torch.from_numpy(a) for a in data(net, batch))
    rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
    if net == "resnet20":
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    model: Any = torch_net(torch, net)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29571", GLOO_SOCKET_IFNAME="lo")
        torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
        model = torch.nn.parallel.DistributedDataParallel(model)
        x, y = x.chunk(world)[rank], y.chunk(world)[rank]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, fused=True)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return rank, step, lambda: 0


def torch_net(torch: Any, net: str) -> Any:
    nn = torch.nn
    if net == "characters":
        from character_model import _torch_model

        return _torch_model(torch)[0]
    if net == "mlp":
        from steps.in_torch import _Block

        return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), *[_Block(256) for _ in range(16)], nn.Linear(256, 10))

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, before: int, filters: int) -> None:
            super().__init__()
            pairs = [(before, before != filters), (filters, False)]
            self.ways = nn.ModuleList([nn.Conv2d(n, filters, 3, 1 + down, 1, bias=False) for n, down in pairs])
            self.norms = nn.ModuleList([nn.BatchNorm2d(filters) for _ in range(2)])

        def forward(self, x: Any) -> Any:
            h = self.norms[0](self.ways[0](x)).relu()
            h = self.norms[1](self.ways[1](h))
            if h.shape != x.shape:  # the skip without parameters: every second pixel, and zeros for new channels
                x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, h.shape[1] - x.shape[1]))
            return (h + x).relu()

    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b) for a, b in zip(widths, widths[1:])]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*stem, *blocks, *end).to(memory_format=torch.channels_last)


if __name__ == "__main__":
    raise SystemExit(main())
