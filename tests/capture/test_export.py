"""What of a captured step goes into a file, by which names, and which steps cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import kernels
from tinyres.capture.export import exported
from tinyres.errors import ArgumentError, CaptureError
from tinyres.launch import launch
from tinyres.store.program_file import read_program


def test_inputs_have_the_names_of_arguments_and_outputs_those_of_keys(tmp_path: Path) -> None:
    @tr.capture
    def step(x: Any, pair: Any, *, scale: Any, sign: int = 1) -> Any:
        return {"sum": x + pair[0], "parts": (pair[1] * scale, x)}

    a = tr.tensor([1.0, 2.0])
    step.record(a, (a, a), scale=tr.tensor(3.0), sign=-1).export(tmp_path / "net.trp")
    header = read_program(tmp_path / "net.trp").header
    assert header["programs"]["step"]["inputs"] == ["x", "pair/0", "pair/1", "scale"]
    assert header["programs"]["step"]["outputs"] == ["sum", "parts/0", "parts/1"]
    assert header["memory"]["scale"]["shape"] == []


def test_recording_runs_nothing() -> None:
    w = tr.tensor([1.0], requires_grad=True)
    opt = tr.optim.SGD([w], lr=1.0)

    @tr.capture
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        opt.step()
        return loss

    step.record(np.ones(1))
    assert w.item() == 1.0 and opt.steps == 0
    step(np.ones(1))
    assert w.item() == 0.0 and len(step.programs) == 1


def test_state_is_that_of_now_and_zeros_take_no_room() -> None:
    w, v = tr.tensor(np.arange(1.0, 65.0), requires_grad=True), tr.tensor(np.zeros(4096), requires_grad=True)
    opt = tr.optim.Adam([w, v], lr=0.1)

    @tr.capture
    def step(x: Any) -> Any:
        opt.zero_grad()
        ((w * x).sum() + v.sum()).backward()
        opt.step()

    file = exported({"step": step.record(tr.tensor(np.ones(64)))}, {"w": w, "v": v})
    at = file.header["memory"]["w"]["at"]
    ((start, length),) = [r for r in file.header["stored"] if r[0] <= at < sum(r)]
    offset = sum(n for a, n in file.header["stored"] if a < start) + at - start
    assert np.frombuffer(file.stored, np.float32, 64, offset).tolist() == list(range(1, 65))
    assert len(file.stored) < 1024 < 4 * v.size < file.header["image"]


def test_what_the_first_program_makes_is_not_stored() -> None:
    w = tr.tensor(np.ones(1000), requires_grad=True)
    step = tr.capture(lambda x: (w * x).sum())
    drawn = tr.capture(lambda: launch(kernels.cast, (w.buffer,), (tr.rand(1000).buffer,), (1000,)))
    programs = {"initialise": drawn.record(), "step": step.record(tr.tensor(2.0))}
    assert len(exported(programs, first="initialise").stored) < 100 < 4000 <= len(exported(programs).stored)


def test_names_stand_for_one_place() -> None:
    step = tr.capture(lambda x: {"x": x * 2.0})
    with pytest.raises(ArgumentError, match=r"\[export\] a name stands for one place in memory; got 'x' for two"):
        exported({"step": step.record(tr.tensor([1.0]))})


def test_what_needs_python_is_refused() -> None:
    w = tr.tensor([1.0], requires_grad=True)
    schedule = tr.optim.schedules.ExponentialDecay(0.1, 10, 0.5)
    scheduled, plain = tr.optim.SGD([w], lr=schedule), tr.optim.SGD([w])

    def step(opt: Any, forgets: bool) -> Any:
        @tr.capture
        def captured(x: Any) -> None:
            if forgets:
                opt.zero_grad()
            (w * x).sum().backward()
            opt.step()

        return captured.record(tr.tensor([1.0]))

    (w * 1.0).sum().backward()
    with pytest.raises(CaptureError, match="Python prepares before each run"):
        exported({"step": step(scheduled, True)})
    with pytest.raises(CaptureError, match="adds to the `.grad` of before"):
        exported({"step": step(plain, False)})
    double = tr.capture(lambda x: x * 2.0).record(tr.tensor([1.0], dtype="float64"))
    with pytest.raises(CaptureError, match="is of float32; got mul of float64"):
        exported({"step": double})


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    step = tr.capture(lambda x: x * 2.0).record(tr.tensor([1.0]))
    with pytest.raises(tr.errors.FileError):
        step.export(tmp_path / "none" / "net.trp")
    assert os.listdir(tmp_path) == []


def test_nothing_is_stored_that_nobody_reads() -> None:
    """What lasts without being read first, as a gradient that is made anew, held whatever memory had held before."""
    files = []
    for filler in (1.0, 2.0):
        w = tr.tensor(np.ones(1000), requires_grad=True)
        garbage = [tr.tensor(np.full(1000, filler)) for _ in range(8)]
        opt = tr.optim.SGD([w], lr=0.1)

        def step(x: Any, w: Any = w, opt: Any = opt) -> None:
            opt.zero_grad()
            (w * x).sum().backward()
            opt.step()

        del garbage
        files.append(exported({"step": tr.capture(step).record(tr.tensor(np.ones(1000)))}).to_bytes())
    assert files[0] == files[1]
