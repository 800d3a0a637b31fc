"""What a look at the gradient costs: a captured step that looks beside one that does not, and the eager trace.

    python3 bench/looking.py [blocks] [units] [batch]

Medians of interleaved turns, in ms, on one thread. With tr.wasm and node there: what the page does, per second.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from stepping import train_step

import tinyres as tr
from tinyres.play.nets import Net
from tinyres.play.record import Recorded
from tinyres.play.wasm import WASM

TURNS = 15
PAGE = """
import fs from "node:fs";
const { Engine } = await import(process.argv[1] + "/engine.mjs");
const net = (await Engine.load(fs.readFileSync(process.argv[1] + "/tr.wasm"))).open(fs.readFileSync(process.argv[2]));
net.restart(0);
const x = net.view("x"), times = [];
for (let i = 0; i < x.length; i++) x[i] = Math.sin(i * i);
for (let turn = 0; turn < 60; turn++) {
  const start = performance.now();
  net.run("step");
  const stepped = performance.now();
  net.look();
  times.push([stepped - start, performance.now() - stepped]);
}
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
console.log([0, 1].map((i) => median(times.slice(10).map((t) => t[i])).toFixed(2)).join(" "));
"""


def main(blocks: int = 32, units: int = 64, batch: int = 64) -> None:
    tr.set_threads(1)
    (x, y), _ = tr.data.load_digits()
    x, y = x[:batch], y[:batch]
    net = Net("residual", blocks, units, batch=batch)
    looking = Recorded(net)
    model = net.build()
    optimizer = tr.optim.Adam(model.parameters(), lr=0.001)
    step = tr.capture(train_step(model, optimizer))
    graph = model.graph(x, y, loss=tr.losses.softmax_cross_entropy)
    look = looking.step(x, y)["look"]
    rows: dict[str, Callable[[], object]] = {
        "captured step": lambda: step(x, y),
        "captured step that looks": lambda: looking.step(x, y),
        "read all edges of a look": look.edges,
        "a look as a Trace": look.trace,
        "eager trace, no audit": lambda: graph.trace(audit=False),
        "eager trace": graph.trace,
    }
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(TURNS + 1):
        for name, run in rows.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    print(f"{blocks} blocks x {units}, batch {batch}; {tr.info()['isa'].split()[0]}, numpy {np.__version__}; ms")
    for name, taken in times.items():
        print(f"{name:<28}{statistics.median(taken):8.2f}")
    if shutil.which("node") and WASM.is_file():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.trp"
            looking.file().write(path)
            command = ["node", "--input-type=module", "--eval", PAGE, str(WASM.parent), str(path)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"{'in node: step that looks':<28}{told[0]:>8}\n{'in node: read the look':<28}{told[1]:>8}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
