"""Model files that somebody wrote to do harm: FileError, or a model that runs safely; no kernel sees what they say."""

from __future__ import annotations

import copy
import json
import resource

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.engine.attributes import fits, judge
from tinyres.engine.op import OPS, apply
from tinyres.errors import ArgumentError, DTypeError, FileError, ShapeError
from tinyres.kernels.record import ACCUMULATE, HALF_OF_K
from tinyres.store import text

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def operators():
    """A model with an op of many kinds, constants, a Parameter and nested layers."""
    inputs = tr.Input(shape=(4,))
    w = tr.Parameter(np.ones((4, 4), np.float32), "w")
    x = tr.matmul(inputs, w) + np.array([1.0, 2.0, 3.0, 4.0])
    x = tr.clip(x, -2.0, np.inf)
    x = tr.concatenate([x, x[:, 1:3]], axis=-1)
    x = tr.pad(x, ((0, 0), (1, 1))) * 0.5
    x = x[:, None, ::2].reshape(-1, 4)
    x = tr.where(tr.greater(x, 0.0), x, -1.0)
    x = x - x.max(axis=1, keepdims=True)
    x = layers.Add()([layers.Dense(4, activation="relu")(x), x])
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    inner = tr.Sequential([tr.Input(shape=(4,)), layers.Dense(3, kernel_initializer=tr.initializers.HeNormal(seed=1))])
    model = tr.Model(inputs, inner(x))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, np.ones((5, 3)), epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(header, arrays) of a good file."""
    path = tmp_path_factory.mktemp("hostile") / "m.npz"
    tr.manual_seed(0)
    operators().save(path)
    arrays = dict(np.load(path, allow_pickle=False))
    return text.decoded(arrays.pop("header").tobytes()), arrays


def written(path, header, arrays):
    np.savez(path, header=np.frombuffer(text.encoded(header), np.uint8), **arrays)
    return path


def layer_of(header, name):
    return next(layer for layer in header["model"]["graph"]["layers"] if layer["name"] == name)


def set_attrs(name, *attrs):
    def change(header, arrays):
        layer_of(header, name)["attrs"] = {"$": "tuple", "value": list(attrs)}

    return change


def set_in(*path, value):
    def change(header, arrays):
        *way, last = path
        at = header
        for key in way:
            at = layer_of(header, key[1:]) if isinstance(key, str) and key.startswith("@") else at[key]
        at[last] = value

    return change


def tuples(value):
    return {"$": "tuple", "value": [tuples(v) if isinstance(v, list) else v for v in value]}


HOSTILE = {
    "half of k on a matmul": set_attrs("matmul", HALF_OF_K),
    "accumulate on a matmul": set_attrs("matmul", ACCUMULATE),
    "flags without end": set_attrs("matmul", 1 << 70),
    "a bool for flags": set_attrs("matmul", True),
    "no flags": set_attrs("matmul"),
    "two flags": set_attrs("matmul", 0, 0),
    "text for flags": set_attrs("matmul", "0"),
    "a fraction for flags": set_attrs("matmul", 1.0),
    "flags of compare": set_attrs("compare", 7 << 4),
    "layout bits of compare": set_attrs("compare", 3),
    "numbers for clip": set_attrs("clip", None, 1.0),
    "three limits": set_attrs("clip", 0.0, 1.0, 2.0),
    "an axis of concatenate": set_attrs("concatenate", 17),
    "two axes of concatenate": set_attrs("concatenate", 0, 1),
    "negative widths": set_attrs("pad", tuples([[0, 0], [-3, 1]]), 0.0),
    "absurd widths": set_attrs("pad", tuples([[0, 0], [1 << 40, 1]]), 0.0),
    "widths that overflow": set_attrs("pad", tuples([[0, 0], [1 << 62, 1 << 62]]), 0.0),
    "widths of one axis": set_attrs("pad", tuples([[0, 0]]), 0.0),
    "an index out of range": set_attrs("index", tuples([{"$": "tuple", "value": [None, None, None]}, 9])),
    "an index step of 0": set_attrs("index", tuples([{"$": "tuple", "value": [None, None, 0]}])),
    "an index of texts": set_attrs("index", tuples(["a"])),
    "an axis of max": set_attrs("max", 5, True),
    "axes of max": set_attrs("max", [0], True),
    "keepdims of max": set_attrs("max", 1, 3),
    "an op that is not": set_in("model", "graph", "layers", 1, "op", value="tinyres.nothing"),
    "relu_grad of two shapes": set_in("@add", "op", value="tinyres.relu_grad"),
    "tanh_grad of two shapes": set_in("@add", "op", value="tinyres.tanh_grad"),
    "a cast that lies": lambda h, a: layer_of(h, "clip").update(
        op="tinyres.cast_int64", attrs=tuples([{"$": "dtype", "value": "float64"}])
    ),
    "place of another size": lambda h, a: layer_of(h, "clip").update(
        op="tinyres.place", attrs=tuples([tuples([2, 2]), tuples([0])])
    ),
    "sum_to of another size": lambda h, a: layer_of(h, "clip").update(
        op="tinyres.sum_to", attrs=tuples([tuples([1 << 30])])
    ),
    "dropout with a key of numbers": lambda h, a: layer_of(h, "clip").update(
        op="tinyres.dropout", attrs=tuples([0.5, 3])
    ),
    "one operand too many": lambda h, a: layer_of(h, "clip")["constants"].update(
        {"1": {"$": "array", "dtype": "float32", "shape": [1], "value": [1.0]}}
    ),
    "a constant far away": lambda h, a: layer_of(h, "add")["constants"].update(
        {"7": {"$": "array", "dtype": "float32", "shape": [1], "value": [1.0]}}
    ),
    "a constant of wide text": lambda h, a: layer_of(h, "add")["constants"].update(
        {"1": {"$": "array", "dtype": "<U500000000", "shape": [1], "value": ["a"]}}
    ),
    "a constant of objects": lambda h, a: layer_of(h, "add")["constants"].update(
        {"1": {"$": "array", "dtype": "O", "shape": [1], "value": [1.0]}}
    ),
    "a parameter without end": lambda h, a: layer_of(h, "matmul")["constants"]["1"].update(shape=[1 << 20, 1 << 20]),
    "many units": set_in("@dense", "config", "units", value=300_000_000),
    "units that overflow": set_in("@dense", "config", "units", value=1 << 80),
    "negative units": set_in("@dense", "config", "units", value=-4),
    "a wide input": set_in("model", "graph", "layers", 0, "input", value=[1 << 40]),
    "an input of no size": set_in("model", "graph", "layers", 0, "input", value=[-1]),
    "another function": set_in("@dense", "config", "activation", value={"$": "op", "value": "manual_seed"}),
    "a module as a function": set_in("@dense", "config", "activation", value={"$": "op", "value": "kernels"}),
    "a private function": set_in("@dense", "config", "activation", value={"$": "op", "value": "__getattr__"}),
    "an unknown kind": set_in("@dense", "config", "activation", value={"$": "exec", "value": "x"}),
    "a layer called on numbers": lambda h, a: h["model"]["graph"]["calls"][0].__setitem__(2, tuples([[1.0, 2.0]])),
    "a slot that is not": lambda h, a: h["model"]["graph"]["outputs"].__setitem__(0, 99),
    "a negative epoch": set_in("epoch", value=-3),
    "a fraction of an epoch": set_in("epoch", value=1.5),
    "a NaN epoch": set_in("epoch", value=float("nan")),
    "a metric of NaN": set_in("metrics", value=[float("nan")]),
    "too few trainable": set_in("trainable", value=[True]),
    "trainable of numbers": set_in("trainable", value=[1, 2]),
    "generators of text": set_in("generators", value=[["a", "b"]]),
    "an optimizer that is not": set_in("optimizer", "class", value="tinyres.Nothing"),
    "an optimizer of another kind": set_in("optimizer", "class", value="tinyres.Dense"),
    "a negative learning rate": set_in("optimizer", "config", "lr", value=-1.0),
    "a class that is not": set_in("@dense", "class", value="os.system"),
    "a number for a class": set_in("@dense", "class", value=3),
    "a name of another kind": set_in("@dense", "config", "name", value={"a": 1}),
    "a name with NUL": set_in("@dense", "config", "name", value="a\0b"),
    "a wrong dtype": set_in("@dense", "dtype", value="int8"),
    "moved of nothing": set_in("moved", value=["nothing"]),
    "a state of NaN": lambda h, a: a.__setitem__("optimizer/hyper", np.full(8, np.nan)),
    "a negative step": lambda h, a: a.__setitem__("optimizer/hyper", a["optimizer/hyper"] - 5.0),
    "weights of integers": lambda h, a: a.__setitem__("weights/dense/bias", np.zeros(4, np.int32)),
    "weights of another shape": lambda h, a: a.__setitem__("weights/dense/bias", np.zeros((4, 1), np.float32)),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_ends_in_file_error(change, saved, tmp_path):
    header, arrays = copy.deepcopy(saved[0]), dict(saved[1])
    change(header, arrays)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileError, match=r"^\[load\] "):
        tr.load(written(tmp_path / "m.npz", header, arrays))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_the_good_file_loads(saved, tmp_path):
    model = tr.load(written(tmp_path / "m.npz", *saved))
    assert np.isfinite(model.predict(X)).all()


STRANGE = [None, -1, 0, 3, 1 << 18, 1 << 62, 10**30, 0.5, float("nan"), "", "x", "tinyres.relu", [], {}, [1], True]
STRANGE += [{"$": "tuple", "value": [1 << 40]}, {"$": "slot", "value": 1}, {"$": "dtype", "value": "O"}, {"$": "x"}]
STRANGE += [{"$": "layer", "value": {}}, {"$": "op", "value": "dropout"}, "tinyres.matmul", "tinyres.index", "\0"]


def places(value, path=()):
    """Every place in a header, but for its first two."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutated(rng, saved):
    header, arrays = copy.deepcopy(saved[0]), dict(saved[1])
    ways = list(places(header))
    for _ in range(rng.integers(1, 4)):
        *way, last = ways[rng.integers(len(ways))]
        at = header
        try:
            for key in way:
                at = at[key]
            if rng.random() < 0.15:
                del at[last]
            else:
                at[last] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
        except (KeyError, IndexError, TypeError):
            continue
    if rng.random() < 0.2:
        name = list(arrays)[rng.integers(len(arrays))]
        arrays[name] = [np.zeros(3), np.ones((2, 2), np.int8), np.array("x"), np.full(8, np.inf)][rng.integers(4)]
    return header, arrays


