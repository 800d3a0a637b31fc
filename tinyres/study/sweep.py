"""A sweep: every net at the learning rate that suits it, over several seeds, measured with settled statistics.

So that nets are compared and not learning rates. The rate is found by successive halving (Jamieson & Talwalkar 2016)
over the seeds: the first seed tries every rate, the next one the better half by the error on a validation part, and so
on; what is left has run all seeds. The test examples choose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, NonFiniteError
from tinyres.layers.norm import BatchNormalization
from tinyres.model import Model
from tinyres.model.architecture import every_layer
from tinyres.ops.random import manual_seed
from tinyres.optim import Optimizer
from tinyres.study.spread import Spread
from tinyres.training.callback import Callback

HELD_BACK = 5  # one training example in so many is for validation
# What a training takes here on one thread, per Dense layer: recording and measuring, and a step at batch 50, width 32.
SECONDS_TO_BEGIN, SECONDS_PER_STEP = 7e-3, 7e-6

_on_training: ContextVar[Callable[[float], None]] = ContextVar("on_training", default=lambda share: None)


@contextmanager
def reporting(on_training: Callable[[float], None]) -> Iterator[None]:
    """Within, sweeps call this after each training with the share of their trainings that are done."""
    token = _on_training.set(on_training)
    try:
        yield
    finally:
        _on_training.reset(token)


@dataclass(frozen=True)
class Examples:
    """Inputs and targets."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Task:
    """What nets are trained for.

    training, validation, test: the examples. loss: by name. optimizer: of a learning rate. by_accuracy: whether the
    error is the share of wrong answers, else it is the loss.
    """

    training: Examples
    validation: Examples
    test: Examples
    loss: str
    optimizer: Callable[[float], Optimizer]
    epochs: int
    batch_size: int = 50
    by_accuracy: bool = True

    @property
    def steps(self) -> int:
        """Of one training."""
        return -(-len(self.training.x) // self.batch_size) * self.epochs

    def error(self, model: Model, examples: Examples) -> float:
        """1 - accuracy, or the loss. Raises NonFiniteError for a net that has none."""
        loss, *metrics = model.evaluate(examples.x, examples.y, batch_size=len(examples.x), capture=False)
        if not math.isfinite(loss):
            raise NonFiniteError(f"[sweep] an error is measured of a finite loss; got {loss}; lower the learning rate")
        return 1 - metrics[0] if self.by_accuracy else loss


def held_back(x: np.ndarray, y: np.ndarray, every: int = HELD_BACK) -> tuple[Examples, Examples]:
    """Training examples in two parts: to train on, and to choose by, one in `every`."""
    held = np.arange(len(x)) % every == 0
    return Examples(x[~held], y[~held]), Examples(x[held], y[held])


@dataclass(frozen=True)
class Run:
    """One training: the errors of the net with settled statistics, and by the moving ones; None if it diverged."""

    validation: float | None = None
    train: float | None = None
    test: float | None = None
    train_moving: float | None = None
    test_moving: float | None = None


@dataclass(frozen=True)
class Trained:
    """One net at its learning rate, over the seeds.

    rate: the one chosen. tried: validation error per rate, over the seeds that tried it. normalises: whether the net
    has BatchNorm. runs, models: one per seed, the models with settled statistics, None where the loss diverged.
    """

    rate: float
    tried: Mapping[float, Spread]
    normalises: bool
    runs: tuple[Run, ...]
    models: tuple[Model | None, ...] = field(repr=False)

    def over_seeds(self, name: str) -> Spread:
        """One of the errors of a Run."""
        return Spread.of(getattr(run, name) for run in self.runs)

    @property
    def rate_text(self) -> str:
        """The rate, with a * if it is the best and the first or last of those tried: one beyond might do better."""
        differ = len({errors.mean for errors in self.tried.values()}) > 1
        return f"{self.rate:g}{'*' if differ and self.rate in (min(self.tried), max(self.tried)) else ''}"

    def record(self) -> dict[str, Any]:
        """What an experiment's row says of it."""
        moving = {f"{part}_moving": self.over_seeds(f"{part}_moving") for part in ("train", "test")}
        return {
            "rate": self.rate,
            "rate_text": self.rate_text,
            "train": self.over_seeds("train"),
            "test": self.over_seeds("test"),
            **(moving if self.normalises else dict.fromkeys(moving)),
            "validation": {f"{rate:g}": list(errors.values) for rate, errors in self.tried.items()},
        }


def sweep(
    make: Callable[[], Model],
    task: Task,
    rates: tuple[float, ...],
    seeds: int,
    watching: Callable[[Model], list[Callback]] = lambda model: [],
) -> Trained:
    """Train a net once per seed at the learning rate that suits it.

    make: the net, untrained; called under a seed of its own. rates: to choose from, of equals the smallest. watching:
    the callbacks of a net's training. Raises ArgumentError for no seeds or no rates.
    """
    if seeds < 1 or not rates:
        raise ArgumentError(f"[sweep] it takes a seed and a rate or more; got {seeds} seeds, rates {rates}; give some")
    alive = sorted(set(rates))
    runs: dict[float, list[tuple[Run, Model]]] = {rate: [] for rate in alive}
    planned, done = trainings(len(alive), seeds), 0
    for seed in range(seeds):
        for rate in alive:
            manual_seed(seed)
            model = make()
            runs[rate].append((_run(model, task, rate, watching(model)), model))
            done += 1
            _on_training.get()(done / planned)
        alive = sorted(sorted(alive, key=lambda rate: _rank(runs[rate]))[: (len(alive) + 1) // 2])
    chosen = min(alive, key=lambda rate: _rank(runs[rate]))
    return Trained(
        chosen,
        {rate: Spread.of(run.validation for run, _ in tried) for rate, tried in runs.items()},
        bool(_norms(model)),
        tuple([run for run, _ in runs[chosen]]),
        tuple([None if run.train is None else model for run, model in runs[chosen]]),
    )


def trainings(rates: int, seeds: int) -> int:
    """How many trainings a sweep of so many rates and seeds makes.

    >>> trainings(4, 3), trainings(4, 5), trainings(1, 3)
    (7, 9, 3)
    """
    total = 0
    for _ in range(seeds):
        total += rates
        rates = (rates + 1) // 2
    return total


def seconds(dense: int, task: Task, rates: int, seeds: int) -> float:
    """About how long a sweep of a net of so many Dense layers takes."""
    return trainings(rates, seeds) * dense * (SECONDS_TO_BEGIN + SECONDS_PER_STEP * task.steps)


def _run(model: Model, task: Task, rate: float, callbacks: list[Callback]) -> Run:
    model.compile(task.optimizer(rate), loss=task.loss, metrics=["accuracy"] if task.by_accuracy else None)
    try:
        model.fit(task.training.x, task.training.y, task.batch_size, task.epochs, verbose=0, callbacks=callbacks)
        moving = {}
        if _norms(model):
            moving = {
                "train_moving": task.error(model, task.training),
                "test_moving": task.error(model, task.test),
            }
            model.recalibrate_batchnorm(task.training.x)
        return Run(
            validation=task.error(model, task.validation),
            train=task.error(model, task.training),
            test=task.error(model, task.test),
            **moving,
        )
    except NonFiniteError:
        return Run()


def _rank(tried: list[tuple[Run, Model]]) -> tuple[int, float]:
    """The fewest diverged first, then the least validation error."""
    errors = Spread.of(run.validation for run, _ in tried)
    return errors.diverged, errors.mean if errors.mean is not None else 0.0


def _norms(model: Model) -> list[BatchNormalization]:
    return [layer for layer in every_layer(model) if isinstance(layer, BatchNormalization)]
