"""Files in which an option of a layer, any of any public layer, is what no file of ours says: FileError, or a model."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import FileError, TinyresError
from tinyres.store import text

# What constructors ask for, by name. A layer that asks for more is told below.
NEEDED = {
    "units": 3, "filters": 4, "kernel_size": 2, "rate": 0.25, "activation": "relu", "target_shape": (-1,), "n": 2,
    "dims": (2, 1), "function": tr.tanh, "axes": 1, "scale": 0.5, "height": 3, "width": 3,
    "num_heads": 2, "key_dim": 2, "input_dim": 5, "output_dim": 3, "sequence_length": 6, "dim": 4, "stddev": 0.1,
    "zeros": (0, 2, 0),
}  # fmt: skip
SHAPES = [(4,), (4, 2), (5, 5, 4), (32,), (1,)]
WITHOUT_FILE = ("Lambda",)  # holds a function, which no file does
PUBLIC = [
    cls for name, cls in vars(layers).items()
    if isinstance(cls, type) and issubclass(cls, layers.Layer) and name == cls.__name__
    and cls not in (layers.Layer, layers.InputLayer) and name not in WITHOUT_FILE
]  # fmt: skip


def pair(*items: Any) -> dict[str, Any]:
    return {"$": "tuple", "value": list(items)}


FAR = 1 << 40
STRANGE: list[Any] = [
    None, -1, 0, 1 << 18, 1 << 31, FAR, 1 << 63, 10**30, -0.5, float("nan"), float("inf"), "", "same", "\0", [], {},
    True, pair(), pair(0, 0), pair(-1, -1), pair(FAR, 1), pair(1 << 20, 1 << 20), pair(1 << 62, 1 << 62),
    pair(pair(FAR, 0), pair(0, 0)), pair(pair(-1, 0), pair(0, -1)), pair(pair(1 << 62, 1 << 62), pair(1, 1)),
    pair(0.5, 1), pair("a", "b"), pair(None, None), [-1], {"$": "dtype", "value": "O"}, {"$": "op", "value": "conv2d"},
    {"$": "array", "dtype": "float32", "shape": [FAR], "value": [1.0]}, {"$": "layer", "value": {}},
    {"$": "initializer", "class": "tinyres.HeNormal", "value": {"seed": -1}}, {"$": "slice", "value": [0, 0, 0]},
]  # fmt: skip


def made(cls: type) -> tuple[tr.Model, list[np.ndarray]]:
    """A compiled model of one such layer, and data for it."""
    arguments = inspect.signature(cls).parameters.values()
    needed = [a.name for a in arguments if a.default is a.empty and a.kind is not a.VAR_KEYWORD]
    for shape in SHAPES:
        for count in (1, 2):
            inputs = [tr.Input(shape=shape) for _ in range(count)]
            try:
                layer = cls(**{name: NEEDED[name] for name in needed})
                twice = isinstance(layer, layers.MultiHeadAttention)  # as query and as value
                outputs = layer(inputs[0], inputs[-1]) if twice else layer(inputs if count > 1 else inputs[0])
                model = tr.Model(inputs if count > 1 else inputs[0], outputs)
            except TinyresError:
                continue
            model.compile("sgd", "mse")
            return model, [np.linspace(-1, 1, 3 * int(np.prod(shape)), dtype="f4").reshape(3, *shape)] * count
    raise AssertionError(f"{cls.__name__} takes none of these: add a shape that it takes")


def changed(cls: type, folder: Path, values: list[Any]) -> Iterator[tuple[Path, list[np.ndarray]]]:
    """Files of the layer, each with one of its options, class, name or dtype changed to one of these values."""
    model, x = made(cls)
    path = folder / "m.npz"
    model.save(path)
    arrays = dict(np.load(path))
    header = text.decoded(arrays.pop("header").tobytes())

    def of_layer(header: Any) -> Any:
        return header["model"]["graph"]["layers"][-1]

    places = [(key,) for key in of_layer(header)] + [("config", key) for key in of_layer(header).get("config", {})]
    for *way, last in places:
        for value in values:
            other = copy.deepcopy(header)
            at = of_layer(other)
            for key in way:
                at = at[key]
            at[last] = copy.deepcopy(value)
            np.savez(path, header=np.frombuffer(text.encoded(other), np.uint8), **arrays)
            yield path, x


def judge(cls: type, folder: Path, values: list[Any]) -> None:
    with np.errstate(all="ignore"):
        for path, x in changed(cls, folder, values):
            try:
                model = tr.load(path)
            except FileError:
                continue
            data = x if len(x) > 1 else x[0]
            with contextlib.suppress(TinyresError):
                seen = model.predict(data)
                wanted = [np.zeros_like(y) for y in seen] if isinstance(seen, list) else np.zeros_like(seen)
                model.fit(data, wanted, verbose=0)


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_an_option_that_is_strange_ends_in_file_error_or_a_model(cls: type, tmp_path: Path) -> None:
    judge(cls, tmp_path, [1 << 31, pair(pair(-1, 0), pair(0, -1))])


@pytest.mark.slow
@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_any_strange_option_ends_in_file_error_or_a_model(cls: type, tmp_path: Path) -> None:
    judge(cls, tmp_path, STRANGE)


@pytest.mark.parametrize("strides", [7, 1 << 18, (1 << 31, 1)])
def test_strides_beyond_the_image_end(strides: Any) -> None:
    """The gradient of the input went through every phase of the strides: 7e10 of them, without a pixel, took hours."""
    x = tr.tensor(np.ones((1, 5, 5, 4)), requires_grad=True)
    kernel = tr.tensor(np.ones((2, 2, 4, 4)), requires_grad=True)
    tr.conv2d(x, kernel, strides=strides).sum().backward()
    expected = np.zeros((1, 5, 5, 4))
    expected[:, :2, :2] = 4.0
    if isinstance(strides, tuple):
        expected[:, :2] = np.array([4.0, 8.0, 8.0, 8.0, 4.0])[:, None]
    np.testing.assert_array_equal(x.grad.numpy(), expected)
