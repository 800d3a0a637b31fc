"""Model files: what comes back, damage, and kills at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, FileError
from tinyres.nn.layer import Layer
from tinyres.ops.random import default_generator


class Scaled(Layer):
    """A layer of the user's own, with a layer inside and an argument."""

    def __init__(self, units, factor=2.0, name=None):
        super().__init__(name)
        self.units, self.factor = units, factor
        self.inner = layers.Dense(units)

    def build(self, input_shape):
        self.offset = self.add_weight(name="offset", shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return self.inner(x + self.offset) * self.factor


class Subclassed(tr.Model):
    def __init__(self, units=3, name=None):
        super().__init__(name=name)
        self.units = units
        self.first, self.second = layers.Dense(units, activation="tanh"), layers.Dense(1)

    def call(self, x):
        return self.second(self.first(x))


def residual():
    inputs = x = tr.Input(shape=(4,), name="pixels")
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            shortcut = x
            x = layers.Dense(4, activation="relu", kernel_initializer=tr.initializers.HeNormal(seed=3))(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Dropout(0.2, seed=5)(x)
            x = layers.Dense(4, use_bias=False, name="last")(x)
            x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    return tr.Model(inputs, layers.Dense(3, activation="softmax")(x), name="net")


def operators():
    a, b = tr.Input(shape=(4,), name="a"), tr.Input(shape=(4,))
    shared = layers.Dense(4)
    x = shared(a) * 0.5 + shared(b)
    x = tr.tanh(x) - np.array([0.0, 1.0, -np.inf, 3.0])
    x = x[:, 1:] * x[:, None, :3].reshape(-1, 3)
    x = tr.clip(x, -1.0, 1.0)
    x = tr.concatenate([x, x**2.0], axis=-1)
    return tr.Model([a, b], [layers.Dense(2)(x), x])


def nested():
    inner_in = tr.Input(shape=(4,))
    inner = tr.Model(inner_in, layers.Dense(4, activation=tr.relu)(inner_in), name="inner")
    inputs = tr.Input(shape=(4,))
    stack = tr.Sequential([layers.Dense(4), layers.ReLU()])
    return tr.Model(inputs, Scaled(2, factor=0.5)(stack(inner(inputs))))


def sequential():
    return tr.Sequential([tr.Input(shape=(4,)), Scaled(5, name="mine"), layers.Reshape((5, 1)), layers.Flatten()])


def late():
    model = tr.Sequential([layers.Dense(3), layers.Dense(2)], name="late")
    model(np.ones((1, 4)))
    return model


def subclassed():
    model = Subclassed(5)
    model(np.ones((1, 4), np.float32))
    return model


def double():
    return residual().astype("float64")


X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 30)


def data_for(model):
    return [X, X[::-1]] if len(getattr(model, "inputs", [0])) == 2 else X


def outputs(model):
    result = model.predict(data_for(model), capture=False)
    return [a.tobytes() for a in (result if isinstance(result, list) else [result])]


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


BUILDERS = [residual, operators, nested, sequential, late, subclassed, double]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_model_comes_back_as_it_was(build, tmp_path):
    model = build()
    path = tmp_path / "model.npz"
    model.save(path)
    drawn = default_generator().state.array.tolist()
    loaded = tr.load(path)
    assert default_generator().state.array.tolist() == drawn
    assert type(loaded) is type(model)
    assert outputs(loaded) == outputs(model)
    assert list(loaded.named_weights()) == list(model.named_weights())
    assert [w.dtype for w in loaded.weights] == [w.dtype for w in model.weights]
    assert loaded.name == model.name and loaded.count_params() == model.count_params()
    assert [(type(a), a.path) for a in loaded.layers] == [(type(b), b.path) for b in model.layers]
    again = tmp_path / "again.npz"
    loaded.save(again)
    first, second = (dict(np.load(p, allow_pickle=False)) for p in (path, again))
    assert first.keys() == second.keys()
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_a_file_is_plain_arrays_and_json(tmp_path):
    residual().save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
        assert file["weights/block0/dense/kernel"].shape == (4, 4)
    assert header["format"] == "tinyres model" and header["version"] == 2
    assert header["model"]["name"] == "net"
    assert os.listdir(tmp_path) == ["m.npz"]


def small(units=4, hidden=8, extra=False, bias=True):
    x = inputs = tr.Input(shape=(units,))
    with tr.name_scope("block0"):
        x = layers.Dense(hidden)(x)
        x = layers.BatchNorm()(x) if extra else x
    return tr.Model(inputs, layers.Dense(2, use_bias=bias)(x))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"hidden": 9}, r"block0/dense/kernel has shape \(4, 8\) here, and \(4, 9\) float32 in"),
        ({"units": 5}, r"block0/dense/kernel has shape \(4, 8\) here, and \(5, 8\) float32 in"),
        ({"bias": False}, r"this model has dense/bias \(2,\), which is not in .*: it has 3 weights"),
        ({"extra": True}, r"has block0/batch_normalization/gamma \(8,\), which this model has not"),
    ],
)
def test_another_architecture_is_refused_whole(saved, message, tmp_path):
    small(**saved).save(tmp_path / "m.npz")
    model = small()
    before = bits(model)
    with pytest.raises(FileError, match=r"\[load_weights\] the file must be of the same architecture; .*" + message):
        model.load_weights(tmp_path / "m.npz")
    assert bits(model) == before


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "m.npz"
    model = small()
    model.save(path)
    whole = path.read_bytes()
    before = bits(model)
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        for read in (tr.load, model.load_weights):
            with pytest.raises(FileError, match="a model file must be complete; .* is damaged or something else"):
                read(path)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: None, r"a model file is needed; .* is not there; check the path"),
        (lambda path: path.mkdir(), r"a model file is needed; .* is a folder"),
        (lambda path: path.write_text("hello"), r"is damaged or something else .*; give a file that model.save"),
        (lambda path: path.write_bytes(b""), r"is damaged or something else .*; give a file that model.save"),
        (lambda path: np.savez(path, x=np.ones(3)), r"it has no tinyres model header"),
        (lambda path: np.savez(path, header=np.ones(3)), r"it has no tinyres model header"),
        (lambda path: np.savez(path, x=np.array([{}], dtype=object)), r"Error: arrays of object are not read"),
        (
            lambda path: header(path, {"format": "tinyres model", "version": 3}),
            r"of version 2 or older; .* is of version 3; upgrade",
        ),
        (lambda path: header(path, {"format": "tinyres model", "version": 1}), r"cannot be read as a model \(KeyError"),
        (lambda path: header(path, [1]), r"it has no tinyres model header"),
    ],
)
def test_what_is_not_a_model_is_refused(content, message, tmp_path):
    path = tmp_path / "m.npz"
    content(path)
    with pytest.raises(FileError, match=r"\[load\] .*" + message):
        tr.load(path)


