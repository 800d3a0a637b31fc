"""Every public class that constructors can make, every public function and result: rebuilt from values, or refused."""

from __future__ import annotations

import copy
import functools
import inspect
import multiprocessing
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr

MODULES = [
    tr.layers, tr.losses, tr.metrics, tr.optim, tr.optim.schedules, tr.callbacks, tr.initializers, tr.regularizers,
    tr.keras.losses, tr.keras.metrics, tr.keras.optimizers, tr.keras.callbacks,
]  # fmt: skip
# What constructors ask for, by name; a class that asks for more is not made, and is pickled as a class only.
NEEDED = {
    "units": 3, "filters": 4, "kernel_size": 2, "rate": 0.25, "activation": "relu", "target_shape": (-1,), "n": 2,
    "dims": (2, 1), "function": tr.tanh, "axes": 1, "scale": 0.5, "height": 3, "width": 3, "shape": (3,),
    "schedule": abs, "decay_steps": 2, "decay_rate": 0.5, "boundaries": [1], "values": [0.1, 0.2], "peak": 0.1,
    "initial_learning_rate": 0.1, "first_decay_steps": 2, "warmup_steps": 2, "total_steps": 3, "filepath": "m.npz",
    "filename": "log.csv", "path": "m.npz", "fn": tr.tanh, "monitor": "loss",
}  # fmt: skip
BASES = {
    tr.optim.Optimizer, tr.layers.Layer, tr.layers.InputLayer, tr.initializers.Initializer, tr.regularizers.Regularizer,
}  # fmt: skip
COPYINGS = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy, copy.copy]


def made(cls: type) -> Any:
    arguments = inspect.signature(cls).parameters.values()
    needed = [a.name for a in arguments if a.default is a.empty and a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)]
    if inspect.isabstract(cls) or any(name not in NEEDED for name in needed):
        return None
    try:
        return cls(**{name: NEEDED[name] for name in needed})
    except tr.errors.MissingExtraError:  # what it writes for is not there
        return None


@functools.cache
def public() -> dict[str, Any]:
    """What the modules show, and an instance of each class that can be made."""
    found: dict[str, Any] = {}
    for module in MODULES:
        for name in dir(module):
            value = getattr(module, name)
            if callable(value):
                found[f"{module.__name__}.{name}"] = value
                instance = made(value) if isinstance(value, type) and value not in BASES else None
                if instance is not None:
                    found[f"{module.__name__}.{name}()"] = instance
    return found


def results() -> dict[str, Any]:
    """What models, traces and data give."""
    x, y = np.linspace(-1.0, 1.0, 32, dtype="f4").reshape(8, 4), np.arange(8) % 3
    model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=1, verbose=0, watch=1)
    graph = model.graph(x, y)
    trace = graph.trace(paths=True)
    return {
        "history": history, "gradients": history.gradients, "trace": trace, "node": trace.nodes[0],
        "edge": trace.edges[0], "paths": trace.paths(), "audit": trace.audit(), "lint": graph.lint(),
        "comparison": tr.compare(a=trace, b=trace), "loader": tr.data.Loader(x, y), "info": tr.info(),
    }  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether both are of one class and say the same."""
    config = getattr(one, "config", None) if not isinstance(one, type) else None
    return type(one) is type(other) and (config is None or repr(config()) == repr(other.config()))


@pytest.mark.parametrize("copying", COPYINGS, ids=["pickle", "deepcopy", "copy"])
def test_all_that_is_public_is_rebuilt(copying: Callable[[Any], Any]) -> None:
    wrong = []
    for name, value in public().items():
        try:
            good = same(value, copying(value))
        except Exception as error:
            good = f"{type(error).__name__}: {error}"
        if good is not True:
            wrong.append((name, good))
    assert not wrong
    assert len(public()) > 300


@pytest.mark.parametrize("copying", COPYINGS, ids=["pickle", "deepcopy", "copy"])
def test_results_are_rebuilt(copying: Callable[[Any], Any]) -> None:
    for name, value in results().items():
        twin = copying(value)
        assert type(twin) is type(value), name
        if name in ("trace", "paths", "audit", "lint", "comparison", "info"):
            assert str(twin) == str(value), name
        if name == "history":
            assert twin.history == value.history


@pytest.mark.parametrize("library", ["mlflow", "wandb"])
def test_a_logger_holds_no_module(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was imported stood in the callback where its library was installed: no pickle takes a module."""
    monkeypatch.setitem(sys.modules, library, types.ModuleType(library))
    logger = {"mlflow": tr.callbacks.MLflow, "wandb": tr.callbacks.WandB}[library]()
    for copying in COPYINGS:
        assert type(copying(logger)) is type(logger)


@pytest.mark.parametrize("copying", COPYINGS, ids=["pickle", "deepcopy", "copy"])
def test_an_op_stays_the_one_of_its_table(copying: Callable[[Any], Any]) -> None:
    """A copied Op was another op, with which nothing could be traced; a pickled one ended in AttributeError."""
    for op in tr.engine.op.OPS.values():
        assert copying(op) is op


def test_a_copied_loss_and_metric_measure_the_same() -> None:
    """Losses and metrics held functions within functions, which no pickle takes."""
    y, p = np.array([0, 2, 1]), np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    for copying in COPYINGS:
        loss = copying(tr.losses.SparseCategoricalCrossentropy())
        assert float(loss(y, p)) == float(tr.losses.SparseCategoricalCrossentropy()(y, p))
        smoothed = tr.losses.CategoricalCrossentropy(label_smoothing=0.2, reduction="sum")
        assert float(copying(smoothed)(np.eye(3)[y], p)) == float(smoothed(np.eye(3)[y], p))
        metric = tr.metrics.CosineSimilarity()
        metric.update_state(np.eye(3)[y], p)
        twin = copying(metric)
        assert float(twin.result()) == float(metric.result())


def _told(values: dict[str, Any]) -> dict[str, str]:
    return {name: type(value).__name__ for name, value in values.items()}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_all_of_it_reaches_a_worker_process(method: str) -> None:
    sent = {**public(), **results()}
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_told, (sent,)) == _told(sent)
