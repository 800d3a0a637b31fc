"""What the experiments train on, the bundled digits with noise and the bundled clothes, and how their errors read.

The noise is there so that there is something to learn for deep nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyres.data import load_digits, load_fashion
from tinyres.ops.random import Generator
from tinyres.optim import SGD
from tinyres.optim.schedules import WarmupCosine
from tinyres.study.experiment import Field, Row, seeds_note
from tinyres.study.spread import Spread, percent
from tinyres.study.sweep import Examples, Task, held_back

LOSS = "sparse_categorical_crossentropy"
CLASSES = 10
CHANCE = 0.9  # the error of guessing
SECONDS_PER_IMAGE_STEP = 2.2e-3  # of a convolution of width 8, on one thread
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def noisy_digits(epochs: int, noise: float = 1.0, seed: int = 0) -> Task:
    """Classify the bundled digits, features of mean 0 and variance 1, plus noise of this standard deviation.

    SGD with momentum 0.9 and batches of 50, as in the papers; a fifth of the training digits is for validation.
    """
    (x_train, y_train), (x_test, y_test) = load_digits()
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    scale = np.where(std > 0, std, 1)
    rng = Generator(seed).numpy()

    def prepared(x: np.ndarray) -> np.ndarray:
        return ((x - mean) / scale + noise * rng.standard_normal(x.shape)).astype(np.float32)

    training, validation = held_back(prepared(x_train), y_train)
    return Task(training, validation, Examples(prepared(x_test), y_test), LOSS, partial(_sgd, momentum=0.9), epochs)


def clothes(steps: int) -> Task:
    """Classify the bundled images of clothes, of mean 0 and variance 1, in about so many steps.

    SGD with momentum 0.9 and batches of 60, 30 to an epoch; the rate rises over a tenth of the steps and falls as a
    cosine. A tenth of the training images is for validation.
    """
    (x_train, y_train), (x_test, y_test) = load_fashion()
    mean, std = x_train.mean(), x_train.std()
    training, validation = held_back((x_train - mean) / std, y_train, every=10)
    test = Examples((x_test - mean) / std, y_test)
    epochs = max(1, round(steps / 30))
    return Task(training, validation, test, LOSS, partial(rising_and_falling, 30 * epochs), epochs, batch_size=60)


def axes_of_errors(ax: Any, xlabel: str, ylabel: str) -> None:
    """Errors upwards in percent over a count, beside a line at the error of guessing."""
    ax.axhline(CHANCE, color="0.6", linestyle=":", label=f"guessing, {percent(CHANCE)}")
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.02, 1.0))
    ax.xaxis.get_major_locator().set_params(integer=True)  # of blocks or layers
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.legend(fontsize=8)


def rising_and_falling(steps: int, rate: float) -> SGD:
    """SGD with momentum 0.9 whose rate rises to this one and falls to 0 within so many steps."""
    return SGD(lr=WarmupCosine(rate, warmup_steps=max(1, steps // 10), total_steps=steps), momentum=0.9)


def image_seconds(layers: int, width: int, task: Task, trainings: int) -> float:
    """About how long so many trainings of a net of 3 x 3 convolutions, `width` of them at first, take here."""
    return trainings * layers * (0.1 + SECONDS_PER_IMAGE_STEP * task.steps * width / 8)


def _sgd(rate: float, momentum: float) -> SGD:
    return SGD(lr=rate, momentum=momentum)


def percent_or_none(spread: Spread | None) -> str:
    """An error as a table shows it, "-" where it is not measured."""
    return "-" if spread is None else spread.percent


RATE = Field("rate", "rate_text", 8, str)
ERRORS = [
    Field("train error", "train", 14, percent_or_none),
    Field("by moving", "train_moving", 14, percent_or_none),
    Field("test error", "test", 14, percent_or_none),
]


def errors_note(records: Sequence[Row]) -> list[str]:
    """How these columns read."""
    trained = [r for r in records if "rate_text" in r]
    notes = [
        f"{seeds_note(trained[0]['train'])} Errors are with BatchNorm's statistics settled on the training part; by "
        "moving: training error by the moving ones instead."
    ]
    rates = sorted({float(rate) for r in trained for rate in r["validation"]})
    if len(rates) > 1:
        notes[0] += f" Rates: of {', '.join(f'{r:g}' for r in rates)}, the best on a validation part."
        if any(r["rate_text"].endswith("*") for r in trained):
            notes[0] += " *: at the end of these; a rate beyond might do better."
    return notes
