"""The loops: fit, evaluate and predict over batches.

Data is read and checked as a whole, and the loss is rehearsed on placeholders, before the first step; so what does
not fit is an error that has changed nothing. The steps themselves are methods of the model; captured, each batch is
one call into the core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, NonFiniteError
from tinyres.ops.random import Generator, default_generator
from tinyres.training.batches import Samples, split_off
from tinyres.training.callbacks import Callback
from tinyres.training.history import History
from tinyres.training.progress import progress
from tinyres.training.protocol import Trainable
from tinyres.training.rehearsal import read, read_model_inputs, rehearse
from tinyres.training.watching import Watch


@dataclass(frozen=True)
class Options:
    """How `fit` runs; see there."""

    batch_size: int
    epochs: int
    initial_epoch: int
    watch: int
    verbose: Any
    shuffle: bool
    capture: bool
    live: bool


@dataclass
class Position:
    """Where within an epoch a training stands: what a file needs so that it goes on with the very next batch.

    order: (seed, counter) of the generator that gave the epoch its order. totals, seen: the running means.
    """

    epoch: int
    step: int
    batch_size: int
    samples: int
    order: tuple[int, int] | None
    totals: list[float] | None = None
    seen: int = 0


def fit(
    model: Trainable,
    x: Any,
    y: Any,
    options: Options,
    callbacks: Sequence[Callback] | None,
    validation_split: float,
    validation_data: tuple[Any, Any] | None,
) -> History:
    """See Model.fit."""
    listed = _callbacks(callbacks)
    shown = progress(options.verbose)
    model.require_compiled("fit")
    samples, validation = _training_data(model, x, y, options.batch_size, validation_split, validation_data)
    plan = model.plan("fit")
    if not any(p.requires_grad for p in plan.optimizer.params):
        raise ArgumentError(
            "[fit] there must be something to train; got a model without trainable weights; unfreeze some"
        )
    steps = math.ceil(samples.count / options.batch_size)
    watch = Watch(options.watch or (steps if options.live else 0))
    history = History(watch.gradients)
    telling = [c for c in listed if type(c).on_batch_end is not Callback.on_batch_end]
    position, model.position = _resumed(model.position, samples, options), None
    model.stop_training = False
    for callback in listed:
        callback.model = model
        callback.on_train_begin()
    with shown.running(options.epochs, steps):
        for epoch in range(options.initial_epoch, options.epochs):
            for callback in listed:
                callback.on_epoch_begin(epoch, {})
            shown.begin_epoch(epoch)
            position, order = _begin(model, epoch, position, samples, options)
            step = model.runner("train_step", options.capture)
            for batch_x, batch_y in samples.batches(options.batch_size, order, position.step):
                number = epoch * steps + position.step
                looking = watch.looks(number)
                try:
                    _, layers, squares = step(batch_x, batch_y, watch=looking)
                except NonFiniteError as error:
                    raise NonFiniteError(
                        f"[fit] the loss is not finite at epoch {epoch}, step {position.step}; "
                        + str(error).partition("; ")[2]
                    ) from None
                plan.training.count += len(batch_y)
                position.step += 1
                if looking:
                    watch.record(number, layers, squares)
                    if options.live:
                        shown.watched(watch.told)
                shown.step(position.step, plan.training.read)
                for callback in telling:
                    callback.on_batch_end(position.step - 1, plan.training.read())
                if model.stop_training:
                    break
            logs = plan.training.read()
            if position.step == steps:
                model.epoch, model.position = epoch + 1, None
            if validation is not None:
                measured = evaluate_samples(model, validation, options.batch_size, options.capture)
                logs.update({f"val_{name}": value for name, value in measured.items()})
            history.append(epoch, logs)
            shown.end_epoch(epoch, logs)
            for line in watch.told() if options.live else ():
                shown.say(line)
            for callback in listed:
                callback.on_epoch_end(epoch, dict(logs))
            position = None
            if model.stop_training:
                break
    for callback in listed:
        callback.on_train_end()
    return history


def evaluate(model: Trainable, x: Any, y: Any, batch_size: int, captured: bool) -> dict[str, float]:
    """See Model.evaluate."""
    model.require_compiled("evaluate")
    return evaluate_samples(model, read(model, "evaluate", x, y, model.loss, batch_size), batch_size, captured)


def evaluate_samples(model: Trainable, samples: Samples, batch_size: int, captured: bool) -> dict[str, float]:
    """The mean loss and metrics of samples that are read already."""
    meter = model.plan("evaluate").testing
    meter.reset()
    run = _by_size(model, "test_step", captured, batch_size, samples.count)
    for x, y in samples.batches(batch_size):
        run(len(y))(x, y)
        meter.count += len(y)
    return meter.read()


def predict(model: Trainable, x: Any, batch_size: int, captured: bool) -> Any:
    """See Model.predict."""
    inputs = read_model_inputs(model, "predict", x)
    samples = Samples(inputs, None, len(inputs[0]))
    if not model.built:
        rehearse(model, inputs, None, batch_size)
    run = _by_size(model, "predict_step", captured, batch_size, samples.count)
    parts = []
    for batch, _ in samples.batches(batch_size):
        outputs = run(len(batch[0] if isinstance(batch, list) else batch))(batch)
        parts.append([t.numpy() for t in outputs] if isinstance(outputs, (list, tuple)) else outputs.numpy())
    if isinstance(parts[0], list):
        return [np.concatenate(columns) for columns in zip(*parts)]
    return np.concatenate(parts)


def _by_size(
    model: Trainable, step: str, captured: bool, batch_size: int, count: int
) -> Callable[[int], Callable[..., Any]]:
    """What runs a batch of so many samples: a size that comes once is not worth a capture, the results are the same."""
    eager = model.runner(step, False)
    full = model.runner(step, captured and batch_size < count)
    return lambda size: full if size == batch_size else eager


def _training_data(
    model: Trainable, x: Any, y: Any, batch_size: int, fraction: Any, given: Any
) -> tuple[Samples, Samples | None]:
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.number)) or not 0 <= fraction < 1:
        raise ArgumentError(
            f"[fit] validation_split is a fraction, 0 <= fraction < 1; got {fraction!r}; choose another"
        )
    if given is not None and (not isinstance(given, (tuple, list)) or len(given) != 2):
        raise ArgumentError(
            f"[fit] validation_data is a pair (x, y); got {type(given).__name__}; write validation_data=(x, y)"
        )
    samples = read(model, "fit", x, y, model.loss, batch_size)
    if given is not None:
        return samples, read(model, "fit: validation_data", given[0], given[1], model.loss, batch_size)
    return split_off("fit", samples, float(fraction)) if fraction else (samples, None)


def _callbacks(callbacks: Any) -> list[Callback]:
    listed = [] if callbacks is None else callbacks
    if isinstance(listed, Callback) or not isinstance(listed, (list, tuple)):
        raise ArgumentError(f"[fit] callbacks come as a list; got {type(callbacks).__name__}; write callbacks=[...]")
    for callback in listed:
        if not isinstance(callback, Callback):
            raise ArgumentError(
                f"[fit] a callback is a tr.callbacks.Callback; got {callback!r}; subclass it, and pass an object of it"
            )
    return list(listed)


def _resumed(position: Position | None, samples: Samples, options: Options) -> Position | None:
    """The position to go on from, if it was within this epoch of this data."""
    if position is None or position.totals is None or position.epoch != options.initial_epoch:
        return None
    same = (position.batch_size, position.samples) == (options.batch_size, samples.count)
    return position if same and (position.order is not None) == options.shuffle else None


def _begin(
    model: Trainable, epoch: int, resumed: Position | None, samples: Samples, options: Options
) -> tuple[Position, np.ndarray | None]:
    """The position at the start of an epoch, or where a file left it, and the order of the samples."""
    meter = model.plan("fit").training
    meter.reset()
    generator = default_generator()
    if resumed is not None:
        meter.restore(resumed.totals or [], resumed.seen)
        generator = Generator(0)
        generator.state.array[:] = resumed.order or (0, 0)
    seed, counter = generator.state.array.tolist()
    order = generator.numpy().permutation(samples.count) if options.shuffle else None
    done = resumed.step if resumed is not None else 0
    drawn = (seed, counter) if options.shuffle else None
    model.position = Position(epoch, done, options.batch_size, samples.count, drawn)
    return model.position, order
