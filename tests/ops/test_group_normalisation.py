"""Layer, RMS and group normalisation: laws that hold exactly, what they refuse, and large means."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.backends import native
from tinyres.errors import ArgumentError, ShapeError

ISAS = [name for name, supported in native.isas().items() if supported] if native.AVAILABLE else []


@pytest.fixture
def restored_native() -> Iterator[None]:
    before = native.isa(), native.threads()
    yield
    native.select_isa(before[0])
    native.set_threads(before[1])


BRANCHES: dict[str, Callable[[], layers.Layer]] = {
    "layer": lambda: layers.LayerNormalization(epsilon=0.0),
    "rms": lambda: layers.RMSNormalization(epsilon=0.0),
    "group": lambda: layers.GroupNormalization(2, epsilon=0.0),
    "instance": lambda: layers.GroupNormalization(-1, epsilon=0.0),
    "batch": lambda: layers.BatchNormalization(epsilon=0.0),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_normalised_branch_sends_back_nothing_along_its_input(name: str) -> None:
    """It does not see the size of its input: F(c x) = F(x), so <x, dL/dx> through it is 0 where epsilon is."""
    inputs = tr.Input(shape=(5, 8))
    y = BRANCHES[name]()(inputs)
    y = layers.Dense(8, activation="gelu")(y)
    model = tr.Model(inputs, layers.Dense(8)(y))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model = model.astype("float64")
    x = tr.tensor(rng.normal(1.0, 2.0, (6, 5, 8)), requires_grad=True, dtype="float64")
    (model(x, training=True) * rng.normal(size=(6, 5, 8))).sum().backward()
    assert x.grad is not None
    g = x.grad.numpy()
    assert abs(np.vdot(x.numpy(), g)) < 1e-13 * np.linalg.norm(x.numpy()) * np.linalg.norm(g)


@pytest.mark.parametrize("name", ["layer", "group", "instance", "batch"])
def test_what_a_mean_takes_off_gets_no_gradient(name: str) -> None:
    """F(x + c) = F(x) for one c throughout: the gradient sums to 0. RMS normalisation takes no mean off."""
    layer = BRANCHES[name]()
    layer.epsilon = 1e-3  # type: ignore[attr-defined]
    x = tr.tensor(np.random.default_rng(1).normal(size=(6, 5, 8)), requires_grad=True)
    (layer(x, training=True) * np.random.default_rng(2).normal(size=x.shape).astype("float32")).sum().backward()
    assert x.grad is not None
    assert abs(x.grad.numpy().sum(dtype=np.float64)) < 1e-5


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(64, 128), (64, 1000), (4, 50, 6)])
@pytest.mark.parametrize("offset", [0.0, 1e4, -3e3])
def test_a_mean_far_from_0_costs_no_digits(
    isa: str, shape: tuple[int, ...], offset: float, restored_native: None
) -> None:
    native.select_isa(isa)
    x = np.random.default_rng(0).normal(offset, 1.0, shape).astype("float32")
    exact = x.astype("float64")
    axes = tuple(range(1, len(shape)))
    wanted = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True) + 1e-3)
    y = tr.layer_norm(tr.tensor(x)) if len(shape) == 2 else tr.group_norm(tr.tensor(x), groups=1)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_nan_and_inf_stay_in_their_row(isa: str, restored_native: None) -> None:
    native.select_isa(isa)
    x = np.ones((4, 40), np.float32) * np.arange(40, dtype=np.float32)
    x[1, 3], x[2, 39] = np.nan, np.inf
    for op in (tr.layer_norm, tr.rms_norm):
        y = op(tr.tensor(x)).numpy()
        assert np.isfinite(y[[0, 3]]).all()
        assert np.isnan(y[1]).all()
        assert np.isnan(y[2, 39])


@pytest.mark.parametrize("make", [layers.LayerNormalization, layers.RMSNormalization, layers.GroupNormalization])
def test_a_captured_step_is_the_eager_one_bit_for_bit(make: Callable[..., layers.Layer]) -> None:
    def trained(capture: bool) -> list[np.ndarray]:
        tr.manual_seed(0)
        x = inputs = tr.Input(shape=(6, 32))
        for i in range(2):
            with tr.name_scope(f"block{i}"):
                y = layers.Dense(32, activation="relu")(make()(x))
                x = layers.Add()([x, y])
        model = tr.Model(inputs, layers.Dense(1)(layers.Flatten()(make()(x))))
        model.compile(optimizer="adamw", loss="mse")
        rng = np.random.default_rng(0)
        model.fit(rng.normal(size=(64, 6, 32)), rng.normal(size=(64, 1)), epochs=2, verbose=0, capture=capture)
        return model.get_weights()

    for eager, captured in zip(trained(False), trained(True), strict=True):
        np.testing.assert_array_equal(eager, captured)


REFUSED = {
    "layer_norm_features": (
        lambda: tr.layer_norm(tr.ones((2, 3)), tr.ones((4,))),
        ShapeError,
        "[layer_norm] gamma and beta must have one element per feature, shape (3,); got (4,) for an input of shape "
        "(2, 3); build the layer for this input",
    ),
    "layer_norm_axis": (
        lambda: tr.layer_norm(tr.ones((2, 3, 4)), axis=1),
        ArgumentError,
        "[layer_norm] normalises over the last axes; got axis=1 for 3 axes; permute them to the end",
    ),
    "layer_norm_scalar": (
        lambda: tr.layer_norm(tr.tensor(1.0)),
        ShapeError,
        "[layer_norm] the input must have the axes to normalise over; got (); give rows of features",
    ),
    "layer_norm_nothing": (
        lambda: tr.rms_norm(tr.ones((2, 0))),
        ShapeError,
        "[rms_norm] there must be something to normalise over; got shape (2, 0); give it features",
    ),
    "group_norm_groups": (
        lambda: tr.group_norm(tr.ones((2, 6)), groups=4),
        ShapeError,
        "[group_norm] groups must divide the channels, which are 65,536 at most; got 4 groups for shape (2, 6); "
        "choose a divisor of the channels",
    ),
    "group_norm_batch": (
        lambda: tr.group_norm(tr.ones((6,)), groups=2),
        ShapeError,
        "[group_norm] the input must have shape (batch, ..., channels); got (6,); add an axis",
    ),
    "layer_axis": (
        lambda: layers.LayerNormalization(axis="last"),
        ArgumentError,
        "[LayerNormalization] axis is that of the features, -1; got 'last'; leave it out",
    ),
    "layer_axes_in_between": (
        lambda: layers.LayerNormalization(axis=1)(np.ones((2, 3, 4))),
        ArgumentError,
        "[LayerNormalization] normalises over the last axes; got axis=1 for 3 axes; permute them to the end",
    ),
    "layer_over_the_batch": (
        lambda: layers.RMSNormalization(axis=[0, 1], name="n")(np.ones((2, 3))),
        ArgumentError,
        "[RMSNormalization] n normalises each sample by itself; got axis=[0, 1] for shape (2, 3), which holds the "
        "batch; leave it out",
    ),
    "layer_epsilon": (
        lambda: layers.LayerNormalization(epsilon=-1.0),
        ArgumentError,
        "[LayerNormalization] epsilon is at least 0; got -1.0; leave it out for Keras' default",
    ),
    "groups_none": (
        lambda: layers.GroupNormalization(0),
        ArgumentError,
        "[GroupNormalization] groups is a number of groups, or -1 for one per channel; got 0; "
        "choose a divisor of the channels",
    ),
    "groups_divide": (
        lambda: layers.GroupNormalization(name="n")(np.ones((2, 5, 24))),
        ArgumentError,
        "[GroupNormalization] groups must divide the channels; got groups=32 for 24 channels of shape (2, 5, 24); "
        "choose a divisor, or -1 for one group per channel",
    ),
    "groups_axis": (
        lambda: layers.GroupNormalization(2, axis=1, name="n")(np.ones((2, 4, 5))),
        ArgumentError,
        "[GroupNormalization] n takes the channels in the last axis; got axis=1 for shape (2, 4, 5); transpose once, "
        "by layers.Permute before it, and leave axis out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    run, error, text = REFUSED[name]
    with pytest.raises(error) as caught:
        run()
    assert str(caught.value) == text


def test_another_width_than_the_layer_was_built_for_is_refused() -> None:
    layer = layers.LayerNormalization(name="n")
    layer(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"n was built for features of shape \(3,\) at the end; got shape \(2, 4\)"):
        layer(np.ones((2, 4)))


@pytest.mark.parametrize("make", [layers.LayerNormalization, layers.RMSNormalization, layers.GroupNormalization])
def test_it_is_saved_with_its_model(make: Callable[..., layers.Layer], tmp_path: object) -> None:
    model = tr.Sequential([tr.Input(shape=(3, 32)), make(name="norm"), layers.Dense(2)])
    model.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.get_weights())])
    x = np.random.default_rng(9).normal(size=(4, 3, 32))
    model.save(f"{tmp_path}/m.npz")
    loaded = tr.load(f"{tmp_path}/m.npz")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.get_layer("norm").epsilon == model.get_layer("norm").epsilon


def test_a_trace_knows_what_they_normalise_over() -> None:
    x = inputs = tr.Input(shape=(4, 8))
    for i, layer in enumerate((layers.LayerNormalization(), layers.RMSNormalization(), layers.GroupNormalization(2))):
        with tr.name_scope(f"block{i}"):
            x = layers.Add()([x, layers.Dense(8)(layer(x))])
    model = tr.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    trace = model.graph(rng.normal(size=(16, 4, 8)), rng.normal(size=(16, 1))).trace(audit="full")
    assert trace.audit().ok
    found = [next(n.facts.normalises for n in b.nodes if n.facts.normalises) for b in trace.blocks]
    assert found == ["layer", "rms", "group"]
