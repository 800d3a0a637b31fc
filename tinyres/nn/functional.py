"""Functional: a graph of layer calls from Inputs to outputs, itself a layer.

The calls that lead from the inputs to the outputs are found once, put in the order in which they were written, and
turned into Steps over numbered slots. Running the model is one walk over the Steps; each enters its Scope, so that
every node on the tape knows which call of which layer, in which block and from which line, made it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from tinyres.engine.node import leaf
from tinyres.engine.state import Scope, state
from tinyres.engine.tensor import FLOATS, Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.launch import door
from tinyres.nn.depth import by_depth
from tinyres.nn.hints import hint_at_raw_bytes
from tinyres.nn.layer import Layer
from tinyres.nn.naming import joined, unique_paths
from tinyres.nn.operators import InputLayer
from tinyres.nn.symbolic import Call, Symbolic, agrees, substituted, symbolics
from tinyres.nn.tree import candidate


class Step:
    """One layer call of a model, ready to run.

    path: of the call, `block3/dense`, or `block3/dense@1` the second time. kind: the layer's class name, None for a
    model within the model. slot: where a single output goes; slots: where each input comes from.
    spent: the slots that nothing reads after this step.
    """

    __slots__ = ("call", "layer", "path", "block", "kind", "source", "told", "form", "slots", "slot", "spent")

    def __init__(self, call: Call, path: str, slot_of: Mapping[Symbolic, int]) -> None:
        self.call = call
        self.layer = layer = call.layer
        self.path = path
        self.block = call.scope
        self.kind = None if isinstance(layer, Functional) else type(layer).__name__
        self.source = call.source
        self.told = layer._takes_training
        self.form = _form(call)
        self.slots = tuple([slot_of[s] for s in call.inputs()])
        self.slot = slot_of[call.outputs] if isinstance(call.outputs, Symbolic) else -1
        self.spent: tuple[int, ...] = ()


_ONE, _LIST, _ANY = range(3)


def _form(call: Call) -> int:
    """How a call takes its inputs: f(x), f([x, y]), or anything else."""
    if call.kwargs or len(call.args) != 1 or not isinstance(call.outputs, Symbolic):
        return _ANY
    (argument,) = call.args
    if isinstance(argument, Symbolic):
        return _ONE
    if isinstance(argument, list) and all(isinstance(item, Symbolic) for item in argument):
        return _LIST
    return _ANY


class Functional(Layer):
    """The layers between `inputs` and `outputs`, run in the order in which they were called.

    inputs: what tr.Input gave, or a list of it. outputs: what layers gave for it, or a list.
    Raises ArgumentError if an output does not follow from the inputs, or if two layers were given the same name.
    """

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self.calls: list[Call] = []
        self.steps: list[Step] = []
        if inputs is not None or outputs is not None:
            self.connect(inputs, outputs)

    @classmethod
    def from_graph(cls, inputs: Any, outputs: Any, name: str | None) -> Functional:
        """A model over layers that are connected already."""
        return cls(inputs, outputs, name=name)

    def connect(self, inputs: Any, outputs: Any) -> None:
        """Find the calls between inputs and outputs, name their layers and make the steps."""
        owner = type(self).__name__
        self.inputs = _symbolic_list(owner, "inputs", inputs)
        self.outputs = _symbolic_list(owner, "outputs", outputs)
        self._single_input = isinstance(inputs, Symbolic)
        self._single_output = isinstance(outputs, Symbolic)
        self.calls = _calls_between(owner, self.inputs, self.outputs)
        if not self.calls:
            raise ArgumentError(f"[{owner}] the outputs must come out of layers; got the inputs; call a layer")
        entries = [s.producer for s in self.inputs]
        self._table = _named(owner, sorted({*entries, *self.calls}, key=lambda call: call.index))
        self._slot_of: dict[Symbolic, int] = {s: i for i, s in enumerate(self.inputs)}
        for call in self.calls:
            for symbolic in symbolics(call.outputs):
                self._slot_of.setdefault(symbolic, len(self._slot_of))
        places = by_depth(self.inputs, self.outputs)
        self._deepest_first = sorted(self._table, key=lambda item: places[item[1]])
        self.steps = self._made_steps()
        self._output_slots = [self._slot_of[s] for s in self.outputs]
        self.ends = [self._step_before(slot) for slot in self._output_slots]
        self._mark_spent()
        self.built = True
        for path, layer in self._table:
            layer.set_path(path)

    def call(self, inputs: Any, training: bool = False, logits: bool | Sequence[int] = False) -> Any:
        """Run all steps. logits: the outputs, by number (True: the only one), that stop before `final_activations`."""
        if not self.steps:
            owner = type(self).__name__
            raise ArgumentError(f"[{owner}] it has no layers yet; got a call; give inputs and outputs, or define call")
        values: list[Any] = [None] * len(self._slot_of)
        values[: len(self.inputs)] = self._arranged(inputs)
        outer = state.scope
        prefix = f"{outer.path}/" if outer is not None else ""
        if door.recorder is not None:
            for step in self.steps:
                door.recorder.depends_on(step.layer)
        ends = [self.ends[i] for i in ((0,) if logits is True else logits or ())]
        try:
            for step in self.steps:
                block = prefix + step.block if step.block or outer is None else outer.block
                state.scope = Scope(prefix + step.path, block, step.kind, outer, step.source)
                if ends and step in ends:
                    values[step.slot] = step.layer.logits(values[step.slots[0]], training=training)  # type: ignore[attr-defined]
                elif step.form == _ANY:
                    self._run_any(step, values, training)
                else:
                    argument = values[step.slots[0]] if step.form == _ONE else [values[i] for i in step.slots]
                    layer = step.layer
                    values[step.slot] = layer.call(argument, training=training) if step.told else layer.call(argument)
                for i in step.spent:
                    values[i] = None
        finally:
            state.scope = outer
        if self._single_output:
            return values[self._output_slots[0]]
        return [values[i] for i in self._output_slots]

    def logits(self, inputs: Any, training: bool = False) -> Tensor:
        """The output before its last softmax or sigmoid."""
        return self.call(inputs, training, logits=True)

    @property
    def final_activation(self) -> str | None:
        """ "softmax" or "sigmoid" if that is the last thing the single output went through, else None."""
        return self.final_activations[0] if self.steps and self._single_output else None

    @property
    def final_activations(self) -> list[str | None]:
        """The same for each output; None too where something else reads the output."""
        return [step.layer.final_activation if step is not None else None for step in self.ends]

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they were called, Inputs first."""
        return [layer for _, layer in self._children()]

    def named_layers(self) -> dict[str, Layer]:
        """Every layer by path, Inputs included, in the order in which they were called."""
        return dict(self._children())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with this path ("block3/dense"), or with this last part if only one has it, or at this index."""
        if index is not None:
            return self.layers[index]
        found = [layer for path, layer in self._children() if path == name]
        found = found or [layer for path, layer in self._children() if path.rpartition("/")[2] == name]
        if len(found) == 1:
            return found[0]
        known = ", ".join(path for path, _ in self._children())
        problem = "the name must be that of one layer" if not found else f"{len(found)} layers have this name"
        raise ArgumentError(f"[get_layer] {problem}; got {name!r}; the layers are {known}")

    def astype(self, dtype: DTypeLike) -> Functional:
        """A copy of the model whose weights and inputs have this float dtype.

        >>> import tinyres as tr
        >>> inputs = tr.Input(shape=(3,))
        >>> exact = tr.Model(inputs, tr.layers.Dense(2)(inputs)).astype("float64")
        >>> exact([[1, 2, 3]]).dtype
        dtype('float64')
        """
        kind = next((known for known in FLOATS if known == dtype), None)
        if kind is None:
            raise DTypeError(f"[astype] a model is float32 or float64; got {dtype!r}; choose one of them")
        memo: dict[int, Any] = {
            id(w): Parameter(w.numpy(), w.name or "", w.trainable, kind) for w in self.weights if w.dtype in FLOATS
        }
        clone = copy.deepcopy(self, memo)
        clone._set_dtype(kind)
        return clone

    def __deepcopy__(self, memo: dict[int, Any]) -> Functional:
        """A model of copied layers; what `compile` and `fit` left behind is not copied."""
        if not self.steps:
            return super().__deepcopy__(memo)  # type: ignore[return-value]
        clone = self._with_layers({layer: copy.deepcopy(layer, memo) for _, layer in self._children()})
        clone._trainable = self._trainable
        memo[id(self)] = clone
        return clone

    def recorded_again(self, call: Call, layer: Layer, mapped: dict[Symbolic, Symbolic], args: Any = None) -> None:
        """Record a call on another layer of the same kind, in the same scope; `mapped` tells and learns the outputs."""
        args, kwargs = (
            substituted(part, mapped.__getitem__) for part in (call.args if args is None else args, call.kwargs)
        )
        new = Call(layer, args, kwargs, call.scope, call.source, call.multiplies)
        for symbolic in symbolics(call.outputs):
            mapped[symbolic] = Symbolic(symbolic.shape, symbolic.dtype, new, symbolic.trials)
        new.outputs = substituted(call.outputs, mapped.__getitem__)

    def from_mapped(self, mapped: Mapping[Symbolic, Symbolic]) -> Functional:
        """A model like this one between what its inputs and outputs were mapped to."""
        inputs, outputs = ([mapped[s] for s in group] for group in (self.inputs, self.outputs))
        return self.from_graph(
            inputs[0] if self._single_input else inputs, outputs[0] if self._single_output else outputs, self._name
        )

    def _with_layers(self, replaced: Mapping[Layer, Layer]) -> Functional:
        """The same graph over other layers of the same kinds."""
        mapped: dict[Symbolic, Symbolic] = {}
        for call in sorted({s.producer for s in self.inputs} | set(self.calls), key=lambda call: call.index):
            self.recorded_again(call, replaced[call.layer], mapped)
        return self.from_mapped(mapped)

    def _set_dtype(self, kind: np.dtype) -> None:
        super()._set_dtype(kind)
        for call in {*(s.producer for s in self.inputs), *self.calls} if self.steps else ():
            for symbolic in symbolics(call.outputs):
                if symbolic.dtype in FLOATS:
                    symbolic.dtype = kind

    if TYPE_CHECKING:
        # What summary.py attaches, for type checkers.
        def summary(self, line_length: int | None = None, *args: Any, **options: Any) -> None: ...

    def _children(self) -> list[tuple[str, Layer]]:
        return self._table if self.steps else super()._children()

    def _in_weight_order(self) -> list[tuple[str, Layer]]:
        return self._deepest_first if self.steps else super()._in_weight_order()

    @property
    def path(self) -> str:
        """The path within the model or layer around it, "" for a model of its own."""
        return self._path or ""

    @property
    def _prefix(self) -> str:
        return ""

    def __repr__(self) -> str:
        name = f'"{self._name or self.default_name}"'
        return f"<{type(self).__name__} {name}, {len(self.layers)} layers{'' if self.built else ', not built'}>"

    def _scope(self, outer: Scope | None) -> Scope | None:
        if state.training is None or outer is None:
            return outer
        return Scope(joined(outer.path, self._name or self.default_name), outer.block, None, outer, outer.source)

    def _as_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self.steps:
            return super()._as_tensors(args)
        owner = type(self).__name__
        if len(args) != 1:
            raise ArgumentError(f"[{owner}] a model is called on one argument; got {len(args)}; put them into a list")
        hint_at_raw_bytes(owner, self, args[0])
        return args

    def _arranged(self, inputs: Any) -> list[Tensor]:
        """One checked Tensor per Input, from a Tensor or array, a list of them, or a dict by Input name."""
        owner = type(self).__name__
        names = [s.producer.layer.name for s in self.inputs]
        if isinstance(inputs, Mapping):
            if sorted(inputs) != sorted(names):  # type: ignore[type-var]
                raise ArgumentError(f"[{owner}] the inputs are {names}; got {sorted(inputs)}; give one value for each")
            inputs = [inputs[name] for name in names]
        elif len(names) == 1 and not _is_list_of_one(inputs):
            inputs = [inputs]
        elif not isinstance(inputs, (list, tuple)) or len(inputs) != len(names):
            got = f"{len(inputs)} values" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise ArgumentError(f"[{owner}] the inputs are {names}; got {got}; give a list with one value for each")
        return [_checked_input(owner, value, symbolic) for value, symbolic in zip(inputs, self.inputs)]

    def _made_steps(self) -> list[Step]:
        path_of = {layer: path for path, layer in self._table}
        times: dict[Layer, int] = {}
        steps = []
        for call in self.calls:
            k = times[call.layer] = times.get(call.layer, -1) + 1
            steps.append(Step(call, path_of[call.layer] + (f"@{k}" if k else ""), self._slot_of))
        return steps

    def _step_before(self, slot: int) -> Step | None:
        """The step f(x) whose result is this output and nothing else; None if there is none."""
        if sum(step.slots.count(slot) for step in self.steps) + self._output_slots.count(slot) > 1:
            return None
        return next((step for step in self.steps if step.slot == slot and step.form == _ONE), None)

    def _mark_spent(self) -> None:
        """Tell each step which values are not read again, so that a forward without gradients frees them."""
        seen = set(self._output_slots)
        for step in reversed(self.steps):
            own = [self._slot_of[s] for s in symbolics(step.call.outputs)]
            spent = [i for i in dict.fromkeys((*step.slots, *own)) if i not in seen]
            seen.update(spent)
            step.spent = tuple(spent)

    def _run_any(self, step: Step, values: list[Any], training: bool) -> None:
        def value(symbolic: Symbolic) -> Tensor:
            return values[self._slot_of[symbolic]]

        call = step.call
        results = step.layer.run(substituted(call.args, value), substituted(call.kwargs, value), training)
        for symbolic, result in zip(symbolics(call.outputs), _flat(results)):
            values[self._slot_of[symbolic]] = result


def _symbolic_list(owner: str, what: str, given: Any) -> list[Symbolic]:
    items = list(given.values()) if isinstance(given, Mapping) else given
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    if not items or not all(isinstance(item, Symbolic) for item in items):
        kinds = ", ".join(type(item).__name__ for item in items) or "nothing"
        raise ArgumentError(
            f"[{owner}] the {what} must be symbolic: what tr.Input and layers called on it give; got {kinds}; "
            "begin with inputs = tr.Input(shape=(...,))"
        )
    return items


def _calls_between(owner: str, inputs: Sequence[Symbolic], outputs: Sequence[Symbolic]) -> list[Call]:
    """The calls that lead from the inputs to the outputs, in the order in which they were made."""
    known = set(inputs)
    if len(known) != len(inputs):
        raise ArgumentError(f"[{owner}] the inputs must be different; got one of them twice; remove it")
    found: set[Call] = set()
    pending = [s for s in outputs if s not in known]
    while pending:
        symbolic = pending.pop()
        call = symbolic.producer
        if call in found:
            continue
        if isinstance(call.layer, InputLayer):
            raise ArgumentError(
                f"[{owner}] an output depends on an Input of shape {symbolic.shape} that is not among the inputs; "
                "add it to the list of inputs"
            )
        found.add(call)
        pending.extend(s for s in call.inputs() if s not in known)
    return sorted(found, key=lambda call: call.index)


def _named(owner: str, calls: Iterable[Call]) -> list[tuple[str, Layer]]:
    """(path, layer) for every layer, in order of its first call; unnamed layers get their names here."""
    first = {call.layer: call for call in reversed(list(calls))}
    layers = list(reversed(first))
    paths = unique_paths(owner, [candidate(layer, first[layer].scope) for layer in layers])
    for layer, path in zip(layers, paths):
        layer.take_name(path.rpartition("/")[2])
    return list(zip(paths, layers))


def _is_list_of_one(inputs: Any) -> bool:
    return isinstance(inputs, (list, tuple)) and len(inputs) == 1 and isinstance(inputs[0], (Tensor, np.ndarray))


def _checked_input(owner: str, value: Any, symbolic: Symbolic) -> Tensor:
    """The value as a Tensor that fits the Input and has a node, so that a trace can show it."""
    name = symbolic.producer.layer.name
    t = value if isinstance(value, Tensor) else tensor(value, dtype=symbolic.dtype)
    if not agrees((None, *symbolic.shape[1:]), t.shape):
        raise ShapeError(
            f'[{owner}] the input "{name}" takes shape {symbolic.shape}; got {t.shape}; '
            "the first axis is the batch; reshape the data or build the model for it"
        )
    if t.dtype is not symbolic.dtype:
        raise DTypeError(
            f'[{owner}] the input "{name}" is {symbolic.dtype}; got a {t.dtype} Tensor; '
            f'use x.astype("{symbolic.dtype}"), or model.astype to change the model'
        )
    if t.node is None:
        return Tensor(t.buffer, t.shape, t.dtype, leaf(t.buffer, t.shape, t.dtype, False, name))
    if t.node.op is None and t.node.name is None:
        t.node.name = name
    return t


def _flat(results: Any) -> list[Any]:
    if isinstance(results, (list, tuple)):
        return [leaf for item in results for leaf in _flat(item)]
    return [results]
