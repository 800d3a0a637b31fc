"""The data that the page trains on: digits, and three sets of points in the plane; the same at every call.

A file of them holds five uint32 (rows to train on, rows to test on, features, classes, steps of x), x row by row, then
y as uint8; all little-endian, training rows first. Where x has steps, as the 16 of digits, it is uint8 and counts them
from 0 to 1; else it is float32.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinyres.data import load_digits
from tinyres.play.description import FEATURES_AND_CLASSES

_POINTS, _TESTED = 900, 300
_STEPS = 16
NAMES = tuple(FEATURES_AND_CLASSES)


class Data(NamedTuple):
    """x (rows, features) float32 and y (rows,) int64, of which the first `trained` are trained on."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    trained: int
    classes: int


def load(name: str) -> Data:
    """The data of this name."""
    if name == "digits":
        (x, y), (x_test, y_test) = load_digits()
        return Data(np.concatenate([x, x_test]), np.concatenate([y, y_test]), len(x), 10)
    classes = FEATURES_AND_CLASSES[name][1]
    random = np.random.default_rng(0)
    y = random.integers(0, classes, _POINTS + _TESTED)
    points = _PLANE[name](random, y, classes) + random.normal(0.0, 0.06, (len(y), 2))
    return Data(points.astype(np.float32), y.astype(np.int64), _POINTS, classes)


def packed(data: Data) -> bytes:
    """As a file; see above."""
    counted = (data.x * np.float32(_STEPS)).astype(np.uint8)
    steps = _STEPS if (counted.astype(np.float32) / np.float32(_STEPS) == data.x).all() else 0
    x = counted if steps else data.x.astype("<f4")
    head = struct.pack("<5I", data.trained, len(data.x) - data.trained, data.x.shape[1], data.classes, steps)
    return head + x.tobytes() + data.y.astype(np.uint8).tobytes()


def rows(step: int, batch: int, count: int) -> npt.NDArray[np.int64]:
    """Which rows a step trains on, counted from 0: the next `batch`, around and around."""
    return (step * batch + np.arange(batch)) % count


def _spirals(random: np.random.Generator, y: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    along = random.random(len(y))
    turn = 2 * np.pi * (1.25 * along + y / classes)
    return (0.1 + 0.9 * along)[:, None] * 1.6 * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _rings(random: np.random.Generator, y: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    turn = 2 * np.pi * random.random(len(y))
    return (0.3 + 0.6 * y)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _xor(random: np.random.Generator, y: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    first = random.uniform(0.1, 1.5, len(y)) * random.choice([-1.0, 1.0], len(y))
    second = random.uniform(0.1, 1.5, len(y)) * np.where(y == 1, np.sign(first), -np.sign(first))
    return np.stack([first, second], axis=1)


_PLANE = {"spirals": _spirals, "rings": _rings, "xor": _xor}