def judged(path):
    """Load and run: FileError, or a model whose predictions and training end in a value or a tinyres error."""
    try:
        model = tr.load(path)
    except FileError:
        return False
    try:
        model.predict(X)
        if model.loss is not None:
            model.fit(X, np.ones((5, 3)), epochs=model.epoch + 1, initial_epoch=model.epoch, verbose=0)
    except tr.errors.TinyresError:
        pass
    return True


def fuzz(saved, path, seeds):
    return sum(judged(written(path, *mutated(np.random.default_rng(seed), saved))) for seed in seeds)


@pytest.mark.slow
def test_headers_changed_at_random_end_in_file_error_or_run(saved, tmp_path):
    assert judged(written(tmp_path / "m.npz", *saved))
    assert fuzz(saved, tmp_path / "m.npz", range(60)) < 30


@pytest.mark.slow
def test_many_headers_changed_at_random_end_in_file_error_or_run(saved, tmp_path):
    fuzz(saved, tmp_path / "m.npz", range(1000, 3000))


@pytest.mark.slow
def test_bytes_changed_at_random_end_in_file_error_or_run(saved, tmp_path):
    path = written(tmp_path / "m.npz", *saved)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(2000):
        content = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            content[at] = rng.integers(256)
        path.write_bytes(content[: rng.integers(len(content))] if rng.random() < 0.1 else content)
        judged(path)


