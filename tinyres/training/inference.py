"""evaluate and predict: one pass over the data, in inference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinyres.data.loader import Loader
from tinyres.errors import ArgumentError, DTypeError, NonFiniteError
from tinyres.training.batches import Batch, Samples, Stream, is_stream, read_batch
from tinyres.training.callback import CallbackList
from tinyres.training.protocol import Ranks, Trainable, read_ranks
from tinyres.training.reading import non_finite_inputs, refuse_targets
from tinyres.training.rehearsal import Reader, read_model_inputs, rehearse


class Values(list[float]):
    """What `evaluate` returns: the loss first. Of a loss alone it also stands where a number is asked for.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(loss="mse")
    >>> loss = model.evaluate([[1.0]], [[2.0]])
    >>> loss, f"{loss:.1f}"
    ([4.0], '4.0')
    """

    def __float__(self) -> float:
        if len(self) != 1:
            raise DTypeError(f"[evaluate] it gives the loss and each metric; got {self!r}, asked for one; take one")
        return self[0]

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)

    def __round__(self, digits: int | None = None) -> float:
        return round(float(self), digits)


class Evaluation:
    """Data to evaluate on, read as far as it can be: arrays as a whole, a Loader's or generator's batches as they come.

    Each `run` is one pass: the means of loss and metrics over its samples. data: (x, y, sample_weight). steps: how many
    batches a pass takes; None: all. passes: how many runs there will be.
    """

    def __init__(
        self,
        model: Trainable,
        op: str,
        data: tuple[Any, Any, Any],
        batch_size: int,
        captured: bool,
        steps: int | None = None,
        passes: int = 1,
    ) -> None:
        x, y, weight = data
        self._op = op
        self._model, self._size, self._captured = model, batch_size, captured
        read = Reader(model, op, model.loss)
        self._samples: Samples | None = None
        self._batches: Callable[[], Iterator[Batch]]
        if isinstance(x, Loader):
            refuse_targets(op, x, y, weight)
            read_batch(op, next(x.in_order()), read)
            self._batches = lambda: itertools.islice((read_batch(op, b, read) for b in x.in_order()), steps)
        elif is_stream(x):
            refuse_targets(op, x, y, weight)
            stream = Stream(op, x, read, steps)
            stream.check(passes)
            self._batches = stream.epoch
        else:
            samples = read(x, y, weight, batch_size)
            if steps is not None:
                samples = samples.part(0, min(steps * batch_size, samples.count))
            self._samples = samples
            self._batches = lambda: samples.batches(batch_size)

    @classmethod
    def of(cls, model: Trainable, samples: Samples, batch_size: int, captured: bool) -> Evaluation:
        """Samples that are read already."""
        made = cls.__new__(cls)
        made._op = "fit: validation"
        made._model, made._size, made._captured = model, batch_size, captured
        made._samples = samples
        made._batches = lambda: samples.batches(batch_size)
        return made

    def among(self, distributed: Any) -> Ranks | None:
        """The ranks that share it, None for none. Raises ArgumentError where they have other data or weights."""
        return _met(self._op, self._model, distributed, self._size, self._samples)

    def run(self, callbacks: CallbackList | None = None, ranks: Ranks | None = None) -> dict[str, float]:
        """One pass, of which these callbacks are told. ranks: each takes batches in turn, unless one looks at each.

        Raises NonFiniteError where the loss is not finite since x, in arrays, is not; of finite x it is what it is.
        """
        told = callbacks or CallbackList("evaluate", None)
        meters = self._model.plan("evaluate").testing
        meters.reset()
        told.call("on_test_begin", {})
        run = by_size(self._model, "test_step", self._captured, self._size, self._samples)
        ends = told.wants("on_test_batch_end")
        shared = None if ranks is None or ranks.any(ends) else ranks
        rows: list[np.ndarray] = []
        for number, (batch, count) in enumerate(self._batches()):
            told.call("on_test_batch_begin", number, {})
            if shared is None or number % shared.size == shared.rank:
                run(count)(*batch)
                if shared is not None:
                    rows.append(meters.sums)
                    meters.sums = np.zeros_like(rows[-1])
            meters.counted(count)
            if ends:
                told.call("on_test_batch_end", number, meters.read())
        if shared is not None:
            meters.sums = np.array(shared.in_turn(rows)).sum(axis=0)
        logs = meters.read()
        if self._samples is not None and not math.isfinite(logs["loss"]):
            why = non_finite_inputs(self._samples.inputs)
            if why:
                raise NonFiniteError(f"[{self._op}] the loss must be finite; got {logs['loss']}{why}")
        told.call("on_test_end", logs)
        return logs


def predict(
    model: Trainable,
    x: Any,
    batch_size: int,
    captured: bool,
    steps: int | None,
    told: CallbackList,
    distributed: Any = None,
) -> Any:
    """See Model.predict."""
    samples: Samples | None = None
    if isinstance(x, Loader) or is_stream(x):
        given: Iterable[Any] = x.in_order() if isinstance(x, Loader) else x
        batches: Iterator[Batch] = (_inputs(model, batch) for batch in itertools.islice(given, steps))
    else:
        inputs = read_model_inputs(model, "predict", x)
        samples = Samples(inputs, None, len(inputs[0]))
        if not model.built:
            rehearse(model, inputs, min(batch_size, samples.count))
        batches = samples.batches(batch_size)
        batches = itertools.islice(batches, steps)
    run = by_size(model, "predict_step", captured, batch_size, samples)
    parts: list[Any] = []
    ranks = _met("predict", model, distributed, batch_size, samples)
    told.call("on_predict_begin", {})
    for number, (batch, count) in enumerate(batches):
        told.call("on_predict_batch_begin", number, {})
        if ranks is None or number % ranks.size == ranks.rank:
            outputs = run(count)(*batch)
            parts.append([t.numpy() for t in outputs] if isinstance(outputs, (list, tuple)) else outputs.numpy())
        told.call("on_predict_batch_end", number, {})
    parts = parts if ranks is None else ranks.in_turn(parts)
    told.call("on_predict_end", {})
    if not parts:
        raise ArgumentError("[predict] there must be at least one batch; got a generator without any; give it data")
    if isinstance(parts[0], list):
        return [np.concatenate(columns) for columns in zip(*parts)]
    return np.concatenate(parts)


def _met(op: str, model: Trainable, distributed: Any, batch_size: int, samples: Samples | None) -> Ranks | None:
    """The ranks that share a pass over the data, each of which takes batches in turn."""
    ranks = read_ranks(op, distributed)
    if ranks is not None:
        ranks.meet(model, {"batch_size": batch_size, **({} if samples is None else samples.facts)})
    return ranks


def by_size(
    model: Trainable, step: str, captured: bool, batch_size: int, samples: Samples | None
) -> Callable[[int], Callable[..., Any]]:
    """What runs a batch of so many samples: a size that comes once is not worth a capture, the results are the same.

    samples: None where nobody knows which sizes will come.
    """
    if samples is None:
        runner = model.runner(step, captured)
        return lambda size: runner
    eager = model.runner(step, False)
    full = model.runner(step, captured and batch_size < samples.count)
    return lambda size: full if size == batch_size else eager


def _inputs(model: Trainable, batch: Any) -> Batch:
    """The inputs of what a Loader or a generator gave: x, or the first of (x, y) and (x, y, weight)."""
    ports: list[Any] = model.ports or []
    # A list is of several inputs, unless one that the model takes stands first in it, as in what PyTorch loads.
    paired = isinstance(batch, list) and len(ports) == 1 and 0 < len(batch) < 4
    if isinstance(batch, tuple) and batch or paired and len(getattr(batch[0], "shape", ())) == len(ports[0].shape):
        batch = batch[0]
    inputs = read_model_inputs(model, "predict", batch)
    if not model.built:
        rehearse(model, inputs)
    return Samples(inputs, None, len(inputs[0])).whole(), len(inputs[0])
