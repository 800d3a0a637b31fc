"""Images with a class per pixel, made by a generator: bundled digits and shapes on clutter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyres.data.digits import load_digits
from tinyres.errors import ArgumentError

# What the labels 0 to 12 stand for.
SEGMENTATION_CLASSES = ("background", *map(str, range(10)), "disc", "square")
INK = 0.3  # from which on a pixel of a digit is of it, not of the paper
CLUTTER = 6  # faint strokes that belong to nothing, per image


def make_segmentation(
    count: int = 256, size: int = 32, noise: float = 0.1, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images (count, size, size, 1) in 0 … 1 and their labels (count, size, size): a class per pixel.

    On each are a handwritten digit of the bundled ones, twice or more as large, a disc and a square, of different
    greys, and strokes and normal noise of this standard deviation that are background. What is drawn later covers what
    was there. SEGMENTATION_CLASSES names the classes. The same arguments make the same images.
    Raises ArgumentError for counts below 1, sizes below 16 and negative noise.

    >>> images, labels = make_segmentation(4, size=32, seed=0)
    >>> images.shape, labels.shape, SEGMENTATION_CLASSES[11]
    ((4, 32, 32, 1), (4, 32, 32), 'disc')
    """
    for what, given, least in (("count", count, 1), ("size", size, 16)):
        if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < least:
            raise ArgumentError(f"[make_segmentation] {what} is an integer >= {least}; got {given!r}; give more")
    if not noise >= 0.0:
        raise ArgumentError(f"[make_segmentation] noise is a standard deviation; got {noise!r}; give 0.1")
    rng = np.random.default_rng(seed)
    (digits, classes), _ = load_digits()
    images = np.zeros((count, size, size), np.float64)
    labels = np.zeros((count, size, size), np.int64)
    for image, label in zip(images, labels):
        _clutter(image, rng)
        for shape in (11, 12):
            inside = _shape(shape, size, rng)
            image[inside], label[inside] = rng.uniform(0.4, 0.8), shape
        chosen = int(rng.integers(len(digits)))
        _digit(image, label, digits[chosen].reshape(8, 8), int(classes[chosen]) + 1, rng)
    images += noise * rng.standard_normal(images.shape)
    return np.clip(images, 0.0, 1.0)[..., None].astype(np.float32), labels


def _clutter(image: np.ndarray, rng: np.random.Generator) -> None:
    """Faint strokes along rows and columns."""
    size = len(image)
    for _ in range(CLUTTER):
        at, start, length = rng.integers(size), rng.integers(size), rng.integers(3, size // 2)
        stroke = image[at] if rng.random() < 0.5 else image[:, at]
        stroke[start : start + length] = rng.uniform(0.2, 0.6)


def _shape(kind: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Where a disc or a square stands."""
    radius = rng.uniform(size / 10, size / 5)
    (row, column), (y, x) = rng.uniform(radius, size - radius, 2), np.ogrid[:size, :size]
    if kind == 11:
        return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)
    return np.asarray((abs(y - row) <= radius) & (abs(x - column) <= radius))


def _digit(image: np.ndarray, label: np.ndarray, digit: np.ndarray, name: int, rng: np.random.Generator) -> None:
    """The digit upsampled by whole numbers, its ink over what is there."""
    size = len(image)
    drawn = np.kron(digit, np.ones((max(size // 16, 1),) * 2))
    row, column = rng.integers(0, size - len(drawn) + 1, 2)
    place = slice(row, row + len(drawn)), slice(column, column + len(drawn))
    ink = drawn > INK
    image[place][ink], label[place][ink] = drawn[ink], name
