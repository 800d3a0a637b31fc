"""The loop of `fit`: epochs over batches, and who is told about them.

Data is read and checked, and the loss is rehearsed on placeholders, before the first step; so what does not fit is an
error that has changed nothing. The steps themselves are methods of the model; captured, each batch is one call into
the core.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyres.data.loader import Loader
from tinyres.errors import ArgumentError, NonFiniteError
from tinyres.training.batches import (
    Arrays,
    Loaded,
    Position,
    Source,
    Stream,
    arrays_of,
    is_stream,
    read_batch,
    split_off,
)
from tinyres.training.callback import CallbackList, states_of
from tinyres.training.history import History
from tinyres.training.inference import Evaluation
from tinyres.training.interrupts import Interrupts
from tinyres.training.progress import EpochBegan, EpochEnded, Event, Reporter, StepDone, Watched, reporter, reporting
from tinyres.training.protocol import Ranks, Trainable, read_ranks
from tinyres.training.reading import non_finite_inputs, read_count, refuse_targets
from tinyres.training.rehearsal import Reader
from tinyres.training.watching import Watch


@dataclass(frozen=True)
class Data:
    """What `fit` trains and validates on; see there."""

    x: Any
    y: Any
    sample_weight: Any
    class_weight: Any
    steps_per_epoch: int | None
    validation_steps: int | None


@dataclass(frozen=True)
class Validation:
    """What `fit` validates on, and when: every `every` epochs, or at those epochs, counted from 1; see there."""

    split: float
    data: Any
    batch_size: int | None
    every: int
    at: tuple[int, ...]

    def due(self, epoch: int) -> bool:
        """Whether epoch `epoch`, counted from 0, ends with a validation."""
        return epoch + 1 in self.at if self.at else (epoch + 1) % self.every == 0

    def times(self, epochs: range) -> int:
        """How many of these epochs do."""
        return sum(map(self.due, epochs))


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
    ranks: Ranks | None = None
    watch_edges: bool = False


def read_options(
    batch_size: Any,
    epochs: Any,
    initial_epoch: Any,
    watch: Any,
    verbose: Any,
    shuffle: Any,
    capture: Any,
    live: Any,
    distributed: Any = None,
    watch_edges: Any = False,
) -> Options:
    """The options, checked."""
    ranks = read_ranks("fit", distributed)
    if watch_edges and (not watch or distributed is not None):
        got = "watch=0" if not watch else "ranks that share each batch"
        raise ArgumentError(
            f"[fit] edges are watched every so many steps, of whole batches; got {got}; give watch=1, and not "
            "distributed"
        )
    return Options(
        batch_size=read_count("fit", "batch_size", batch_size, 1),
        epochs=read_count("fit", "epochs", epochs, 0),
        initial_epoch=read_count("fit", "initial_epoch", initial_epoch, 0),
        watch=read_count("fit", "watch", watch, 0),
        verbose=verbose,
        shuffle=bool(shuffle),
        capture=bool(capture),
        live=bool(live),
        ranks=ranks,
        watch_edges=bool(watch_edges),
    )


def read_validation(split: Any, data: Any, batch_size: Any, freq: Any) -> Validation:
    """What is validated on and when, checked."""
    if isinstance(split, bool) or not isinstance(split, (int, float, np.number)) or not 0 <= split < 1:
        raise ArgumentError(f"[fit] validation_split is a fraction, 0 <= fraction < 1; got {split!r}; choose another")
    listed = list(freq) if isinstance(freq, Collection) and not isinstance(freq, str) else []
    return Validation(
        split=float(split),
        data=data,
        batch_size=None if batch_size is None else read_count("fit", "validation_batch_size", batch_size, 1),
        every=1 if listed else read_count("fit", "validation_freq", freq, 1),
        at=tuple([read_count("fit", "validation_freq", epoch, 1) for epoch in listed]),
    )


def fit(model: Trainable, data: Data, validation: Validation, options: Options, callbacks: Any) -> History:
    """See Model.fit."""
    listed = CallbackList("fit", callbacks)
    shown = reporter(options.verbose, options.live)
    if options.ranks is not None and options.ranks.rank:
        listed.beside_others()
        shown = reporter(0)
    model.require_compiled("fit")
    source, evaluation = _sources(model, data, validation, options)
    if not any(p.requires_grad for p in model.plan("fit").optimizer.params):
        raise ArgumentError(
            "[fit] there must be something to train; got a model without trainable weights; unfreeze some"
        )
    if options.ranks is not None:
        how = {"batch_size": options.batch_size, "epochs": options.epochs, "initial_epoch": options.initial_epoch}
        shuffled = {"shuffle": options.shuffle, "watch": options.watch, "whether it validates": evaluation is not None}
        options.ranks.begin(model, {**source.facts, **how, **shuffled, "its position": model.position})
    return Training(model, source, evaluation, validation.due, options, listed, shown).run()


class Training:
    """One run of `fit`: what it is told to, where it stands, and whom it tells."""

    def __init__(
        self,
        model: Trainable,
        source: Source,
        validation: Evaluation | None,
        due: Callable[[int], bool],
        options: Options,
        callbacks: CallbackList,
        shown: Reporter,
    ) -> None:
        self._model, self._source, self._validation, self._due = model, source, validation, due
        self._options, self._callbacks, self._shown = options, callbacks, shown
        self._meters = model.plan("fit").training
        every = options.watch or ((source.steps or 1) if options.live else 0)
        self._watch = Watch(every, model, options.watch_edges)
        self._history = History(self._watch.gradients, self._watch.edges)
        self._tells_steps = getattr(shown, "every_step", True) or callbacks.wants("tell")
        hooks = callbacks.wants("on_train_batch_begin"), callbacks.wants("on_train_batch_end"), callbacks.wants("tell")
        self._ranks = options.ranks
        self._asks_ranks = self._ranks is not None and self._ranks.any(any(hooks))
        self._taken = 0
        self._interrupts = Interrupts()
        self._logs: dict[str, float] = {}

    def run(self) -> History:
        """All epochs."""
        model, options = self._model, self._options
        resumed = self._resumed(model.position)
        model.stop_training, model.history = False, self._history
        goes_on = resumed is not None or 0 < model.epoch == options.initial_epoch
        states = states_of(model) if goes_on else []
        model.callback_states = self._callbacks
        steps = self._source.steps
        told = {"epochs": options.epochs, "steps": steps, "verbose": options.verbose}
        self._history.model, self._history.params = model, told
        self._callbacks.begin(model, told, states)
        try:
            self._epochs(resumed)
        except BaseException:
            self._callbacks.call("on_train_failed")
            raise
        self._callbacks.call("on_train_end", self._logs)
        return self._history

    def _epochs(self, resumed: Position | None) -> None:
        options = self._options
        with self._interrupts.watched(), reporting(self._tell, options.epochs, self._source.steps):
            for epoch in range(options.initial_epoch, options.epochs):
                self._epoch(epoch, resumed)
                resumed = None
                if self._stopped(self._ranks is not None):
                    break

    def _stopped(self, asking: bool) -> bool:
        """Whether a callback has said that it is enough; asking: on any rank, where all ask."""
        model = self._model
        if asking and self._ranks is not None:
            model.stop_training = self._ranks.any(model.stop_training)
        return model.stop_training

    def _tell(self, event: Event) -> None:
        self._shown.tell(event)
        self._callbacks.tell(event)

    def _resumed(self, position: Position | None) -> Position | None:
        """The position to go on from, if it was within this epoch of this data.

        A model that was not loaded goes on only where initial_epoch says so: its default, 0, may mean a fresh start.
        """
        first = self._options.initial_epoch
        if position is None or position.epoch != first or (position.totals is None and not first):
            return None
        if position.step and position.totals is not None and isinstance(self._source, Stream):
            raise ArgumentError(
                f"[fit] the model was saved within an epoch, and a generator cannot be taken back there; got one for "
                f"epoch {position.epoch}, step {position.step}; train on arrays or a tr.data.Loader, or set "
                "model.position = None to begin the epoch again"
            )
        if not self._source.resumes(position):
            return None
        if position.totals is None:
            totals, seen = self._meters.state()
            return replace(position, totals=totals, seen=seen)
        return position

    def _epoch(self, epoch: int, resumed: Position | None) -> None:
        model, epochs, began = self._model, self._options.epochs, time.perf_counter()
        self._callbacks.call("on_epoch_begin", epoch, {})
        self._tell(EpochBegan(epoch, epochs, self._source.steps))
        self._refuse_another_plan()
        self._interrupts.hold()
        try:
            self._meters.reset()
            if resumed is not None:
                self._meters.restore(resumed.totals or [], resumed.seen)
            position = model.position = self._source.begin(epoch, resumed)
        finally:
            self._interrupts.release()
        try:
            whole = self._steps(position)
        finally:
            self._interrupts.hold()
            following = self._source.close(position)
            if position.step == self._source.steps:
                model.epoch, model.position = epoch + 1, following
            self._interrupts.release()
        if whole:
            model.epoch, model.position = epoch + 1, following
        self._taken += position.step
        logs = self._meters.read()
        if self._validation is not None and self._due(epoch):
            measured = self._validation.run(self._callbacks, self._ranks)
            logs.update({f"val_{name}": value for name, value in measured.items()})
        seconds = time.perf_counter() - began
        self._tell(EpochEnded(epoch, epochs, dict(logs), seconds, self._watch.gradients))
        self._callbacks.call("on_epoch_end", epoch, logs)
        self._refuse_another_plan()
        self._history.append(epoch, logs)
        self._logs = logs

    def _refuse_another_plan(self) -> None:
        """Raise ArgumentError if a callback has compiled the model, or connected its layers, anew."""
        if self._model.plan("fit").training is not self._meters:
            raise ArgumentError(
                "[fit] the model was compiled or connected anew while fit was running; got that from a callback; set "
                "model.stop_training = True there, and compile and fit afterwards"
            )

    def _steps(self, position: Position) -> bool:
        """The batches that are left of the epoch; whether it was trained to its end."""
        model, steps, watch, meters = self._model, self._source.steps, self._watch, self._meters
        told = self._callbacks
        begins, ends = told.wants("on_train_batch_begin"), told.wants("on_train_batch_end")
        captured = self._options.capture
        step = model.runner("train_step", captured) if self._ranks is None else self._ranks.step(model, captured)
        first = self._taken if steps is None else position.epoch * steps
        batches = self._source.batches(position)
        for batch, count in batches if steps is None else itertools.islice(batches, steps - position.step):
            number = first + position.step
            looking = watch.looks(number)
            if begins:
                told.call("on_train_batch_begin", position.step, {})
                self._refuse_another_plan()
            self._interrupts.hold()
            try:
                _, layers, squares, *looks = step(*batch, watch=looking)
                meters.counted(count)
                position.step += 1
            except NonFiniteError as error:
                what = "a gradient is not finite, though the loss is," if "gradient must" in str(error) else ""
                raise NonFiniteError(
                    f"[fit] {what or 'the loss is not finite'} at epoch {position.epoch}, step {position.step}; "
                    + str(error).partition("; ")[2]
                    + non_finite_inputs(getattr(self._source, "inputs", None) or arrays_of(batch[0]))
                ) from None
            finally:
                self._interrupts.release()
            if looking:
                watch.record(number, layers, squares, looks)
                if watch.gradients is not None:
                    self._tell(Watched(position.epoch, watch.gradients))
            if self._tells_steps:
                self._tell(StepDone(position.epoch, position.step, steps, meters.read))
            if ends:
                told.call("on_train_batch_end", position.step - 1, meters.read())
                self._refuse_another_plan()
            if self._stopped(self._asks_ranks):
                return position.step == steps
        return True


def _sources(
    model: Trainable, data: Data, validation: Validation, options: Options
) -> tuple[Source, Evaluation | None]:
    """What is trained on, and what is validated on, checked as far as it can be."""
    x, y, weight, fraction, given = data.x, data.y, data.sample_weight, validation.split, validation.data
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
        return Loaded(x, read, steps), _validation(model, validation, data, options)
    if streamed:
        stream = Stream("fit", x, read, steps)
        stream.check(options.epochs - options.initial_epoch)
        return stream, _validation(model, validation, data, options)
    samples = read(x, y, weight, size)
    read.look_at_labels(samples)
    if given is None and fraction:
        # The part that is held back weighs its samples, and not its classes.
        plain = samples if data.class_weight is None else Reader(model, "fit", model.loss)(x, y, None, size)
        training, held = split_off("fit", samples, fraction)[0], split_off("fit", plain, fraction)[1]
        if data.validation_steps is not None:
            held = held.part(0, min(data.validation_steps * (validation.batch_size or size), held.count))
        evaluation = Evaluation.of(model, held, validation.batch_size or size, options.capture)
        return Arrays(training, size, options.shuffle, steps), evaluation
    return Arrays(samples, size, options.shuffle, steps), _validation(model, validation, data, options)


def _validation(model: Trainable, validation: Validation, data: Data, options: Options) -> Evaluation | None:
    given = validation.data
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
    return Evaluation(
        model,
        "fit: validation_data",
        (x, y, weight),
        validation.batch_size or options.batch_size,
        options.capture,
        data.validation_steps,
        validation.times(range(options.initial_epoch, options.epochs)),
    )