def test_what_ops_do_is_what_their_shape_rules_declare(monkeypatch):
    """Every row of the table of cases runs with attributes that a file could hold."""
    from op_cases import CASES

    from tinyres.nn import operators as recorded

    seen = []
    monkeypatch.setattr(
        recorded, "OpLayer", lambda op, attrs, constants: seen.append((op, tuple(attrs))) or (lambda t: t[0])
    )
    for case in CASES:
        node_op = OPS[case.op]
        for shapes in case.shapes[:1]:
            inputs = [tr.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.inputs(shapes, "float32")]
            output = case.run(*inputs)
            node = getattr(output, "node", None)
            while node is not None and node.op is not None and node.op is not node_op:
                node = next((n for n in node.inputs if n.op is not None), None)
            if node is not None and node.op is node_op and case.op != "dropout":
                judge(node.op, node.attrs, "save")


def test_types_are_told_apart():
    assert fits(1, int) and not fits(True, int) and not fits(1, float) and fits(None, int | None)
    assert fits((1, (2, 3)), tuple[int, tuple[int, ...]]) and not fits([1], tuple[int, ...])
    with pytest.raises(
        ArgumentError, match=r"\[load\] the attributes .*; tinyres.matmul takes .*, got \(262144,\); annot"
    ):
        judge(OPS["matmul"], (HALF_OF_K,), "load")


