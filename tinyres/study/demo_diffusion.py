"""The demo on diffusion: a U-Net learns to take noise off the digits, then makes new ones, class by class.

How good they are is told by a classifier of digits that never saw one that was made: how many it takes for the class
that was asked for, and how far they are from held-out digits in what it sees in them (Heusel et al. 2017), beside how
far other real digits are.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres import layers
from tinyres.applications import diffusion, sample
from tinyres.data import load_digits
from tinyres.errors import ArgumentError, FileError
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import manual_seed
from tinyres.optim import Adam
from tinyres.optim.schedules import WarmupCosine
from tinyres.study.demo import Steps
from tinyres.study.demo_text import each_shown, said
from tinyres.study.pictures import grid_picture, in_characters
from tinyres.study.training import LOSS
from tinyres.training.averages import WeightAverage

BATCH = 64
RATE = 2e-3
EACH = 50  # images made of each class
ASKED = 50  # how often the net is asked for one
GUIDANCE = 1.0
CLASSES = 10
PICTURE = "digits.png"


@dataclass(frozen=True)
class DiffusionOptions:
    """What a person may choose; see `tinyres demo --help`. steps: of the training."""

    width: int = 32
    steps: int = 2000
    seed: int = 0
    out: str = "."


@dataclass(frozen=True)
class Quality:
    """What a classifier says of images that were made: right: the share of the class asked for, real: the same of
    held-out digits. distance: Fréchet's to held-out digits, of those made; between_real: of training digits."""

    right: float
    real: float
    distance: float
    between_real: float


def check(options: DiffusionOptions) -> None:
    """Refuse options that cannot be run, before anything is."""
    for name in ("width", "steps"):
        if getattr(options, name) < 1:
            raise ArgumentError(f"[demo] --{name} must be at least 1; got {getattr(options, name)}; give a larger one")
    if not os.path.isdir(options.out):
        raise FileError(f"[demo] --out must be a directory; got {options.out}; make it first")


def train(options: DiffusionOptions, images: np.ndarray, labels: np.ndarray) -> tuple[Model, float]:
    """The model with the average of its weights, and the median of a step in ms; shows how far it is."""
    manual_seed(options.seed)
    model = diffusion((8, 8, 1), CLASSES, widths=(options.width, 2 * options.width))
    batches = -(-len(images) // BATCH)
    epochs = max(1, round(options.steps / batches))
    model.compile(_adam(epochs * batches), "squared_output")

    def fitted(name: str, on_step: Any) -> float:
        steps = Steps(on_step)
        callbacks = [steps, WeightAverage(0.995)]
        model.fit([images, labels], images, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
        return statistics.median(steps.seconds) * 1e3

    about = f"{epochs * batches} steps of {BATCH} digits"
    return model, each_shown(["U-Net"], about, epochs * batches, fitted)["U-Net"]


def _adam(steps: int) -> Adam:
    """Its rate rises over a tenth of the steps and falls as a cosine."""
    return Adam(lr=WarmupCosine(RATE, max(steps // 10, 1), steps))


def classifier(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Model, Model]:
    """(a classifier of digits, what it sees in them: its last hidden layer)."""
    manual_seed(seed + 1)
    inputs = Input((8, 8, 1))
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    features = layers.Dense(32, activation="relu")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    model = Model(inputs, layers.Dense(CLASSES, activation="softmax")(features))
    epochs = 15
    model.compile(_adam(epochs * -(-len(images) // BATCH)), LOSS)
    model.fit(images, labels, batch_size=BATCH, epochs=epochs, verbose=0)
    return model, Model(inputs, features)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between two normal distributions with the means and covariances of rows (n, features): 0 for the same.

    |μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½), in squared units of the features.
    """
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(of_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ of_b @ root), 0)).sum()
    between = a.mean(axis=0) - b.mean(axis=0)
    return float(between @ between + np.trace(of_a) + np.trace(of_b) - 2 * shared)


def judge(made: np.ndarray, asked: np.ndarray, data: Any, seed: int) -> Quality:
    """What a classifier that learnt the training digits says of those that were made."""
    (x, y), (x_test, y_test) = data
    model, seen = classifier(x, y, seed)

    def right(images: np.ndarray, labels: np.ndarray) -> float:
        return float((model.predict(images).argmax(axis=1) == labels).mean())

    features = [np.asarray(seen.predict(images), np.float64) for images in (made, x, x_test)]
    distances = [frechet_distance(each, features[2]) for each in features[:2]]
    return Quality(right(made, asked), right(x_test, y_test), *distances)


def run(options: DiffusionOptions) -> None:
    """The whole demo: the training, a picture of what is made, and how good it is."""
    check(options)
    data = tuple((x.reshape(-1, 8, 8, 1), y) for x, y in load_digits())
    (x, y), (x_test, y_test) = data
    print("\n".join(said(f"handwritten digits: 8 x 8 pixels, {len(x)} to learn from, {len(x_test)} held out")))
    model, step_ms = train(options, x, y)
    manual_seed(options.seed)
    error = model.evaluate([x_test, y_test], x_test, verbose=0)
    print("\n".join(said(f"held-out error of the noise: {float(error):.3f} of 1, {step_ms:.1f} ms a step")))
    asked = np.arange(CLASSES * EACH) % CLASSES
    made = sample(model, len(asked), asked, ASKED, GUIDANCE, seed=options.seed)
    print("\nmade, one of each class:\n")
    print(in_characters(made[:CLASSES, ..., 0]))
    quality = judge(made, asked, data, options.seed)
    told = (
        f"a classifier takes {quality.right:.1%} of {len(made)} made digits for the class that was asked for, and "
        f"{quality.real:.1%} of the held-out ones for theirs",
        f"Fréchet distance to the held-out digits, in what it sees: made {quality.distance:.2f}, training digits "
        f"{quality.between_real:.2f}",
    )
    print("\n" + "\n".join(line for sentence in told for line in said(sentence)))
    path = grid_picture(made[: CLASSES * 10, ..., 0], CLASSES, os.path.join(options.out, PICTURE))
    print(f"\n{CLASSES * 10} of them, a column a class: {path}")
