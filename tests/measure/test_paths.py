"""The path-length spectrum against closed forms and against its own sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_nets import Weights, residual

import tinyres as tr


def binomial(n, p):
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def linear(blocks, gain, dtype="float64"):
    """x -> x + gain x, block after block: the share of k branches is binomial, exactly."""
    x = tr.tensor([1.0, -2.0], name="x", dtype=dtype)
    h = x
    for i in range(blocks):
        h = h + tr.Parameter(gain, f"block{i}/gain", dtype=dtype) * h
    return tr.sum(h)


@pytest.mark.parametrize("gain", [1.0, 0.5, -0.25])
def test_linear_blocks_are_binomial(gain):
    spectrum = tr.Graph(linear(9, gain)).paths()
    np.testing.assert_allclose(spectrum.shares, binomial(9, gain / (1 + gain)), rtol=1e-12)
    assert spectrum.at == "x" and spectrum.error < 1e-15
    assert spectrum.mean == pytest.approx(9 * gain / (1 + gain))


def test_all_mass_at_zero_where_the_branch_is_zero():
    spectrum = tr.Graph(linear(6, 0.0)).trace(paths=True).paths()
    assert spectrum.shares == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def preactivation(blocks, units=64, batch=64, scale=1.0):
    """Blocks of ReLU, Dense, ReLU, Dense, Add with He initialisation, no BatchNorm: each branch keeps |g|."""
    w = Weights(5, "float64")
    h = tr.tensor(w.rng.normal(size=(batch, units)), requires_grad=True, name="input", dtype="float64")
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            f = h
            for j in range(2):
                kernel = w(f"block{i}/kernel_{j}", units, units)
                kernel.assign(kernel.numpy() * 2**0.5)
                f = tr.matmul(tr.relu(f), kernel)
            h = h + f * scale
    return tr.sum(h * w.data(batch, units, name="weights"))


def test_without_batchnorm_it_is_about_binomial_with_a_half():
    shares = tr.Graph(preactivation(12)).paths().shares
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert np.abs(np.cumsum(shares) - np.cumsum(binomial(12, 0.5))).max() < 0.1


def test_with_one_over_root_l_it_is_about_poisson():
    blocks = 16
    shares = tr.Graph(preactivation(blocks, scale=blocks**-0.5)).paths().shares
    poisson = [math.exp(-1) / math.factorial(k) for k in range(blocks + 1)]
    assert np.abs(np.cumsum(shares) - np.cumsum(poisson)).max() < 0.1


def test_parts_sum_to_the_gradient():
    exact = tr.Graph(residual(blocks=20, dtype="float64")[0]).paths()
    assert exact.error < 1e-14 and sum(exact.shares) == pytest.approx(1, abs=1e-12)
    single = tr.Graph(residual(blocks=20)[0]).paths()
    assert single.error < 1e-5
    np.testing.assert_allclose(single.shares, exact.shares, atol=1e-4)


def test_one_block_is_its_fork():
    trace = tr.Graph(residual(blocks=1, dtype="float64")[0]).trace(paths=True)
    assert trace.paths().shares == pytest.approx((trace.blocks[0].skip, trace.blocks[0].branch))
    assert trace.paths().norms == pytest.approx([e.grad_norm for e in reversed(trace.fork("block0").edges)])


def test_at_a_node_in_the_middle():
    graph = tr.Graph(residual(blocks=6, dtype="float64")[0])
    assert len(graph.paths(at="block2/relu").shares) == 4
    assert graph.paths(at="block5/relu").shares == (1.0,)
    with pytest.raises(tr.errors.TraceError, match="got 'block2/rel'; the nearest are block2/relu"):
        graph.paths(at="block2/rel")


def test_plain_nets_have_length_zero_only():
    assert tr.Graph(residual(skip=False)[0]).paths().shares == pytest.approx((1.0,))


def test_no_gradient_has_no_shares():
    x = tr.tensor([1.0], requires_grad=True, name="x")
    spectrum = tr.Graph(tr.sum(x * 0.0)).paths()
    assert spectrum.shares == (None,) and spectrum.mean is None


def test_paths_are_kept_in_files(tmp_path):
    trace = tr.Graph(residual(blocks=4)[0]).trace(paths=True)
    trace.save(tmp_path / "t.json")
    assert tr.Trace.load(tmp_path / "t.json").paths() == trace.paths()
    with pytest.raises(tr.errors.TraceError, match=r"paths were not measured; call graph.trace\(paths=True\)"):
        tr.Graph(residual()[0]).trace().paths()


def test_rows_and_text():
    spectrum = tr.Graph(linear(2, 1.0)).paths()
    assert [(r["length"], r["share"]) for r in spectrum.rows()] == [(0, 0.25), (1, 0.5), (2, 0.25)]
    assert str(spectrum).splitlines()[2] == "   1   0.5000"


def test_paths_leave_no_mark():
    loss, w = residual()
    loss.backward(retain_graph=True)
    before = [p.grad.numpy().tobytes() for p in w.made.values()]
    graph = tr.Graph(loss)
    first, second = graph.paths(), graph.paths()
    assert first == second
    assert [p.grad.numpy().tobytes() for p in w.made.values()] == before


def test_the_gate_of_a_highway_is_a_way_through_its_block():
    rng = np.random.default_rng(0)
    weights = [tr.Parameter(0.5 * rng.normal(size=(6, 6)), f"w{i}") for i in range(4)]
    x = h = tr.tensor(rng.normal(size=(4, 6)), name="x")
    carried = []
    for w, g in (weights[:2], weights[2:]):
        t = tr.sigmoid(h @ g)
        h = tr.tanh(h @ w) * t + h * (1.0 - t)
        carried.append(1.0 - t.numpy())
    trace = tr.Graph(tr.mean(tr.square(h))).trace(paths=True)
    block, shares = trace.blocks[0], trace.paths().shares
    assert len(shares) == 3 and sum(shares) == pytest.approx(1, abs=1e-5)
    assert block.skip + block.branch == pytest.approx(1, abs=1e-5)
    straight = 2 * h.numpy() / h.size * carried[0] * carried[1]  # what both carry gates let through
    assert trace.paths().norms[0] == pytest.approx(np.linalg.norm(straight), rel=1e-5)
    assert trace["x"].op == "leaf" and x.shape == (4, 6)


def u_shaped(skips, residual):
    tr.manual_seed(0)
    model = tr.applications.unet((8, 8, 1), widths=(4, 8, 8), skips=skips, residual=residual)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype("float32")
    return model.graph(x, x, loss="mse")


@pytest.mark.parametrize("skips", ["concatenate", "add"])
def test_skips_across_are_counted_apart_from_branches_of_blocks(skips):
    graph = u_shaped(skips, residual=False)
    trace = graph.trace(paths=True)
    spectrum = trace.paths()
    assert spectrum.shares == pytest.approx((1.0,))
    names = ["down2→up2", "down1→up1", "down0→up0"]
    assert [over.name for over in spectrum.over] == [*names, ""]
    assert sum(over.share for over in spectrum.over) == pytest.approx(1, abs=1e-5)
    for i, name in enumerate(names):  # where a skip begins its share of the paths is that of its edge
        at = graph.paths(at=trace[name].fork.node)
        assert at.over[i].share == pytest.approx(trace[name].skip, rel=1e-4)
        assert [over.share for over in at.over[i + 1 : -1]] == [0.0] * (len(names) - 1 - i)


def test_branches_of_blocks_are_counted_in_a_u_as_elsewhere(tmp_path):
    trace = u_shaped("concatenate", residual=True).trace(paths=True)
    spectrum = trace.paths()
    assert len(spectrum.shares) == 8 and spectrum.shares[7] > 0  # three down, a middle, three up
    assert sum(spectrum.shares) == pytest.approx(1, abs=1e-5) and spectrum.error < 1e-5
    lines = str(spectrum).splitlines()
    assert lines[9] == "and by the skip across that it passed" and lines[-1].startswith("  none     ")
    trace.save(tmp_path / "t.json")
    assert tr.Trace.load(tmp_path / "t.json").paths() == spectrum
    trace.export(tmp_path / "t.html")
    assert "by the skip across that it passed" in (tmp_path / "t.html").read_text()
    assert tr.Graph(residual()[0]).paths().over == ()