@pytest.mark.parametrize("name", ["relu_grad", "tanh_grad", "sigmoid_grad"])
def test_two_shapes_are_refused_by_the_op_itself(name):
    with pytest.raises(ShapeError, match=rf"\[{name}\] the inputs must have one shape; got \(4,\) and \(2,\)"):
        apply(OPS[name], (tr.tensor(np.ones(4)), tr.tensor(np.ones(2))))


@pytest.mark.parametrize(
    ("name", "attrs", "error", "message"),
    [
        ("clip_grad", (0.0, 1.0), ShapeError, "the inputs must have one shape"),
        ("place", ((8,), ((0, 2, None),)), ShapeError, r"\[place\] the index must point at as much as there is"),
        ("sum_to", ((3,),), ShapeError, r"\[sum_to\]"),
        ("pad", (((-1, 0),), 0.0), ShapeError, r"\[pad\] the widths must be counts from 0 on"),
        ("cast_float64", (np.dtype("int64"),), DTypeError, r"\[astype\] a cast is from the dtype of its input"),
    ],
)
def test_shape_rules_judge_their_attributes(name, attrs, error, message):
    inputs = [tr.tensor(np.ones(4))] + ([tr.tensor(np.ones(2))] if name == "clip_grad" else [])
    with pytest.raises(error, match=message):
        apply(OPS[name], tuple(inputs), *attrs)


def test_an_own_op_with_attributes_declares_them(tmp_path):
    def scaled_shape(x: tr.Tensor, factor: float) -> tuple[int, ...]:
        return x.shape

    before = dict(OPS)
    try:
        op = tr.Op("scaled_for_a_test", shape=scaled_shape, forward=lambda out, x, factor: None)
        judge(op, (2.0,), "load")
        undeclared = tr.Op(
            "undeclared_for_a_test", shape=lambda x, factor: x.shape, forward=lambda out, x, factor: None
        )
        with pytest.raises(
            ArgumentError, match="undeclared_for_a_test takes none, got .*; annotate the rule's parameters"
        ):
            judge(undeclared, (2.0,), "save")
    finally:
        OPS.clear()
        OPS.update(before)


def test_json_of_a_header_is_strict(saved):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(text.encoded(saved[0]), parse_constant=refuse)
