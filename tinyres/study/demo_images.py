"""The demo on images: a ResNet of convolutions beside the same net without its skips, on clothes or one's own images.

Each is traced before training and trained at its own rate; what is told of both is what the standing demo tells.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyres.applications import resnet
from tinyres.applications.resnet import CIFAR_DEPTHS
from tinyres.data import FASHION_CLASSES, load_fashion, load_images
from tinyres.errors import ArgumentError, FileError, NonFiniteError
from tinyres.model import Model
from tinyres.ops.random import manual_seed
from tinyres.study.demo import LEAST_EXAMPLES, Steps, in_two_parts
from tinyres.study.demo_text import each_shown, said
from tinyres.study.spread import percent
from tinyres.study.training import LOSS, rising_and_falling
from tinyres.trace import Trace, compare

BATCH = 64
TRACED = 64  # images
LARGEST = 64  # pixels of a side up to which a folder's images stay as they are
PICTURE = "images.svg"

# The best of the experiment degradation with --net resnet, at 20 layers and at 56.
RATES = {"plain": 0.1, "residual": 0.03}


@dataclass(frozen=True)
class ImageOptions:
    """What a person may choose; see `tinyres demo --help`. steps: of each training."""

    depth: int = 32
    width: int = 8
    steps: int = 200
    seed: int = 0
    data: str | None = None
    size: int | None = None
    out: str = "."


@dataclass(frozen=True)
class ImageData:
    """Images in two parts, of mean 0 and variance 1 in the first, the names of the classes, and where they are from."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    said: str


@dataclass(frozen=True)
class ImageResult:
    """What became of one net. errors: of the training and the test images, None where the loss diverged."""

    trace: Trace
    errors: tuple[float, float] | None
    mistaken: str
    step_ms: float


def check(options: ImageOptions) -> None:
    """Refuse options that cannot be run, before anything is."""
    if options.depth not in CIFAR_DEPTHS:
        known = ", ".join(map(str, CIFAR_DEPTHS))
        raise ArgumentError(f"[demo] --depth is one of {known}; got {options.depth}; choose one of them")
    for name in ("width", "steps", "size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ArgumentError(f"[demo] --{name} must be at least 1; got {value}; give a larger one")
    if options.size is not None and options.data is None:
        raise ArgumentError("[demo] --size is for images of your own; got no --data; add --data FOLDER")
    if not os.path.isdir(options.out):
        raise FileError(f"[demo] --out must be a directory; got {options.out}; make it first")


def split_data(options: ImageOptions) -> ImageData:
    """The bundled clothes, or the user's images split by the seed."""
    if options.data is None:
        (x_train, y_train), (x_test, y_test) = load_fashion()
        return _standardised(x_train, y_train, x_test, y_test, FASHION_CLASSES, "clothes: 28 x 28 pixels, 10 classes")
    images = load_images(options.data, options.size)
    _, height, width, channels = images.x.shape
    if max(height, width) > LARGEST and options.size is None:
        raise ArgumentError(
            f"[demo] on larger images than {LARGEST} x {LARGEST} it would take long; those of {options.data} have "
            f"{height} x {width}; make them smaller, --size 32 does so for files of images"
        )
    if len(images.x) < LEAST_EXAMPLES or len(np.unique(images.y)) < 2:
        raise FileError(
            f"[demo] there must be at least {LEAST_EXAMPLES} images of at least 2 classes; got {len(images.x)} of "
            f"{len(np.unique(images.y))} in {options.data}; give more"
        )
    train, test = in_two_parts(len(images.x), options.seed)
    shown = ", ".join(images.classes[:6]) + (", ..." if len(images.classes) > 6 else "")
    told = f"{Path(options.data).name}: {height} x {width} pixels, {channels} channel(s), "
    told += f"{len(images.classes)} classes ({shown})"
    return _standardised(images.x[train], images.y[train], images.x[test], images.y[test], images.classes, told)


def _standardised(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    classes: tuple[str, ...],
    told: str,
) -> ImageData:
    mean, std = x_train.mean(), x_train.std() or 1
    return ImageData((x_train - mean) / std, y_train, (x_test - mean) / std, y_test, classes, told)


def run_net(name: str, options: ImageOptions, data: ImageData, on_step: Callable[[], None]) -> ImageResult:
    """Build, trace, train and measure one net."""
    manual_seed(options.seed)
    shape = data.x_train.shape[1:]
    model = resnet(options.depth, len(data.classes), shape, width=options.width, residual=name == "residual")
    epochs, batches = epochs_of(options, data)
    model.compile(rising_and_falling(epochs * batches, RATES[name]), loss=LOSS, metrics=["accuracy"])
    trace = model.graph(data.x_train[:TRACED], data.y_train[:TRACED]).trace()
    steps = Steps(on_step)
    errors, mistaken = None, ""
    try:
        model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[steps])
        model.recalibrate_batchnorm(data.x_train)
        train, test = (
            1 - model.evaluate(x, y, batch_size=BATCH)[1]
            for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
        )
        errors, mistaken = (train, test), _most_mistaken(model, data)
    except NonFiniteError:
        pass
    step_ms = statistics.median(steps.seconds) * 1e3 if steps.seconds else float("nan")
    return ImageResult(trace, errors, mistaken, step_ms)


