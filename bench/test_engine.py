"""What the engine costs without much arithmetic: long chains, small graphs, and the import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tinyres as tr

CHAINS = [1_000, 10_000, 100_000]


def chain(length: int) -> tr.Tensor:
    """The sum of 8 numbers after `length` ops in a row."""
    x = tr.tensor([0.1] * 8, requires_grad=True)
    for _ in range(length // 2):
        x = tr.tanh(x * 0.9)
    return x.sum()


@pytest.mark.parametrize("length", CHAINS)
def test_forward_of_a_chain(measure: Any, length: int) -> None:
    measure(f"{length:,} ops", lambda: chain(length), group="chain forward, per op", calls=length)


@pytest.mark.parametrize("length", CHAINS)
def test_backward_of_a_chain(measure: Any, length: int) -> None:
    loss = chain(length)
    measure(f"{length:,} ops", lambda: loss.backward(retain_graph=True), group="chain backward, per op", calls=length)


@pytest.mark.parametrize("imported", ["numpy", "tinyres"])
def test_import(measure: Any, imported: str) -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", f"import {imported}"]

    def run() -> None:
        subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})

    measure(f"import {imported}", run, group="python with an import", rounds=10)
