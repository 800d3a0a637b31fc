"""Names that files use: nobody's class or op takes the place of another, here or in what is loaded later."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.engine.op import DEFINED_OPS, OPS
from tinyres.errors import ArgumentError, FileError
from tinyres.nn.initializers import INITIALIZERS, HeNormal
from tinyres.nn.layer import LAYERS
from tinyres.ops.elementwise import RELU
from tinyres.optim import OPTIMIZERS
from tinyres.store.definitions import Definitions

OLD = Path(__file__).parent / "old"
X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _names_stay() -> None:
    tables = [OPS, OPTIMIZERS, INITIALIZERS, LAYERS._found, DEFINED_OPS._found]
    before = [dict(table) for table in tables]
    for path in before[3]:
        if not path.startswith("tinyres."):
            del LAYERS._found[path]  # what other files of tests define
    yield
    for table, was in zip(tables, before):
        table.clear()
        table.update(was)


def defined(source: str, module: str = "nets") -> dict:
    """What this source defines as a module of this name."""
    names = {"__name__": module, "tr": tr, "layers": layers}
    exec(source, names)
    return names


GATE = """
class Gate(layers.Layer):
    def __init__(self, start=0.5, name=None):
        super().__init__(name); self.start = start
    def build(self, input_shape):
        self.openness = self.add_weight(name="openness", shape=(input_shape[-1],), initializer="ones")
    def call(self, x):
        return x * tr.sigmoid(self.openness) * self.start