def epochs_of(options: ImageOptions, data: ImageData) -> tuple[int, int]:
    """(epochs, batches in each), about as many steps as were asked for."""
    batches = -(-len(data.x_train) // BATCH)
    return max(1, round(options.steps / batches)), batches


def _most_mistaken(model: Model, data: ImageData) -> str:
    """The class that was most often taken for another one."""
    answers = model.predict(data.x_test, batch_size=BATCH).argmax(axis=1)
    counts = np.zeros((len(data.classes),) * 2, np.int64)
    np.add.at(counts, (data.y_test, answers), 1)
    np.fill_diagonal(counts, 0)
    if not counts.any():
        return "no test image was mistaken"
    true, taken = np.unravel_index(counts.argmax(), counts.shape)
    times, count = counts[true, taken], int((data.y_test == true).sum())
    return f"most often mistaken: {data.classes[true]} for {data.classes[taken]}, {times} of {count}"


def train(options: ImageOptions, data: ImageData) -> dict[str, ImageResult]:
    """Run both nets, and show how far each is."""
    epochs, batches = epochs_of(options, data)
    about = f"{options.depth} layers, {epochs * batches} steps of {BATCH} images"
    return each_shown(RATES, about, epochs * batches, lambda name, on_step: run_net(name, options, data, on_step))


def run(options: ImageOptions) -> None:
    """The whole demo: what was taken, the errors, the ledger and its sentences, and a picture of it."""
    check(options)
    data = split_data(options)
    print("\n".join(said(data.said)))
    results = train(options, data)
    told = f"{len(data.x_train)} training and {len(data.x_test)} test images; error: share of wrong answers, "
    print("\n".join(["", *said(f"{told}with settled BatchNorm statistics"), ""]))
    print(f"{'net':<10} {'train error':>12} {'test error':>12} {'rate':>8} {'ms/step':>8}")
    for name, result in results.items():
        shown = [percent(error) for error in result.errors] if result.errors else ["diverged"] * 2
        print(f"{name:<10} {shown[0]:>12} {shown[1]:>12} {RATES[name]:>8g} {result.step_ms:>8.1f}")
    for name, result in results.items():
        if result.mistaken:
            print("\n".join(said(f"{name}: {result.mistaken}")))
    print(f"\nresidual, before training:\n{results['residual'].trace}\n")
    compared = compare(**{name: result.trace for name, result in results.items()})
    print(compared)
    path = os.path.join(options.out, PICTURE)
    compared.export(path)
    print(f"\nboth ledgers, as wide as the gradient: {path}")
