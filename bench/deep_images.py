"""The largest residual nets, traced: ResNet-152 built, run, printed and saved; ResNet-50 beside a plain step.

    python3 bench/deep_images.py

Seen on two cores with AVX-512, while others worked: ResNet-152 at 64 x 64, batch 2: 5.0 s in all (built 2.4, forward
0.1, backward with trace and audit 1.5, printed, saved 0.9), peak 0.74 GB. ResNet-50 at 224 x 224, batch 2: a forward
and backward 1.50 s, traced 2.01 s, x 1.34, peak 0.62 GB.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

import tinyres as tr

SPARSE = "sparse_categorical_crossentropy"


def images(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, size, size, 3)).astype(np.float32), rng.integers(0, 1000, 2)


def peak() -> str:
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB"


def deepest() -> None:
    """ResNet-152 at 64 x 64, batch 2."""
    start = last = time.perf_counter()

    def told(what: str) -> None:
        nonlocal last
        now = time.perf_counter()
        print(f"  {what:<24}{now - last:6.1f} s")
        last = now

    model = tr.applications.resnet(152, input_shape=(64, 64, 3))
    model.compile(optimizer="sgd", loss=SPARSE)
    told("built")
    graph = model.graph(*images(64))
    told("forward")
    trace = graph.trace()
    told("backward, traced, audited")
    lines = len(str(trace).splitlines())
    told(f"printed in {lines} lines")
    with tempfile.TemporaryDirectory() as folder:
        trace.save(os.path.join(folder, "trace.json"))
        told("trace saved")
        model.save(os.path.join(folder, "model.npz"))
    told("model saved")
    print(f"ResNet-152: {time.perf_counter() - start:.1f} s, {peak()}, audit {trace.audit().ok}")


def beside_a_step() -> None:
    """ResNet-50 at 224 x 224, batch 2: a forward and backward, then the same traced."""
    model = tr.applications.resnet(50)
    model.compile(optimizer="sgd", loss=SPARSE)
    x, y = images(224)
    parameters = model.trainable_weights

    def plain() -> None:
        loss = tr.losses.softmax_cross_entropy(tr.log(model(tr.tensor(x), training=True)), y)
        tr.grad(loss, parameters)

    def traced() -> None:
        model.graph(x, y).trace()

    seconds = []
    for step in (plain, traced):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        seconds.append(sorted(times)[1])
    print(f"ResNet-50: plain {seconds[0]:.2f} s, traced {seconds[1]:.2f} s, x {seconds[1] / seconds[0]:.2f}, {peak()}")


if __name__ == "__main__":
    if sys.argv[1:]:
        {"deepest": deepest, "beside": beside_a_step}[sys.argv[1]]()
    else:  # each in a process of its own, so that each has its own peak
        for part in ("deepest", "beside"):
            subprocess.run([sys.executable, __file__, part], check=True)
