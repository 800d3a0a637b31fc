"""world() and world.mean: in one process, in a captured step, and on ranks that mpirun has started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from on_ranks import here, needs_mpirun, on_ranks, output

import tinyres as tr

OWN_LOOP = """
import hashlib
import sys
import numpy as np
import tinyres as tr

world = tr.distributed.world(shards=4)
tr.manual_seed(0)
(x, y), _ = tr.data.load_digits()
x = np.asarray(x, np.float32)
net = tr.Sequential([tr.Input(shape=(64,)), tr.layers.Dense(16, activation="relu"), tr.layers.Dense(10)])
params = net.parameters()
opt = tr.optim.Adam(params)

def gradients(x, y):
    opt.zero_grad()
    tr.losses.softmax_cross_entropy(net(x, training=True), y).backward()
    return [p.grad for p in params]

def step(x, y):
    rows = world.rows(len(x))
    parts = [gradients(x[r], y[r]) for r in rows]
    for p, g in zip(params, world.mean(parts, weights=[r.stop - r.start for r in rows])):
        p.grad = g
    opt.step()

if "captured" in sys.argv:
    step = tr.capture(step)
for i in range(6):
    step(tr.tensor(x[50 * i : 50 * i + 50]), tr.tensor(y[50 * i : 50 * i + 50], dtype="int64"))
digest = hashlib.sha256(b"".join(w.numpy().tobytes() for w in net.weights)).hexdigest()
assert world.any(world.rank == world.size - 1) and not world.any(False)
if world.rank == 0:
    print(digest, "mean_over_shards" in (str(step.program) if "captured" in sys.argv else ""), world.bytes_sent)
"""


@needs_mpirun
def test_a_loop_of_ones_own_has_the_same_bits_on_two_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here(OWN_LOOP)
    alone, _, _ = capsys.readouterr().out.split()
    two, shown, sent = output(on_ranks(2, OWN_LOOP, tmp_path, "captured")).split()
    assert alone == two and len(alone) == 64
    assert shown == "True"
    bucket = 4 * (64 * 16 + 16 + 160 + 16)  # the last bias takes a cache line
    assert 6 * bucket <= int(sent) <= 6 * (bucket + 64), "half a bucket out, half back, whatever the number of shards"


@needs_mpirun
@pytest.mark.slow
def test_and_on_three_and_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here(OWN_LOOP)
    alone = capsys.readouterr().out.split()[0]
    assert output(on_ranks(3, OWN_LOOP, tmp_path, "captured")).split()[0] == alone
    assert output(on_ranks(4, OWN_LOOP, tmp_path)).split()[0] == alone


def test_the_mean_goes_by_weights_and_is_exact_where_it_can_be() -> None:
    world = tr.distributed.world(shards=3)
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([5.0], np.float32)
    means = world.mean([[a, b], [a * 2, b * 2], [a * 4, b * 4]], weights=[2, 1, 1])
    assert means[0].tolist() == (a * 2).tolist() and means[1].tolist() == [10.0]
    assert world.mean([[a], [a], [a]])[0].shape == (2, 2)


@pytest.mark.parametrize("captured", [False, True])
def test_it_is_the_gradient_of_the_whole_batch(captured: bool) -> None:
    world = tr.distributed.world(shards=4)
    rng = np.random.default_rng(0)
    w = tr.tensor(rng.standard_normal((5, 3)), requires_grad=True)
    x, y = tr.tensor(rng.standard_normal((10, 5))), tr.tensor(rng.standard_normal((10, 3)))

    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        rows = world.rows(len(x))
        parts = [tr.grad(tr.losses.mse(x[r] @ w, y[r]), [w]) for r in rows]
        return world.mean(parts, weights=[r.stop - r.start for r in rows])[0]

    whole = tr.grad(tr.losses.mse(x @ w, y), [w])[0]
    run = tr.capture(step) if captured else step
    for _ in range(2):
        np.testing.assert_allclose(run(x, y).numpy(), whole.numpy(), rtol=2e-6)


def test_float64_stays_float64() -> None:
    world = tr.distributed.world(shards=2)
    third = tr.tensor([1 / 3], dtype="float64")
    (mean,) = world.mean([[third], [third]])
    assert mean.dtype == np.float64 and mean.item() == 1 / 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda w: tr.distributed.world(shards=0), "at least the number of ranks, 1; got 0"),
        (lambda w: tr.distributed.world(shards=True), "shards is an integer"),
        (lambda w: w.rows(1), "got 1 for 2 shards"),
        (lambda w: w.mean([[tr.tensor([1.0])]]), "each of this rank's 2 shards; got 1 of list"),
        (lambda w: w.rows(8.0), "samples is an integer >= 0; got 8.0"),
        (lambda w: w.mean(None), "got 0 of nothing"),
        (lambda w: w.mean([[None]] * 2), "got None, of a parameter that nothing reached"),
        (lambda w: w.mean([[tr.tensor([1.0])]] * 2, weights=3), r"weights are a number >= 0 .* got 3; "),
        (
            lambda w: w.mean([[tr.tensor([1.0])]] * 2, weights=[None, 1]),
            r"weights are a number >= 0 .* got \[None, 1\]",
        ),
        (lambda w: w.mean([]), "got 0 of nothing"),
        (lambda w: w.mean([[tr.tensor([1.0])], [tr.tensor([1.0, 2.0])]]), r"the same shapes; got \[\(2,\)\] beside"),
        (lambda w: w.mean([[tr.tensor([1], dtype="int64")]] * 2), "of one float type; got int64"),
        (lambda w: w.mean([[tr.tensor([1.0])]] * 2, weights=[1.0]), r"weights are a number >= 0 for each .* 2 shards"),
        (lambda w: w.mean([[tr.tensor([1.0])]] * 2, weights=[0, 0]), "some shard must have a weight above 0"),
    ],
)
def test_what_it_refuses(wrong, words: str) -> None:
    with pytest.raises(tr.errors.TinyresError, match=words):
        wrong(tr.distributed.world(shards=2))


def test_without_mpi4py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(tr.errors.MissingExtraError, match=r"\[distributed\] .* pip install 'tinyres\[mpi\]'"):
        tr.distributed.world()
