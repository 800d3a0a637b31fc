"""Keras' module names are real modules, and TAB shows public names only."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import subprocess
import sys
import types

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, MissingExtraError

SUBMODULES = (
    "activations backend callbacks datasets initializers layers losses metrics models ops optimizers regularizers utils"
).split()


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_module_is_imported_by_its_name(name):
    module = importlib.import_module(f"tinyres.keras.{name}")
    assert module is getattr(tr.keras, name)
    for each in module.__all__:
        assert hasattr(module, each)


def test_what_they_hold_is_the_library_s_own():
    from tinyres.keras.layers import BatchNormalization, Dense
    from tinyres.keras.models import Sequential

    assert (Dense, BatchNormalization) == (tr.layers.Dense, tr.layers.BatchNorm)
    assert Sequential is tr.Sequential


def attributes(module):
    """What dir shows, by name, but for rooms whose library is not there."""
    found = {}
    for name in dir(module):
        with contextlib.suppress(MissingExtraError):
            found[name] = getattr(module, name)
    return found


def public_modules():
    """(name, module) of every public module that is reached by attributes that dir shows."""
    pending, seen = [("tinyres", tr)], {}
    while pending:
        name, module = pending.pop()
        if name not in seen:
            seen[name] = module
            found = attributes(module).items()
            pending += [(f"{name}.{a}", value) for a, value in found if isinstance(value, types.ModuleType)]
    return seen


def test_dir_shows_public_names_of_tinyres_only():
    modules = public_modules()
    assert {f"tinyres.keras.{name}" for name in SUBMODULES} <= set(modules)
    assert {"tinyres.layers.blocks", "tinyres.optim.schedules", "tinyres.data", "tinyres.losses"} <= set(modules)
    for name, module in modules.items():
        assert dir(module) == sorted(module.__all__), name
        for each, value in attributes(module).items():
            owner = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "tinyres")
            assert not each.startswith("_") and owner.startswith("tinyres"), f"{name}.{each}"


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("layers", "Conv9D", r"\[keras.layers\] tinyres has no keras.layers.Conv9D; got this name; it has ELU, "),
        ("callbacks", "RemoteMonitor", r"no keras.callbacks.RemoteMonitor; got this name; write a Callback"),
        ("datasets", "mnist", r"no keras.datasets.mnist; got this name; use tinyres.data.load_digits\(\)"),
        ("optimizers", "Ftrl", r"tinyres has no keras.optimizers.Ftrl; got this name; use SGD or Adam"),
        ("utils", "plot_model", r"use model.graph\(x, y\).trace\(\).export"),
        ("backend", "set_learning_phase", r"call the model with training=True or False"),
    ],
)
def test_a_name_that_is_not_there_is_refused_in_words(module, name, message):
    with pytest.raises(tr.errors.UnknownNameError, match=message):
        getattr(getattr(tr.keras, module), name)


def test_losses_as_functions_take_y_true_first_and_give_one_value_per_sample():
    losses = tr.keras.losses
    y, p = np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]])
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy(y, p).numpy(), -np.log([0.5, 0.8]), rtol=1e-6)
    np.testing.assert_allclose(losses.mse(p, p + 2).numpy(), [4.0, 4.0], rtol=1e-6)
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(2, activation="softmax")])
    values = []
    for loss in (losses.sparse_categorical_crossentropy, "sparse_categorical_crossentropy"):
        model.compile("sgd", loss)
        values.append(model.evaluate(p, y)[0])
    assert values[0] == values[1]


def test_optimizers_in_the_order_of_keras():
    optimizers = tr.keras.optimizers
    adam = optimizers.Adam(0.01, 0.8, 0.99, 1e-6)
    assert (adam.lr, adam.betas, adam.epsilon) == (0.01, (0.8, 0.99), 1e-6)
    assert optimizers.SGD(0.1, 0.9, True).momentum == 0.9
    assert optimizers.SGD(lr=0.2, global_clipnorm=1.0).clip_norm == 1.0
    assert optimizers.RMSprop(0.001, 0.8).rho == 0.8
    with pytest.raises(tr.errors.ArgumentError, match=r"\[Adam\] tinyres has no option clipvalue; got 0.5; give"):
        optimizers.Adam(clipvalue=0.5)
    with pytest.raises(tr.errors.ArgumentError, match=r"\[SGD\] tinyres has no option decay; got 1e-06; give a sched"):
        optimizers.SGD(0.1, decay=1e-6)


def test_to_categorical():
    to_categorical = tr.keras.utils.to_categorical
    np.testing.assert_array_equal(to_categorical([[1], [0]], 3), [[0, 1, 0], [1, 0, 0]])
    assert to_categorical(np.array([0, 2])).dtype == np.float32
    with pytest.raises(tr.errors.ArgumentError, match=r"\[to_categorical\] labels lie in 0..1; got 0 to 2"):
        to_categorical([0, 2], num_classes=2)
    with pytest.raises(tr.errors.DTypeError, match=r"\[to_categorical\] labels are whole numbers; got float64"):
        to_categorical([0.5])


def test_one_hot_rows_that_do_not_fit_are_told():
    with pytest.raises(tr.errors.OutOfMemoryError, match=r"\[to_categorical\] it must fit .* keep the numbers"):
        tr.keras.utils.to_categorical([0, 1], num_classes=10**13)


def test_an_import_of_what_is_not_there_keeps_the_words():
    with pytest.raises(ImportError, match=r"\[keras.layers\] tinyres has no keras.layers.LSTM; got this name; th"):
        from tinyres.keras.layers import LSTM  # noqa: F401
    with pytest.raises(ImportError, match=r"\[nn\] tinyres has no nn.Linear; got this name; use tinyres.layers.Dense"):
        from tinyres.nn import Linear  # noqa: F401
    with pytest.raises(AttributeError, match=r"\[tinyres\] tinyres has no unsqueeze; got this name; use x\[:, None\]"):
        tr.unsqueeze  # noqa: B018
    assert not hasattr(tr, "unsqueeze") and not hasattr(tr.keras.layers, "LSTM")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tinyres.keras.applications", "there are no trained models; tinyres.applications builds"),
        ("tinyres.keras.preprocessing.image", "prepare arrays with NumPy"),
        ("tinyres.keras.datasets.mnist", "use tinyres.data.load_digits"),
        ("tinyres.keras.utils.np_utils", "use keras.utils.to_categorical"),
        ("tinyres.keras.layers.core", "it has ELU, Activation, Add"),
        ("tinyres.nn.Linear", "use tinyres.layers.Dense"),
        ("tinyres.cuda", "it runs on the CPU"),
        ("tinyres.foo", "what dir.tinyres. lists"),
    ],
)
def test_a_module_that_is_not_there_is_refused_in_words(module, words):
    """They died as a bare ModuleNotFoundError, the words of the same name by a dot were lost."""
    with pytest.raises(ModuleNotFoundError, match=rf"\[[a-z.]+\] tinyres has no [\w.]+; got this name; .*{words}"):
        importlib.import_module(module)


def test_modules_of_others_and_python_s_own_probing_are_left_alone():
    assert importlib.util.find_spec("tinyres._a_name_of_python_s") is None
    with pytest.raises(ModuleNotFoundError, match="No module named 'tinyresearch'"):
        importlib.import_module("tinyresearch")
    assert importlib.util.find_spec("tinyres.layers").name == "tinyres.layers"


def test_losses_by_name_take_the_targets_first():
    """`get` gave functions of (prediction, target): a divergence the wrong way round, and no error."""
    y, p = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    expected = [0.9 * np.log(1.8) + 0.1 * np.log(0.2)]
    for name in ("kl_divergence", "kld", "KLDivergence"):
        np.testing.assert_allclose(np.ravel(tr.keras.losses.get(name)(y, p)), expected, rtol=1e-5)
    huber = tr.keras.losses.Huber(delta=2.0)
    assert tr.keras.losses.get(huber) is huber and tr.keras.losses.get("mse") is tr.keras.losses.mean_squared_error
    with pytest.raises(ArgumentError, match=r"\[loss\] known names are"):
        tr.keras.losses.get("mes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "owner"),
    [
        ("from tinyres.keras.optimizers.schedules import ExponentialDecay as found", "tinyres.optim.schedules"),
        ("from tinyres.losses import get as found", "tinyres.layers.losses"),
        ("from tinyres.callbacks import EarlyStopping as found", "tinyres.training.callbacks"),
        ("from tinyres.metrics import AUC as found", "tinyres.training.counting"),
        ("from tinyres.models import Sequential as found", "tinyres.model.sequential"),
        ("from tinyres.optimizers import Adam as found", "tinyres.keras.optimizers"),
        ("from tinyres.utils import to_categorical as found", "tinyres.keras.utils"),
        ("import tinyres.callbacks; found = tinyres.callbacks.CSVLogger", "tinyres.training.writers"),
        ("from tinyres.initializers import HeNormal as found", "tinyres.nn.drawn"),
        ("from tinyres.regularizers import L2 as found", "tinyres.nn.regularizers"),
    ],
)
def test_what_is_reached_by_a_dot_is_imported_by_it(line, owner):
    run = f"{line}; print(found.__module__)"
    assert subprocess.run([sys.executable, "-c", run], capture_output=True, text=True).stdout.strip() == owner


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Nadam", "RMSprop", "SGD"])
def test_a_learning_rate_given_twice_is_refused(name):
    make = getattr(tr.keras.optimizers, name)
    for give in (lambda: make(0.5, lr=0.1), lambda: make(learning_rate=0.5, lr=0.1)):
        with pytest.raises(ArgumentError, match=rf"\[{name}\] lr and learning_rate are one; got 0.5 and lr=0.1"):
            give()
    with pytest.raises(ArgumentError, match="lr and learning_rate are one; got 0.1 and 0.5; give one"):
        getattr(tr.optim, name)(lr=0.1, learning_rate=0.5)
    assert make(lr=0.25).lr == make(learning_rate=0.25).lr == make(0.25).lr == 0.25
