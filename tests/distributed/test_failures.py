"""One rank that fails ends all, in seconds and with its traceback; ranks that differ are refused before they train."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from on_ranks import needs_mpirun, on_ranks, output

import tinyres as tr

TINYRES_RUN = sys.executable, "-m", "tinyres", "run"

FAILING = """
import os
import signal
import sys
import time

mode, rank = sys.argv[1], int(os.environ["OMPI_COMM_WORLD_RANK"])
if mode == "before the world" and rank == 1:
    print("it fails at", time.time(), file=sys.stderr, flush=True)
    raise RuntimeError("this is what went wrong")

import numpy as np
import tinyres as tr

world = tr.distributed.world(shards=2)
x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(1)])
model.compile(loss="mse")

class Failing(tr.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        if batch == 2 and rank == 1:
            if mode != "is not finite":
                print("it fails at", time.time(), file=sys.stderr, flush=True)
            if mode == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if mode == "exits":
                sys.exit(3)
            if mode == "raises":
                raise RuntimeError("this is what went wrong")

if mode == "is not finite":
    x[40] = 3e38  # of the second shard, in the third batch
    print("it fails at", time.time(), file=sys.stderr, flush=True)
model.fit(x, x[:, :1], batch_size=16, shuffle=False, epochs=1000, verbose=0, callbacks=[Failing()], distributed=world)
"""

MODES = {
    "raises": ["RuntimeError: this is what went wrong", "rank 1 of 2 has failed, and ends all"],
    "before the world": ["RuntimeError: this is what went wrong"],
    "is killed": ["signal 9"],
    "exits": ["rank 1 of 2 has failed"],
    "is not finite": ["NonFiniteError: [fit] the loss is not finite at epoch 0, step 2", "rank 0 of 2", "rank 1 of 2"],
}


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize("mode", list(MODES))
def test_a_rank_that_fails_ends_all(mode: str, tmp_path: Path) -> None:
    run = on_ranks(2, FAILING, tmp_path, mode, starting=TINYRES_RUN)
    ended = time.time()
    assert run.returncode != 0
    for words in MODES[mode]:
        assert words in run.stderr, run.stderr
    assert "runpy" not in run.stderr, "a traceback begins with the script"
    failed = max(float(line.split()[-1]) for line in run.stderr.splitlines() if line.startswith("it fails at"))
    assert 0 < ended - failed < 10, "it takes half a second, and longer only where the machine is busy"


@needs_mpirun
@pytest.mark.slow
def test_so_does_an_error_where_the_script_was_started_by_python(tmp_path: Path) -> None:
    run = on_ranks(2, FAILING, tmp_path, "raises")
    assert run.returncode != 0 and "RuntimeError: this is what went wrong" in run.stderr


DIFFERING = """
import numpy as np
import tinyres as tr
from tinyres.backends import native

rank = tr.distributed.world().rank
def refused(make):
    try:
        make()
    except tr.errors.TinyresError as error:
        told = world.comm.allgather(str(error))
        assert len(set(told)) == 1, told
        if rank == 0:
            print(error)

world = tr.distributed.world(shards=2)
best = native.isa()
native.select_isa("generic" if rank else best)
refused(lambda: tr.distributed.world())
native.select_isa(best)
tr.__version__ += "+other" * rank
refused(lambda: tr.distributed.world())
tr.__version__ = tr.__version__.partition("+")[0]
refused(lambda: tr.distributed.world(shards=2 + rank))
refused(lambda: tr.distributed.world(shards=1))

x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
def fit(units=3, rows=64, x=x, optimizer="sgd", y=0, **options):
    model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(units), tr.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse")
    model.fit(x[:rows], x[:rows, y : y + 1], verbose=0, distributed=world, **options)

refused(lambda: fit(units=3 + rank))
refused(lambda: fit(rows=64 - rank))
refused(lambda: fit(y=rank))
refused(lambda: fit(batch_size=16 + rank))
refused(lambda: fit(optimizer="adam" if rank else "sgd"))
refused(lambda: fit(epochs=1 + rank))
refused(lambda: world.mean([[np.ones(1 + 40 * rank, np.float32)]]))
fit()
"""


@needs_mpirun
def test_ranks_that_differ_are_refused_with_the_same_words_on_each(tmp_path: Path) -> None:
    lines = output(on_ranks(2, DIFFERING, tmp_path)).splitlines()
    version = tr.__version__
    differing = [
        "instruction set",
        f"version of tinyres: {version} on rank 0 and {version}+other on rank 1",
        "shards: 2",
    ]
    assert "shards is an integer, at least the number of ranks, 2; got 1" in lines.pop(3)
    assert "all ranks give gradients of one size" in lines.pop()
    differing += ["number of weights: 19 on rank 0 and 25", "number of samples: 64 on rank 0 and 63", "checksum"]
    differing += ["batch_size: 16", "the optimizer: SGD on rank 0 and Adam on rank 1", "epochs: 1 on rank 0 and 2"]
    assert len(lines) == len(differing)
    for words, line in zip(differing, lines):
        assert line.startswith("[distributed] all ranks run the same training; got ") and words in line, line


@needs_mpirun
@pytest.mark.slow
def test_where_ranks_do_not_pay_the_first_warns_once(tmp_path: Path) -> None:
    program = """
    import warnings
    import numpy as np
    import tinyres as tr

    world = tr.distributed.world(shards=2)
    model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(1)])
    model.compile(loss="mse")
    x = np.zeros((64, 4), np.float32)
    model.fit(x, x[:, :1], verbose=0, distributed=world)
    world.step(model, True)._seconds[:] = [(1e-3, 2e-3)] * 39
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(x, x[:, :1], epochs=20, verbose=0, distributed=world)
    assert len(told) == (world.rank == 0), told
    if told:
        print(told[0].message)
    """
    told = output(on_ranks(2, program, tmp_path))
    assert told.startswith(
        "[distributed] 2 ranks do not pay here: a step takes 2.00 ms, of which each rank computes 0.50"
    )


@needs_mpirun
def test_ranks_share_the_cpus(tmp_path: Path) -> None:
    program = "import tinyres as tr; print(tr.distributed.world().size, tr.info()['threads'])"
    told = output(on_ranks(2, program, tmp_path, without=("TINYRES_THREADS",))).splitlines()
    if hasattr(os, "sched_getaffinity"):
        assert told == [f"2 {max(1, len(os.sched_getaffinity(0)) // 2)}"] * 2
