"""Calls of Python's own in a list of kernel calls: run, recorded, listed, and in front of what writes state."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends.buffers import Buffer
from tinyres.backends.native import NATIVE
from tinyres.kernels.forms import HOSTED
from tinyres.kernels.host import hosted
from tinyres.kernels.record import KERNELS
from tinyres.launch import launch, launch_list


def times_ten(out: np.ndarray, x: np.ndarray, n: int, *, flags: int) -> None:
    out[...] = 10 * x


TIMES_TEN = hosted(times_ten, "f", "f", "n")


def by_python(t: tr.Tensor) -> tr.Tensor:
    out = Buffer(t.size, t.dtype)
    launch(TIMES_TEN, (out,), (t.buffer,), (t.size,))
    return tr.Tensor(out, t.shape, t.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_runs_between_kernels_eager_and_captured(dtype: str) -> None:
    x = tr.tensor([1.0, 2.0, 3.0], dtype=dtype)

    def step(x: tr.Tensor) -> tr.Tensor:
        return by_python(x + 1.0) * 2.0

    captured = tr.capture(step)
    for scale in (1.0, 5.0):
        assert step(x * scale).tolist() == captured(x * scale).tolist() == [20 * (v * scale + 1) for v in (1, 2, 3)]
    assert "times_ten                  3" in str(captured.program)


def test_the_core_does_not_know_it() -> None:
    assert "times_ten" not in KERNELS and TIMES_TEN.form is HOSTED
    out, x = Buffer(2, np.dtype("float32")), Buffer(2, np.dtype("float32"))
    assert not NATIVE.takes(TIMES_TEN, (out,), (x,))
    x.array[:] = 1, 2
    launch_list([(TIMES_TEN, (out,), (x,), (2,), (), 0)] * 2)
    assert out.array.tolist() == [10, 20]


def test_no_state_is_written_before_one_that_raises() -> None:
    w = tr.tensor([1.0, 2.0], requires_grad=True)
    opt = tr.optim.Adam([w])
    failing: list[bool] = []

    def may_raise(out: np.ndarray, x: np.ndarray, n: int, *, flags: int) -> None:
        if failing:
            raise ConnectionError("a rank is gone")
        out[...] = x

    exchange = hosted(may_raise, "f", "f", "n")

    @tr.capture
    def step() -> None:
        opt.zero_grad()
        (w * w).sum().backward()
        out = Buffer(2, w.dtype)
        launch(exchange, (out,), (w.grad.buffer,), (2,))
        w.grad = tr.Tensor(out, (2,), w.dtype)
        opt.step()

    step()
    before = w.tolist(), opt.steps
    failing.append(True)
    with pytest.raises(ConnectionError, match="a rank is gone"):
        step()
    assert (w.tolist(), opt.steps) == before
    failing.clear()
    step()
    assert opt.steps == before[1] + 1 and w.tolist() != before[0]
