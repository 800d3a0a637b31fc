"""Charts through matplotlib: the Axes hold what was measured."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from small_nets import residual

import tinyres as tr

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def figures():
    """Draw without a screen, and close what was drawn."""
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(backend)


@pytest.fixture(scope="module")
def plain():
    return tr.Graph(residual(blocks=8, skip=False)[0]).trace()


@pytest.fixture(scope="module")
def net():
    return tr.Graph(residual(blocks=5)[0]).trace(paths=True)


def test_gradient_by_depth(net):
    ax = net.plot()
    measured, fit = ax.get_lines()
    np.testing.assert_allclose(measured.get_ydata(), [b.grad_norm for b in net.blocks])
    rate = (fit.get_ydata()[0] / fit.get_ydata()[-1]) ** (1 / 4)
    assert fit.get_label().startswith(f"fit: × {rate:.2f} (") and "per block toward the input" in fit.get_label()
    assert ax.get_yscale() == "log" and "L2 norm" in ax.get_ylabel()


def test_theory_goes_through_the_last_block():
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(32,))
    for i in range(6):
        with tr.name_scope(f"block{i}"):
            x = tr.layers.Dense(32, activation="relu")(x)
    model = tr.Model(inputs, x)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(64, 32)), rng.normal(size=(64, 32))
    trace = model.graph(*data, loss="mse").trace()
    *_, theory = trace.plot("gradient").get_lines()
    line = theory.get_ydata()
    assert line[-1] == pytest.approx(trace.blocks[-1].grad_norm)
    np.testing.assert_allclose(line[1:] / line[:-1], 2**0.5)
    assert theory.get_label() == "theory for Glorot and ReLU: × 0.71"


def test_shares_are_stacked(net):
    bars = net.plot("share").patches
    skips, branches = bars[:5], bars[5:]
    np.testing.assert_allclose([b.get_height() for b in skips], [b.skip for b in net.blocks])
    np.testing.assert_allclose([b.get_height() for b in branches], [b.branch for b in net.blocks])
    np.testing.assert_allclose([b.get_y() for b in branches], [max(0, b.skip) for b in net.blocks])


def test_negative_shares_are_hatched():
    x = tr.tensor(np.ones((2, 3)), name="input")
    with tr.name_scope("block0"):
        y = x + tr.matmul(x, tr.Parameter(-0.5 * np.eye(3), "kernel"))
    ax = tr.Graph(tr.mean(y * y)).trace().plot("share")
    skip, branch = ax.patches
    assert (skip.get_height(), branch.get_height()) == pytest.approx((2.0, -1.0))
    assert (skip.get_hatch(), branch.get_hatch()) == (None, "////")
    assert ax.get_ylim() == pytest.approx((-1.05, 2.1))


def test_paths_beside_the_binomial(net):
    ax = net.plot("paths")
    np.testing.assert_allclose([b.get_height() for b in ax.patches], net.paths().shares)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), np.array([1, 5, 10, 10, 5, 1]) / 32)


def test_into_given_axes(net):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert net.plot("share", ax=ax) is ax


def test_zeros_are_gaps_not_small_numbers():
    trace = tr.Graph(residual(blocks=3, scale=0.0)[0]).trace()
    ax = trace.plot()
    assert np.isnan(ax.get_lines()[0].get_ydata()).all()
    assert "0 or not finite" in ax.texts[0].get_text()
    assert all(np.isnan(b.get_height()) for b in trace.plot("share").patches)


def test_comparison(plain, net):
    compared = tr.compare(plain=plain, residual=net)
    lines = compared.plot().get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), [b.grad_norm for b in plain.blocks])
    np.testing.assert_allclose(lines[1].get_ydata(), [b.grad_norm for b in net.blocks])
    assert lines[0].get_label() == f"plain: × {compared.flows[0].rate:.2f} per block"
    assert lines[0].get_color() != lines[1].get_color()


def test_heat_map_of_a_training():
    model = tr.Sequential([tr.layers.Dense(4, activation="relu"), tr.layers.Dense(1)])
    model.compile(loss="mse")
    history = model.fit(np.eye(6), np.ones((6, 1)), epochs=2, batch_size=2, verbose=0, watch=2)
    ax = history.gradients.plot()
    (image,) = ax.collections
    np.testing.assert_allclose(image.get_array().reshape(2, -1), history.gradients.norms.T)
    assert [t.get_text() for t in ax.get_yticklabels()] == history.gradients.names
    assert ax.get_ylim() == (1.5, -0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_pictures(net, tmp_path, suffix, magic):
    net.export(tmp_path / f"x.{suffix}")
    assert (tmp_path / f"x.{suffix}").read_bytes().startswith(magic)


def test_a_kind_that_is_not_known(net):
    with pytest.raises(tr.errors.ArgumentError) as error:
        net.plot("norms")
    assert str(error.value) == (
        "[plot] the kind of a chart is one of gradient, share, paths; got 'norms'; choose one of them"
    )


def test_paths_that_were_not_measured(plain):
    with pytest.raises(tr.errors.TraceError, match=r"paths were not measured; call graph.trace\(paths=True\)"):
        plain.plot("paths")


@pytest.mark.parametrize("draw", [lambda t: t.plot(), lambda t: t.export("x.png")])
def test_without_matplotlib(net, monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(tr.errors.MissingExtraError) as error:
        draw(net)
    assert str(error.value) == (
        "[plot] charts are drawn by matplotlib; it is not installed; run: python3 -m pip install 'tinyres[plot]'"
    )


def test_the_swatch_of_the_paths_chart_is_not_that_of_a_negative_first_share():
    x = tr.tensor(np.ones((2, 3)), name="input")
    with tr.name_scope("block0"):
        y = x + tr.matmul(x, tr.Parameter(-3.0 * np.eye(3), "kernel"))
    ax = tr.Graph(tr.mean(y * y)).trace(paths=True).plot("paths")
    assert [bar.get_hatch() for bar in ax.patches] == ["////", None]
    swatches = dict(zip([t.get_text() for t in ax.get_legend().get_texts()], ax.get_legend().legend_handles))
    assert swatches["share of the gradient"].get_hatch() is None and swatches["negative"].get_hatch() == "////"


def test_blanks_of_a_heat_map_are_hatched_and_no_colour_is_grey():
    from tinyres.view.plots import heat_map

    ax = heat_map(np.arange(3), ["a", "b"], np.array([[1.0, 0.0], [10.0, np.nan], [100.0, 1e-3]]))
    (image,) = ax.collections
    (blank,) = ax.patches
    assert blank.get_hatch() == "////" and blank.get_zorder() < image.get_zorder()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["0, not finite or not measured"]
    colours = image.get_cmap()(np.linspace(0, 1, 64))[:, :3]
    assert np.ptp(colours, axis=1).min() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_pictures_of_nets_compared(net, plain, tmp_path, suffix, magic):
    tr.compare(plain=plain, residual=net).export(tmp_path / f"x.{suffix}")
    assert (tmp_path / f"x.{suffix}").read_bytes().startswith(magic)
    with pytest.raises(tr.errors.ArgumentError, match=r"\[export\] a comparison is exported as one of .svg, .html, "):
        tr.compare(plain, net).export(tmp_path / "x.gif")