"""


def model_of(layer):
    return tr.Sequential([tr.Input(shape=(4,)), layer])


def test_a_class_of_ones_own_called_dense_takes_nobody_s_place(tmp_path):
    model = model_of(layers.Dense(3))
    model.save(tmp_path / "m.npz")
    own = defined("class Dense(layers.Layer):\n    def call(self, x):\n        return x * 0.0\n")["Dense"]
    loaded = tr.load(tmp_path / "m.npz")
    assert type(loaded.layers[0]) is layers.Dense
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    model_of(own()).save(tmp_path / "own.npz")
    assert type(tr.load(tmp_path / "own.npz").layers[0]) is own
    old = tr.load(OLD / "model-1.npz", custom_objects={"Gate": defined(GATE)["Gate"]})
    assert type(old.get_layer("block0/dense")) is layers.Dense


def test_two_modules_may_have_classes_of_one_name(tmp_path):
    source = "class Times(layers.Layer):\n    def call(self, x):\n        return x * {}\n"
    one, two = (defined(source.format(n), f"nets{n}")["Times"] for n in (1.0, 2.0))
    model_of(one()).save(tmp_path / "one.npz")
    model_of(two()).save(tmp_path / "two.npz")
    assert type(tr.load(tmp_path / "one.npz").layers[0]) is one
    assert type(tr.load(tmp_path / "two.npz").layers[0]) is two


def test_a_class_that_is_defined_again_replaces_itself(tmp_path):
    model_of(defined(GATE)["Gate"]()).save(tmp_path / "m.npz")
    again = defined(GATE)["Gate"]
    assert type(tr.load(tmp_path / "m.npz").layers[0]) is again


def test_a_script_s_class_is_found_in_the_module_it_becomes(tmp_path):
    model_of(defined(GATE, "__main__")["Gate"]()).save(tmp_path / "m.npz")
    del LAYERS._found["__main__.Gate"]
    imported = defined(GATE, "nets")["Gate"]
    assert type(tr.load(tmp_path / "m.npz").layers[0]) is imported
    defined(GATE, "other")
    with pytest.raises(FileError, match=r"a layer of class __main__.Gate, .*; to take nets.Gate, other.Gate, give cus"):
        tr.load(tmp_path / "m.npz")
    assert type(tr.load(tmp_path / "m.npz", custom_objects={"__main__.Gate": imported}).layers[0]) is imported


def test_a_class_of_another_module_is_not_taken_for_it(tmp_path):
    model_of(defined(GATE, "here")["Gate"]()).save(tmp_path / "m.npz")
    del LAYERS._found["here.Gate"]
    defined(GATE, "there")
    with pytest.raises(
        FileError, match=r"\[load\] the file has a layer of class here.Gate, which is not defined; to t"
    ):
        tr.load(tmp_path / "m.npz")


def test_two_classes_of_one_path_are_not_saved_as_one(tmp_path):
    def made(factor):
        class Times(layers.Layer):
            def call(self, x):
                return x * factor

        return Times()

    model = tr.Sequential([tr.Input(shape=(4,)), made(1.0), made(2.0)])
    with pytest.raises(
        ArgumentError, match=r"\[save\] a file finds classes .* by module and name; two .*made\.<locals"
    ):
        model.save(tmp_path / "m.npz")


@pytest.mark.parametrize("name", ["relu", "add", "matmul"])
def test_the_name_of_an_op_is_taken_once(name):
    genuine = OPS[name]
    with pytest.raises(
        ArgumentError, match=rf"\[Op\] a name stands for one op; '{name}' is taken by tinyres\..*; choo"
    ):
        tr.Op(name, shape=genuine.shape, forward=genuine.forward)
    assert OPS[name] is genuine and DEFINED_OPS[f"tinyres.{name}"] is genuine


def test_a_cell_that_defines_an_op_may_run_again(tmp_path):
    cell = 'half = tr.Op("half", shape=relu.shape, forward=relu.forward)'
    names = {"__name__": "__main__", "tr": tr, "relu": RELU}
    exec(cell, names)
    exec(cell, names)
    assert OPS["half"] is names["half"] and names["half"].path == "__main__.half"
    with pytest.raises(ArgumentError, match=r"'half' is taken by __main__; choose another name"):
        tr.Op("half", shape=RELU.shape, forward=RELU.forward)


SWISH = """
swish = tr.custom_vjp(
    lambda x: x * tr.sigmoid(x) * {}, lambda g, ctx: (g * {},), "swish"
)
"""


def test_own_ops_of_one_name_in_two_modules_and_in_files(tmp_path):
    one = defined(SWISH.format(1.0, 1.0), "one")["swish"]
    two = defined(SWISH.format(2.0, 2.0), "two")["swish"]
    for name, op in (("one", one), ("two", two)):
        inputs = tr.Input(shape=(4,))
        model = tr.Model(inputs, op(inputs))
        model.save(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(tr.load(tmp_path / f"{name}.npz").predict(X), model.predict(X))
    defined(SWISH.format(3.0, 3.0), "one")
    again = tr.load(tmp_path / "one.npz").predict(X)
    np.testing.assert_allclose(again, 3.0 * X / (1.0 + np.exp(-X)), rtol=1e-5)
    inputs = tr.Input(shape=(4,))
    both = tr.Model(inputs, defined(SWISH.format(4.0, 4.0), "one")["swish"](one(inputs)))
    with pytest.raises(ArgumentError, match=r"two that differ are both called one.swish"):
        both.save(tmp_path / "both.npz")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            'class Mine(tr.optim.SGD):\n    name = "adam"',
            r"\[Mine\] .*'adam' is that of tinyres.optim.adam.Adam; choose",
        ),
        ('class Mine(HeNormal):\n    name = "zeros"', r"\[Mine\] a name stands for one class; 'zeros' is that of "),
    ],
)
def test_a_short_name_is_taken_once(source, message):
    before = OPTIMIZERS["adam"], INITIALIZERS["zeros"]
    with pytest.raises(ArgumentError, match=message):
        exec(source, {"__name__": "nets", "tr": tr, "HeNormal": HeNormal})
    assert (OPTIMIZERS["adam"], INITIALIZERS["zeros"]) == before


def test_a_subclass_does_not_take_its_parent_s_name(tmp_path):
    class Patient(tr.optim.SGD):
        pass

    class Shy(HeNormal):
        def __call__(self, shape):
            return super().__call__(shape) * 0.0

    assert OPTIMIZERS["sgd"] is tr.optim.SGD and INITIALIZERS["he_normal"] is HeNormal
    model = model_of(layers.Dense(2, kernel_initializer=Shy()))
    model.compile(Patient(lr=0.5), "mse")
    model.save(tmp_path / "m.npz")
    loaded = tr.load(tmp_path / "m.npz")
    assert type(loaded.optimizer) is Patient and type(loaded.layers[0].kernel_initializer) is Shy


def test_the_library_has_each_class_once():
    found: Definitions[object] = Definitions("a class")
    found.add("tinyres.layers.dense", "Dense", 1)
    found.add("tinyres.layers.dense", "Dense", 2)
    assert found["tinyres.Dense"] == 2
    with pytest.raises(
        ArgumentError, match=r"\[Dense\] .* tinyres.Dense is defined in tinyres.layers.dense, got it in t"
    ):
        found.add("tinyres.other", "Dense", 3)


def test_old_models_load_and_go_on():
    gate = defined(GATE, "anywhere")["Gate"]
    model = tr.load(OLD / "model-1.npz")
    assert type(model.layers[-2]) is gate and model.epoch == 2 and model.optimizer.steps == 2
    np.testing.assert_allclose(model.predict(X), np.load(OLD / "prediction.npy"), rtol=1e-5)
    model.fit(X, np.arange(16) % 3, epochs=3, initial_epoch=2, verbose=0)


def test_nothing_is_imported_for_a_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "trap.py").write_text("raise SystemExit")
    model_of(defined(GATE, "trap")["Gate"]()).save(tmp_path / "m.npz")
    del LAYERS._found["trap.Gate"]
    with pytest.raises(FileError, match="trap.Gate, which is not defined; import or define it, then load"):
        tr.load(tmp_path / "m.npz")
    assert not isinstance(sys.modules.get("trap"), ModuleType)