def header(path, value):
    np.savez(path, header=np.frombuffer(json.dumps(value).encode(), np.uint8))


def test_a_layer_that_is_not_defined_is_named(tmp_path):
    path = tmp_path / "m.npz"
    sequential().save(path)
    arrays = dict(np.load(path))
    arrays["header"] = np.frombuffer(arrays["header"].tobytes().replace(b'.Scaled"', b'.Strange"'), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(FileError, match=r"\[load\] the file has a layer of class .*\.Strange, which is not defined;"):
        tr.load(path)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda p: small().save(p / "m.h5"), FileError, r"\[save\] a model file ends in .npz; got '.*m.h5'; name"),
        (lambda p: small().save(3), FileError, r"\[save\] a path is a string or a Path; got int"),
        (lambda p: small().save(p / "no" / "m.npz"), FileError, r"\[save\] .* cannot be written: No such file or"),
        (lambda p: tr.load(p / "m.keras"), FileError, r"\[load\] a model file ends in .npz"),
        (lambda p: tr.Sequential([layers.Dense(2)]).save(p / "m.npz"), ArgumentError, r"\[save\] a model has weights"),
        (lambda p: unwritable().save(p / "m.npz"), ArgumentError, r"\[save\] a file keeps numbers, .* <lambda>, a"),
    ],
)
def test_errors(act, error, message, tmp_path):
    with pytest.raises(error, match=message):
        act(tmp_path)
    assert os.listdir(tmp_path) == []


def unwritable():
    return tr.Sequential([tr.Input(shape=(2,)), layers.Activation(lambda x: x)])


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    model = small()
    model.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"\[save\] .* cannot be written: No space left on device; choose another"):
        small(hidden=5).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


SAVER = """
    import os, sys
    import numpy as np
    import tinyres as tr

    path = sys.argv[1]
    inputs = tr.Input(shape=(64,))
    model = tr.Model(inputs, tr.layers.Dense(256)(tr.layers.Dense(256)(inputs)))
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            version = float(line)
            while True:
                version += 1.0
                model.set_weights([np.full(w.shape, version) for w in model.get_weights()])
                model.save(path)
        print(child, flush=True)
        os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the saver")
def test_a_hundred_kills_leave_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "m.npz"
    rng = np.random.default_rng(0)
    inputs = tr.Input(shape=(64,))
    model = tr.Model(inputs, layers.Dense(256)(layers.Dense(256)(inputs)))
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    began = time.perf_counter()
    model.save(path)
    save_seconds = time.perf_counter() - began
    versions = []
    saver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SAVER), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with saver:
        for _ in range(100):
            saver.stdin.write(f"{versions[-1] if versions else 0}\n")
            saver.stdin.flush()
            child = int(saver.stdout.readline())
            time.sleep(rng.uniform(0.0, max(0.03, 3 * save_seconds)))
            os.kill(child, signal.SIGKILL)
            model.load_weights(path)
            (value,) = {float(v) for w in model.get_weights() for v in np.unique(w)}
            versions.append(value)
        saver.stdin.close()
    assert saver.returncode == 0
    assert versions == sorted(versions)
    assert versions[-1] > 10, "the saver was killed before it could save anything"
