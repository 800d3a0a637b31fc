"""The loop of `fit`: epochs over batches, and who is told about them.

Data is read and checked, and the loss is rehearsed on placeholders, before the first step; so what does not fit is an
error that has changed nothing. The steps themselves are methods of the model; captured, each batch is one call into
the core.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.data.loader import Loader
from tinyres.errors import ArgumentError, NonFiniteError
from tinyres.training.batches import Arrays, Loaded, Position, Source, Stream, is_stream, read_batch, split_off
from tinyres.training.callbacks import Callback
from tinyres.training.history import History
from tinyres.training.inference import Evaluation
from tinyres.training.progress import Progress, progress
from tinyres.training.protocol import Trainable
from tinyres.training.reading import read_count, refuse_targets
from tinyres.training.rehearsal import Reader
from tinyres.training.watching import Watch


@dataclass(frozen=True)
class Data:
    """What `fit` trains and validates on; see there."""

    x: Any
    y: Any
    sample_weight: Any
    class_weight: Any
    validation_split: Any
    validation_data: Any
    steps_per_epoch: int | None
    validation_steps: int | None


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


def read_options(
    batch_size: Any, epochs: Any, initial_epoch: Any, watch: Any, verbose: Any, shuffle: Any, capture: Any, live: Any
) -> Options:
    """The options, checked."""
    return Options(
        batch_size=read_count("fit", "batch_size", batch_size, 1),
        epochs=read_count("fit", "epochs", epochs, 0),
        initial_epoch=read_count("fit", "initial_epoch", initial_epoch, 0),
        watch=read_count("fit", "watch", watch, 0),
        verbose=verbose,
        shuffle=bool(shuffle),
        capture=bool(capture),
        live=bool(live),
    )


def fit(model: Trainable, data: Data, options: Options, callbacks: Sequence[Callback] | None) -> History:
    """See Model.fit."""
    listed = _callbacks(callbacks)
    shown = progress(options.verbose)
    model.require_compiled("fit")
    source, validation = _sources(model, data, options)
    if not any(p.requires_grad for p in model.plan("fit").optimizer.params):
        raise ArgumentError(
            "[fit] there must be something to train; got a model without trainable weights; unfreeze some"
        )
    return Training(model, source, validation, options, listed, shown).run()


class Training:
    """One run of `fit`: what it is told to, where it stands, and whom it tells."""

    def __init__(
        self,
        model: Trainable,
        source: Source,
        validation: Evaluation | None,
        options: Options,
        callbacks: Sequence[Callback],
        shown: Progress,
    ) -> None:
        self._model, self._source, self._validation = model, source, validation
        self._options, self._callbacks, self._shown = options, callbacks, shown
        self._meters = model.plan("fit").training
        self._watch = Watch(options.watch or ((source.steps or 1) if options.live else 0))
        self._history = History(self._watch.gradients)
        self._telling = [c for c in callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        self._taken = 0

    def run(self) -> History:
        """All epochs."""
        model, options = self._model, self._options
        resumed, model.position = self._resumed(model.position), None
        model.stop_training = False
        for callback in self._callbacks:
            callback.model = model
            callback.on_train_begin()
        with self._shown.running(options.epochs, self._source.steps):
            for epoch in range(options.initial_epoch, options.epochs):
                self._epoch(epoch, resumed)
                resumed = None
                if model.stop_training:
                    break
        for callback in self._callbacks:
            callback.on_train_end()
        return self._history

    def _resumed(self, position: Position | None) -> Position | None:
        """The position to go on from, if it was within this epoch of this data."""
        if position is None or position.totals is None or position.epoch != self._options.initial_epoch:
            return None
        if position.step and isinstance(self._source, Stream):
            raise ArgumentError(
                f"[fit] the model was saved within an epoch, and a generator cannot be taken back there; got one for "
                f"epoch {position.epoch}, step {position.step}; train on arrays or a tr.data.Loader, or set "
                "model.position = None to begin the epoch again"
            )
        return position if self._source.resumes(position) else None

    def _epoch(self, epoch: int, resumed: Position | None) -> None:
        model, shown = self._model, self._shown
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch, {})
        shown.begin_epoch(epoch)
        self._meters.reset()
        if resumed is not None:
            self._meters.restore(resumed.totals or [], resumed.seen)
        position = model.position = self._source.begin(epoch, resumed)
        try:
            whole = self._steps(position)
        finally:
            following = self._source.close(position)
        self._taken += position.step
        logs = self._meters.read()
        if whole:
            model.epoch, model.position = epoch + 1, following
        if self._validation is not None:
            logs.update({f"val_{name}": value for name, value in self._validation.run().items()})
        self._history.append(epoch, logs)
        shown.end_epoch(epoch, logs)
        for line in self._watch.told() if self._options.live else ():
            shown.say(line)
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, dict(logs))

    def _steps(self, position: Position) -> bool:
        """The batches that are left of the epoch; whether it was trained to its end."""
        model, steps, watch, meters, shown = self._model, self._source.steps, self._watch, self._meters, self._shown
        step = model.runner("train_step", self._options.capture)
        first = self._taken if steps is None else position.epoch * steps
        batches = self._source.batches(position)
        for batch, count in batches if steps is None else itertools.islice(batches, steps - position.step):
            number = first + position.step
            looking = watch.looks(number)
            try:
                _, layers, squares = step(*batch, watch=looking)
            except NonFiniteError as error:
                raise NonFiniteError(
                    f"[fit] the loss is not finite at epoch {position.epoch}, step {position.step}; "
                    + str(error).partition("; ")[2]
                ) from None
            meters.counted(count)
            position.step += 1
            if looking:
                watch.record(number, layers, squares)
                if self._options.live:
                    shown.watched(watch.told)
            shown.step(position.step, meters.read)
            for callback in self._telling:
                callback.on_batch_end(position.step - 1, meters.read())
            if model.stop_training:
                return position.step == steps
        return True


def _sources(model: Trainable, data: Data, options: Options) -> tuple[Source, Evaluation | None]:
    """What is trained on, and what is validated on, checked as far as it can be."""
    x, y, weight, fraction, given = data.x, data.y, data.sample_weight, data.validation_split, data.validation_data
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.number)) or not 0 <= fraction < 1:
        raise ArgumentError(
            f"[fit] validation_split is a fraction, 0 <= fraction < 1; got {fraction!r}; choose another"
        )
    streamed = isinstance(x, Loader) or is_stream(x)
    if streamed and fraction and given is None:
        raise ArgumentError(
            f"[fit] validation_split cuts arrays; got a {type(x).__name__}; give validation_data instead"
        )
    read = Reader(model, "fit", model.loss, data.class_weight)
    size, steps = options.batch_size, data.steps_per_epoch
    if streamed:
        refuse_targets("fit", x, y, weight)
    if isinstance(x, Loader):
        read_batch("fit", next(x.in_order()), read)
        return Loaded(x, read, steps), _validation(model, given, data, options)
    if streamed:
        stream = Stream("fit", x, read, steps)
        stream.check(options.epochs - options.initial_epoch)
        return stream, _validation(model, given, data, options)
    samples = read(x, y, weight, size)
    if given is None and fraction:
        # The part that is held back weighs its samples, and not its classes.
        plain = samples if data.class_weight is None else Reader(model, "fit", model.loss)(x, y, None, size)
        training, held = split_off("fit", samples, float(fraction))[0], split_off("fit", plain, float(fraction))[1]
        return Arrays(training, size, options.shuffle, steps), Evaluation.of(model, held, size, options.capture)
    return Arrays(samples, size, options.shuffle, steps), _validation(model, given, data, options)


def _validation(model: Trainable, given: Any, data: Data, options: Options) -> Evaluation | None:
    if given is None:
        return None
    if not isinstance(given, Loader) and not is_stream(given):
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ArgumentError(
                f"[fit] validation_data is a pair (x, y); got {type(given).__name__}; write validation_data=(x, y), or "
                "(x, y, sample_weight), or give a Loader or what yields batches"
            )
        x, y, weight = (*given, None)[:3]
    else:
        x, y, weight = given, None, None
    passes = options.epochs - options.initial_epoch
    return Evaluation(
        model,
        "fit: validation_data",
        (x, y, weight),
        options.batch_size,
        options.capture,
        data.validation_steps,
        passes,
    )


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
