"""Model: a graph of layers with what training needs around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres import optim
from tinyres.engine.node import changes
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.model import pickling, rewiring
from tinyres.model.architecture import every_layer
from tinyres.model.as_keras import AsKeras
from tinyres.model.ownership import refuse_foreign, refuse_unknown
from tinyres.model.recalibration import recalibrate_batchnorm
from tinyres.nn.functional import Functional
from tinyres.nn.summary import summary
from tinyres.nn.tree import LayerTree
from tinyres.ops.random import Generator, default_generator, preserving_generator
from tinyres.optim import Optimizer
from tinyres.training import loop, steps
from tinyres.training.batches import Position
from tinyres.training.callback import Callback, CallbackList
from tinyres.training.further import read_further
from tinyres.training.history import History
from tinyres.training.inference import Evaluation, Values, predict
from tinyres.training.plan import LossPlan, Plan, check_compiled
from tinyres.training.protocol import Stepped
from tinyres.training.reading import Port, read_count, read_steps
from tinyres.training.rehearsal import read
from tinyres.training.runners import Runners

if TYPE_CHECKING:
    from tinyres.measure.graph import Graph


class Model(AsKeras):
    """The layers between `inputs` and `outputs`, and how they are trained, measured and saved.

    inputs: what tr.Input gave, or a list. outputs: what layers gave for it, or a list. A subclass may define `call`
    instead, with its layers as attributes. epoch: how many epochs were trained. stop_training: set it to True in a
    callback to end `fit`. history: of the last `fit`.
    Raises ArgumentError if an output does not follow from the inputs.

    >>> import numpy as np
    >>> import tinyres as tr
    >>> inputs = tr.Input(shape=(4,))
    >>> model = tr.Model(inputs, tr.layers.Dense(3, activation="softmax")(inputs))
    >>> model.predict(np.zeros((2, 4))).shape
    (2, 3)
    """

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None) -> None:
        self.built_on: Any = None
        self._untrained()
        super().__init__(inputs, outputs, name)

    def _untrained(self) -> None:
        """What there is before `compile` and `fit`."""
        self.optimizer: Optimizer | None = None
        self.loss: Any = None
        self.metrics: Any = []
        self.weighted_metrics: Any = []
        self.run_eagerly = False
        self.loss_weights: Any = None
        self.stop_training = False
        self.epoch = 0
        self.position: Position | None = None
        self.history: History | None = None
        self.callback_states: Any = []
        self._plan: Plan | None = None
        self._bound = False  # whether the optimizer was given its parameters by this model
        self._parts_seen = -1
        self._output_count = 0
        self._runners = Runners()

    _passing = LayerTree._passing | {"stop_training", "epoch", "position", "callback_states", "history"}

    @classmethod
    def from_graph(cls, inputs: Any, outputs: Any, name: str | None) -> Model:
        """A model over layers that are connected already."""
        return cls(inputs, outputs, name=name)

    @property
    def ports(self) -> list[Port] | None:
        """The inputs: name, shape, dtype. None for a subclassed model, or before a Sequential is built."""
        if not self.steps:
            return None
        return [Port(str(s.producer.layer.name), s.shape, s.dtype) for s in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The outputs by the layers that they come from: by path where two have the same name."""
        if not self.steps:
            return [f"output_{i + 1}" for i in range(self._output_count or 1)]
        path_of = {step.call: step.path for step in self.steps}
        paths = [path_of.get(s.producer, str(s.producer.layer.name)) for s in self.outputs]
        names = [path.rpartition("/")[2] for path in paths]
        if len(set(names)) < len(names):
            names = [path + f"_{paths[:i].count(path)}" * (path in paths[:i]) for i, path in enumerate(paths)]
        return names

    def note_outputs(self, count: int) -> None:
        """Learn how many outputs a model without Inputs has, from a call of it."""
        if count != self._output_count:
            self._output_count, self._plan = count, None

    def compile(
        self,
        optimizer: Any = "sgd",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        **further: Any,
    ) -> None:
        """Say how `fit` trains.

        optimizer: "sgd", "adam", "adamw", or an Optimizer without parameters or with this model's. loss: a name, such
        as "sparse_categorical_crossentropy", or a function (prediction, target) -> mean. metrics: a list of names
        ("accuracy", "mae") and such functions; weighted_metrics: the same, by sample_weight. With several outputs, each
        of them, and loss_weights, is a list with an entry per output, or a dict by the name of the output's layer; one
        loss alone is that of every output. The sum of loss_weight · loss is trained on; an output without a loss is
        not, and needs no target. run_eagerly: run every step in Python, as `capture=False` does. further: what Keras
        takes and changes no result. Raises ArgumentError for what is unknown, or does not fit the model.

        >>> import tinyres as tr
        >>> model = tr.Sequential([tr.layers.Dense(1)])
        >>> model.compile(optimizer=tr.optim.Adam(lr=0.01), loss="mse", metrics=["mae"])
        """
        read_further("compile", further, "optimizer, loss, metrics, loss_weights, weighted_metrics, run_eagerly")
        if loss is None:
            raise ArgumentError('[compile] training needs a loss; got None; choose one, such as loss="mse"')
        chosen = optim.get(optimizer)
        check_compiled(loss, metrics)
        check_compiled(loss, weighted_metrics)
        known = self.built and bool(self.steps or self._output_count)
        if known:
            LossPlan(self, loss, loss_weights, metrics, weighted_metrics)
        if self.built:
            refuse_foreign(self, chosen)
        self.optimizer, self.loss, self.metrics, self.loss_weights = chosen, loss, metrics or [], loss_weights
        self.weighted_metrics, self.run_eagerly = weighted_metrics or [], bool(run_eagerly)
        self._plan, self._runners, self._bound = None, Runners(), False
        if known:
            self.plan("compile")

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        capture: bool = True,
        watch: int = 0,
        live: bool = False,
        sample_weight: Any = None,
        class_weight: Any = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        distributed: Any = None,
        watch_edges: bool = False,
        **further: Any,
    ) -> History:
        """Train for epochs initial_epoch .. epochs - 1 and return the History.

        x: (samples, ...), an array, Tensor or DataFrame; for several inputs a list, or a dict by name. y: one target
        per sample; for several outputs a list, or a dict by name. Or, without y, x is a tr.data.Loader, or anything
        that yields batches (x, y) or (x, y, sample_weight), and sees to batch_size and shuffle. verbose: "auto" (a bar
        in a terminal, else a line per epoch), 0, 1 (bar), 2 (lines). validation_split: the last fraction of the
        samples is held back. validation_data: (x, y), (x, y, sample_weight), or what yields them. shuffle: a new order
        in each epoch. initial_epoch: where to go on; `model.epoch` after a load. capture: replay the recorded step;
        False runs each in Python. watch: record every layer's gradient norm each `watch` steps, in history.gradients;
        watch_edges: and every edge's, in history.edges. live: show the gradient, and the block that changes it most.
        sample_weight: a number per sample, for all outputs or in a list or dict; a batch's loss is Σ weight · loss
        / samples (Keras' "sum_over_batch_size"); metrics count all alike. class_weight: {class: weight}, 1 for others.
        steps_per_epoch, validation_steps: the number of batches, where what yields them does not end. validation_freq:
        every how many epochs is validated, or the epochs, from 1. distributed: tr.distributed.world(shards=8): ranks
        that share each batch. further: Keras' own, without effect.

        Arrays are checked before anything changes; of what yields batches, the first is. A loss that is not finite
        raises NonFiniteError before its step is taken. Learning rates, `trainable` and what layers were told (a dropout
        rate) may change at any time; what a loss or metric of one's own was told is as it was when a step was recorded:
        after changing that call `compile` again. From a file, or after Ctrl-C with initial_epoch=model.epoch > 0, it
        goes on bit for bit with arrays and Loaders; a generator, which cannot go back within an epoch, is refused.

        >>> import tinyres as tr
        >>> model = tr.Sequential([tr.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> len(model.fit([[1.0], [2.0]], [[1.0], [2.0]], epochs=3, verbose=0).history["loss"])
        3
        """
        read_further("fit", further, "x, y, batch_size, epochs, verbose, callbacks and what help(model.fit) lists")
        options = loop.read_options(
            batch_size, epochs, initial_epoch, watch, verbose, shuffle, capture, live, distributed, watch_edges
        )
        limits = read_steps("fit", steps_per_epoch), read_steps("fit", validation_steps)
        validation = loop.read_validation(validation_split, validation_data, validation_batch_size, validation_freq)
        return loop.fit(self, loop.Data(x, y, sample_weight, class_weight, *limits), validation, options, callbacks)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = 256,
        capture: bool = True,
        sample_weight: Any = None,
        steps: int | None = None,
        return_dict: bool = False,
        callbacks: Sequence[Callback] | None = None,
        distributed: Any = None,
        **further: Any,
    ) -> Any:
        """[loss, each output's loss, each metric], means over all samples, in inference.

        A loss alone comes in a list too, which can be printed as the number, and float() makes it one.
        x, y, sample_weight: as for `fit`. steps: batches to take. return_dict: give a dict by name instead of a list.
        callbacks: whose on_test_* are called. distributed: as for `fit`; ranks take batches in turn.
        Raises ArgumentError before `compile`, and for data that does not fit.
        """
        read_further("evaluate", further, "x, y, batch_size, sample_weight, steps, return_dict and callbacks")
        size = read_count("evaluate", "batch_size", 256 if batch_size is None else batch_size, 1)
        self.require_compiled("evaluate")
        told, limit = CallbackList("evaluate", callbacks, self), read_steps("evaluate", steps)
        evaluation = Evaluation(self, "evaluate", (x, y, sample_weight), size, bool(capture), limit)
        values = evaluation.run(told, evaluation.among(distributed))
        return values if return_dict else Values(values.values())

    def predict(
        self,
        x: Any,
        batch_size: int | None = 256,
        capture: bool = True,
        steps: int | None = None,
        callbacks: Any = None,
        distributed: Any = None,
        **further: Any,
    ) -> Any:
        """The outputs for all samples as a NumPy array, or a list of them, in inference.

        x: as for `fit`; of (x, y) that is yielded, x. steps: batches to take. callbacks: whose on_predict_* are called.
        distributed: as for `evaluate`. Raises ShapeError or DTypeError for data that does not fit.
        """
        read_further("predict", further, "x, batch_size, steps and callbacks")
        size = read_count("predict", "batch_size", 256 if batch_size is None else batch_size, 1)
        limit = read_steps("predict", steps)
        return predict(self, x, size, bool(capture), limit, CallbackList("predict", callbacks, self), distributed)

    def recalibrate_batchnorm(self, x: Any, batch_size: int = 256) -> None:
        """Set every BatchNormalization's moving statistics to those of these samples at the present weights.

        x: as for `fit`, run in training mode, Dropout included; mean and variance are then those over all samples.
        Frozen layers, weights, generators and gradients stay as they are. Raises ShapeError for no samples.

        >>> import tinyres as tr
        >>> model = tr.Sequential([tr.Input(shape=(1,)), tr.layers.BatchNorm()])
        >>> model.recalibrate_batchnorm([[1.0], [3.0]])
        >>> model.layers[0].moving_mean.numpy()
        array([2.], dtype=float32)
        """
        recalibrate_batchnorm(self, x, read_count("recalibrate_batchnorm", "batch_size", batch_size, 1))

    def train_step(self, x: Any, y: Any, sample_weight: Any = None, watch: bool | str = False) -> Stepped:
        """One step on one batch: forward, metrics, backward, optimizer. Launches only, so that it can be captured.

        Returns the loss and, with `watch`, for each layer in the order of backward its name and the place of the
        squared norm of its output's gradient among all squares, in Tensors of LayerNorms.SQUARES; "edges": also a Look.
        """
        return steps.train_step(self, x, y, sample_weight, watch)

    def test_step(self, x: Any, y: Any, sample_weight: Any = None) -> Tensor:
        """Loss and metrics of one batch, in inference, without gradients."""
        return steps.test_step(self, x, y, sample_weight)

    def predict_step(self, x: Any) -> Any:
        """The outputs for one batch, in inference, without gradients."""
        return steps.predict_step(self, x)

    def graph(self, x: Any, y: Any = None, loss: Any = None, training: bool = True, sample_weight: Any = None) -> Graph:
        """The graph of the loss on this batch; each `.trace()` runs forward and backward at the present weights.

        x, y, sample_weight: as for `fit`, all as one batch. loss: as for `compile`, whose loss is the default.
        training: whether layers are in training mode. Leaves no mark: gradients, moving statistics and generators stay.
        """
        from tinyres.measure.graph import Graph  # loads when a graph is first asked for

        compiled = self.loss if loss is None else loss
        if compiled is None:
            raise ArgumentError(
                '[graph] a gradient starts from a loss; got none; compile the model, or give loss="mse"'
            )
        samples = read(self, "graph", x, y, compiled, sample_weight)
        data = inputs, target, *weight = samples.whole()
        measure = self.loss_of(compiled)

        def forward() -> Tensor:
            with preserving_generator():
                return measure(self, inputs, target, training, *weight)[1]

        known = self.steps and sample_weight is None  # how many outputs there are, and that each sample counts alike
        chance = measure.chance(target, [output.shape[-1] or 1 for output in self.outputs]) if known else None
        return Graph.of(forward, samples.count, training, self.named_parameters, chance, data)

    def without_skips(self) -> Functional:
        """The plain twin: copies of the same layers and weights under the same names, every skip dropped.

        An input of an Add or a Concatenate is a skip if it is fewer parametric layers away from where it parts from
        another input. An Add that is left with one input disappears; a Concatenate becomes a `layers.ConcatenateZeros`,
        with zeros in the skip's channels. Raises ArgumentError if there is no skip, or none can be told.

        >>> import tinyres as tr
        >>> x = tr.Input(shape=(3,))
        >>> twin = tr.Model(x, tr.layers.Add()([tr.layers.Dense(3)(x), x])).without_skips()
        >>> [layer.name for layer in twin.layers]
        ['input', 'dense']
        """
        return rewiring.without_skips(self)

    def connect(self, inputs: Any, outputs: Any) -> None:
        """Find the calls between inputs and outputs; steps that were captured on another graph are forgotten."""
        self._plan, self._runners = None, Runners()
        super().connect(inputs, outputs)

    def build_for(self, args: Sequence[Any]) -> None:
        """Build for these arguments, once, and note them: a file of a subclassed model tells what it was built on."""
        if not self.built and args:
            one = not isinstance(args[0], (list, tuple))
            self.built_on = [one, [[t.shape[1:], str(t.dtype)] for t in ([args[0]] if one else args[0])]]
        super().build_for(args)

    def require_compiled(self, op: str) -> None:
        """Raise ArgumentError before `compile`."""
        if self.optimizer is None or self.loss is None:
            raise ArgumentError(f"[{op}] the model is not compiled; got no loss; call model.compile(...) first")

    def plan(self, op: str) -> Plan:
        """What `compile` said, settled for the built model."""
        self.require_compiled(op)
        if self._plan is None:
            self._bind()
            assert self.optimizer is not None
            self._plan = Plan(self.optimizer, self.loss_of(self.loss), self.float_dtype)
        if self._bound and (op == "fit" or (self._parts_seen != changes.parts and op.startswith("train_"))):
            refuse_unknown(self, op, self._plan.optimizer)
            self._parts_seen = changes.parts
        return self._plan

    def loss_of(self, loss: Any) -> LossPlan:
        """The loss as this model computes it; the compiled one with its weights and metrics."""
        if loss is self.loss:
            return LossPlan(self, loss, self.loss_weights, self.metrics, self.weighted_metrics)
        return LossPlan(self, loss)

    def runner(self, step: str, captured: bool) -> Callable[..., Any]:
        """`train_step`, `test_step` or `predict_step`, captured or not."""
        return self._runners.get(self, step, captured and not self.run_eagerly)

    def generators(self) -> list[Generator]:
        """The generators that a run draws from: the library's, and those of layers with a seed of their own."""
        own = [v for layer in every_layer(self) for v in vars(layer).values() if isinstance(v, Generator)]
        return [default_generator(), *own]

    @property
    def float_dtype(self) -> np.dtype:
        """The dtype of the weights."""
        return next((w.dtype for _, w in self._walk("", state_too=True)), self.dtype)

    def _repr_html_(self) -> str:
        from tinyres.trace.html import preformatted

        return preformatted(summary(self))

    __reduce_ex__ = pickling.reduced  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        held = dict(vars(self))
        self._untrained()
        try:
            return super().__deepcopy__(memo)
        finally:
            vars(self).update(held)

    def _bind(self) -> None:
        assert self.optimizer is not None
        refuse_foreign(self, self.optimizer)
        if not self.optimizer.params:
            self.optimizer.bind(self.parameters())
            self._bound = True
