"""Initialisers: the variance each promises, and where their numbers come from."""

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn import initializers
from tinyres.ops.random import default_generator
from tinyres.structure.fans import fans

SHAPE = (300, 200)


@pytest.mark.parametrize(
    "name, variance",
    [
        ("glorot_uniform", 2 / 500),
        ("glorot_normal", 2 / 500),
        ("he_uniform", 2 / 300),
        ("he_normal", 2 / 300),
        ("lecun_uniform", 1 / 300),
        ("lecun_normal", 1 / 300),
        ("random_normal", 0.05**2),
        ("random_uniform", 0.1**2 / 12),
    ],
)
def test_variance_and_mean(name, variance):
    tr.manual_seed(1)
    values = initializers.get(name)(SHAPE)
    assert values.shape == SHAPE
    assert abs(values.var() / variance - 1) < 0.03
    assert abs(values.mean()) < 4 * np.sqrt(variance / values.size)


def test_uniform_ones_stay_within_their_limit_and_normal_ones_within_two_deviations():
    tr.manual_seed(2)
    assert np.abs(initializers.GlorotUniform()(SHAPE)).max() <= np.sqrt(6 / 500)
    widened = np.sqrt(2 / 300) / 0.87962566103423978
    assert np.abs(initializers.HeNormal()(SHAPE)).max() <= 2 * widened


def test_constants():
    assert initializers.get("zeros")((2,)).tolist() == [0, 0]
    assert initializers.get("ones")((2,)).tolist() == [1, 1]
    assert initializers.Constant(3)((2,)).tolist() == [3, 3]


def test_without_a_seed_the_library_generator_decides():
    tr.manual_seed(5)
    first = [initializers.get("he_normal")((4, 4)) for _ in range(2)]
    tr.manual_seed(5)
    again = [initializers.get("he_normal")((4, 4)) for _ in range(2)]
    assert np.array_equal(first, again)
    assert not np.array_equal(*first)


def test_with_a_seed_it_gives_the_same_each_time_and_leaves_the_library_generator():
    tr.manual_seed(5)
    initializer = initializers.GlorotUniform(seed=7)
    assert np.array_equal(initializer((3, 3)), initializer((3, 3)))
    assert default_generator().state.array.tolist() == [5, 0]
    a, b = (layers.Dense(3, kernel_initializer=initializers.GlorotUniform(seed=7)) for _ in range(2))
    a(np.ones((1, 3))), b(np.ones((1, 3)))
    assert np.array_equal(a.kernel.numpy(), b.kernel.numpy())


def test_a_function_of_the_shape_is_an_initialiser():
    layer = layers.Dense(2, kernel_initializer=np.eye(3)[:, :2].copy().reshape)
    layer(np.ones((1, 3)))
    assert layer.kernel.numpy().tolist() == [[1, 0], [0, 1], [0, 0]]


def test_fans_of_kernels_with_a_receptive_field():
    assert fans(()) == (1, 1)
    assert fans((5,)) == (5, 5)
    assert fans((3, 4)) == (3, 4)
    assert fans((3, 3, 8, 16)) == (72, 144)


@pytest.mark.parametrize("wrong", ["he", 3, None, dict])
def test_unknown_names_list_the_known_ones(wrong):
    with pytest.raises(ArgumentError, match=r"\[initializer\] known names are .*he_normal.*; got "):
        initializers.get(wrong)


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_wrong_seeds(seed):
    with pytest.raises(ArgumentError, match=r"\[initializer\] a seed is an integer of at least 0, or None"):
        initializers.HeNormal(seed=seed)


@pytest.mark.parametrize("cls", [initializers.Zeros, initializers.Ones])
def test_an_initializer_without_arguments_is_shown_and_saved(cls, tmp_path):
    """Its config() asked for the attributes args and kwargs: no model with Ones() could be saved or printed."""
    assert (cls().config(), repr(cls())) == ({}, f"{cls.__name__}()")
    model = tr.Sequential([tr.Input(shape=(3,)), layers.Dense(2, kernel_initializer=cls())])
    model.save(tmp_path / "m.npz")
    loaded = tr.load(tmp_path / "m.npz")
    assert type(loaded.layers[-1].kernel_initializer) is cls


def test_a_constant_takes_values_that_broadcast_to_the_weight() -> None:
    layer = tr.layers.Dense(3, kernel_initializer=tr.initializers.Constant([[1.0], [2.0]]))
    assert layer(tr.ones((1, 2))).numpy().tolist() == [[3.0, 3.0, 3.0]]
    with pytest.raises(ShapeError, match=r"\[initializer\] the values of a constant broadcast .* got \(4,\) for"):
        tr.initializers.Constant(np.ones(4))((2, 3))
    with pytest.raises(ArgumentError, match=r"\[initializer\] constant takes a number, or an array of them; got 'a'"):
        tr.initializers.Constant("a")
