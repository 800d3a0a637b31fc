"""The loops: fit, evaluate and predict over batches.

Data is read and checked as a whole, and the loss is rehearsed on placeholders, before the first step; so what does
not fit is an error that has changed nothing. The steps themselves are methods of the model; captured, each batch is
one call into the core.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.capture import capture
from tinyres.engine.state import no_grad, preserving
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError, CaptureError, NonFiniteError, ValueCheckFailed
from tinyres.launch import DryRecorder, recording
from tinyres.layers import losses
from tinyres.ops.random import Generator, default_generator, preserving_generator
from tinyres.training.batches import Port, Samples, placeholder, read_inputs, read_numbers, read_targets, split_off
from tinyres.training.callbacks import Callback
from tinyres.training.gradients import GradientNorms
from tinyres.training.history import History
from tinyres.training.progress import progress

if TYPE_CHECKING:
    from tinyres.model.model import Model

_DRY = DryRecorder("read values in a metric or callback instead")


# The loss, and, of a step that is watched, (layer, place of its squared gradient norm) and all squares.
Stepped = tuple[Tensor, tuple[tuple[str, int], ...], list[Tensor]]


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
    model: Model,
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
    watch = options.watch or (steps if options.live else 0)
    gradients = GradientNorms() if watch else None
    forward: _Forward | None = None
    history = History(gradients)
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
                looking = bool(watch) and (number + 1) % watch == 0
                try:
                    _, layers, squares = step(batch_x, batch_y, watch=looking)
                except NonFiniteError as error:
                    raise NonFiniteError(
                        f"[fit] the loss is not finite at epoch {epoch}, step {position.step}; "
                        + str(error).partition("; ")[2]
                    ) from None
                plan.training.count += len(batch_y)
                position.step += 1
                if gradients is not None and looking:
                    if forward is None or layers is not forward.layers:
                        forward = _Forward(layers)
                    gradients.append(number, forward.names, forward.norms(squares))
                    if options.live:
                        shown.watched(gradients.told)
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
            if options.live and gradients is not None and len(gradients):
                for line in gradients.told():
                    shown.say(line)
            for callback in listed:
                callback.on_epoch_end(epoch, dict(logs))
            position = None
            if model.stop_training:
                break
    for callback in listed:
        callback.on_train_end()
    return history


def evaluate(model: Model, x: Any, y: Any, batch_size: int, captured: bool) -> dict[str, float]:
    """See Model.evaluate."""
    model.require_compiled("evaluate")
    return evaluate_samples(model, read(model, "evaluate", x, y, model.loss, batch_size), batch_size, captured)


def evaluate_samples(model: Model, samples: Samples, batch_size: int, captured: bool) -> dict[str, float]:
    """The mean loss and metrics of samples that are read already."""
    meter = model.plan("evaluate").testing
    meter.reset()
    run = _by_size(model, "test_step", captured, batch_size, samples.count)
    for x, y in samples.batches(batch_size):
        run(len(y))(x, y)
        meter.count += len(y)
    return meter.read()


def predict(model: Model, x: Any, batch_size: int, captured: bool) -> Any:
    """See Model.predict."""
    inputs = _read_inputs(model, "predict", x)
    samples = Samples(inputs, None, len(inputs[0]))
    if not model.built:
        _rehearse(model, inputs, None, batch_size)
    run = _by_size(model, "predict_step", captured, batch_size, samples.count)
    parts = []
    for batch, _ in samples.batches(batch_size):
        outputs = run(len(batch[0] if isinstance(batch, list) else batch))(batch)
        parts.append([t.numpy() for t in outputs] if isinstance(outputs, (list, tuple)) else outputs.numpy())
    if isinstance(parts[0], list):
        return [np.concatenate(columns) for columns in zip(*parts)]
    return np.concatenate(parts)


def _by_size(
    model: Model, step: str, captured: bool, batch_size: int, count: int
) -> Callable[[int], Callable[..., Any]]:
    """What runs a batch of so many samples: a size that comes once is not worth a capture, the results are the same."""
    eager = model.runner(step, False)
    full = model.runner(step, captured and batch_size < count)
    return lambda size: full if size == batch_size else eager


def read(model: Model, op: str, x: Any, y: Any, loss: Any, batch_size: int | None = None) -> Samples:
    """x and y as this model and this loss take them, all checks passed. Builds a model that is not built yet.

    batch_size: of the batches that they will come in; None for all at once.
    """
    inputs = _read_inputs(model, op, x)
    count = len(inputs[0])
    if not model.steps:
        output = _output_shape(op, _rehearse(model, inputs, None, batch_size))
    else:
        output = _output_shape(op, model.outputs if len(model.outputs) > 1 else model.outputs[0])
    targets = read_targets(op, y, count, _kind_of_targets(loss), output, model.float_dtype)
    _rehearse(model, inputs, (targets, loss), batch_size)
    return Samples(inputs, targets, count)


def _training_data(
    model: Model, x: Any, y: Any, batch_size: int, fraction: Any, given: Any
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


def _read_inputs(model: Model, op: str, x: Any) -> list[np.ndarray]:
    ports = model.ports
    if ports is None:  # a subclassed model, or one that is not built: the data says what the inputs are
        several = isinstance(x, (list, tuple)) and bool(x) and all(isinstance(a, (np.ndarray, Tensor)) for a in x)
        arrays = [read_numbers(op, "x", a, "encode them as numbers first") for a in (x if several else [x])]
        ports = [Port(f"input {i}", (None, *a.shape[1:]), model.float_dtype) for i, a in enumerate(arrays)]
        x = arrays if several else arrays[0]
        if several and len(arrays) == 1:
            x = arrays[0]
    return read_inputs(op, x, ports)


def _output_shape(op: str, output: Any) -> tuple[int | None, ...]:
    if isinstance(output, (list, tuple)):
        raise ArgumentError(
            f"[{op}] fit and evaluate take models with one output; this one has {len(output)}; "
            "write the loop yourself, with a loss for each output"
        )
    return (None, *output.shape[1:])


def _kind_of_targets(loss: Any) -> str:
    found = losses.get(loss)
    if found.integer_targets:
        return "labels"
    if found.function is losses.mse:
        return "values"
    takes = (losses.categorical_cross_entropy_with_logits, losses.binary_cross_entropy_with_logits)
    return "probabilities" if found.on_logits or found.function in takes else "any"


def _rehearse(
    model: Model, inputs: Sequence[np.ndarray], target: tuple[np.ndarray, Any] | None, batch_size: int | None
) -> Any:
    """Forward, and with targets loss and metrics, on placeholders: every shape is checked and nothing runs.

    Builds the model if need be. Returns the output.
    """
    rows = min(batch_size or len(inputs[0]), len(inputs[0]))
    held = [placeholder(array, rows) for array in inputs]
    x = held[0] if len(held) == 1 else held
    with recording(_DRY), preserving(), preserving_generator(), no_grad():
        if target is None:
            return model(x, training=False)
        measure = model.loss_of(target[1])
        with contextlib.suppress(CaptureError):  # a loss that reads values can only be checked by running it
            y = placeholder(target[0], rows)
            prediction, _ = measure(model, x, y, training=True)
            if target[1] is model.loss:
                plan = model.plan("fit")
                plan.training.rehearse(plan.seen(prediction), y)
            return prediction
    return None


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
    model: Model, epoch: int, resumed: Position | None, samples: Samples, options: Options
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


class _Forward:
    """The watched layers of a step in forward order, once per recording: backward meets them the other way round."""

    def __init__(self, layers: tuple[tuple[str, int], ...]) -> None:
        self.layers = layers
        self.names = tuple([name for name, _ in layers[::-1]])
        self._places = [place for _, place in layers[::-1]]

    def norms(self, squares: Sequence[Tensor]) -> np.ndarray:
        """The norm of each layer."""
        if not squares:
            return np.zeros(0)
        return np.sqrt(np.concatenate([t.buffer.array for t in squares])[self._places])


class Runners:
    """A model's steps, ready to run; captured ones are recorded anew when weights are frozen or freed."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Callable[..., Any]] = {}
        self._weights: list[Parameter] = []

    def get(self, model: Model, step: str, captured: bool) -> Callable[..., Any]:
        """The model's method of this name, captured or not."""
        self._weights = self._weights or model.weights
        key = step, captured, *[w.requires_grad for w in self._weights]
        if key not in self._made:
            made: Callable[..., Any] = getattr(model, step)
            if captured:
                made = capture(made)
            elif step == "train_step":
                made = EagerStep(model)
            self._made[key] = made
        return self._made[key]


class EagerStep:
    """A training step in Python that leaves all state as it was if the loss is not finite, as a captured one does."""

    def __init__(self, model: Model) -> None:
        self._model = model
        trained = {id(p) for p in model.parameters()}
        self._kept = [w.buffer for w in model.weights if id(w) not in trained]
        self._kept += [generator.state for generator in model.generators()]

    def __call__(self, x: Any, y: Tensor, watch: bool = False) -> Stepped:
        before = [buffer.array.copy() for buffer in self._kept]
        try:
            return self._model.train_step(x, y, watch)
        except ValueCheckFailed:
            for buffer, values in zip(self._kept, before):
                buffer.array[...] = values
        with contextlib.suppress(CaptureError):
            capture(self._model.train_step)(x, y)  # fails the same way, and names the node
        raise NonFiniteError(
            "[check_finite] the loss must be finite; it is not; all state is as before this step; lower the rate"
        )
