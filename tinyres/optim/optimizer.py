"""Optimizer: the parameters it moves, the state it keeps for each of them, and the numbers it moves them by.

Everything that changes between two steps stands in buffers that kernels read: the learning rate and the step count
in `hyper`, momenta beside their parameter. So a step is a fixed list of kernel calls and can be captured and
replayed. The state of a parameter exists from the moment the optimizer knows it, not from its first gradient.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.node import set_regime
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, CaptureError, GradientError, Worded
from tinyres.kernels.dtypes import FLOAT64
from tinyres.kernels.record import DUE, UNDECAYED
from tinyres.launch import Launch, Recorder, door, launch, launch_list, prepare, refuse_while_recording
from tinyres.optim import schedules
from tinyres.optim.numbers import (
    CLIP_NORM,
    COUNT,
    EVERY,
    LR,
    STEP,
    WEIGHT_DECAY,
    Betas,
    Common,
    LearningRate,
    Number,
    non_negative,
    positive,
    signature_with_common,
    steps_added_up,
)
from tinyres.optim.other_names import OtherNames
from tinyres.optim.parameters import Spared, readable, zeros_like
from tinyres.optim.schedules import LearningRateSchedule
from tinyres.store.definitions import Definitions, claim

Moving = tuple[Buffer, Buffer, tuple[Buffer, ...]]  # a parameter, its gradient, and the state kept for it

if TYPE_CHECKING:
    from typing_extensions import Unpack


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {}
OPTIMIZER_CLASSES: Definitions[Callable[..., Optimizer]] = Definitions("an optimizer of class")


class _Sealing(Worded):
    """Notes when an object is made: from then on it takes no new public attribute."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        vars(made)["_made"] = True
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's arguments, the common ones by name."""
        return signature_with_common(cls)


class Optimizer(OtherNames, metaclass=_Sealing):
    """Moves parameters against their gradients; the base of all optimizers.

    params: Tensors that require a gradient; None if `compile` or `bind` gives them later. lr, or learning_rate: step
    size, or a schedule of tr.optim.schedules, which gives it for each step. weight_decay: how strongly parameters are
    pulled to zero. clip_norm: all gradients together are scaled down to this L2 norm where theirs is larger; None:
    never. exclude: what weight decay leaves alone: regular expressions for names, or a number: parameters of at most so
    many axes (1: biases, and the scales of normalisations). gradient_accumulation_steps: parameters move in every so
    many-th step only, by the mean of the gradients since; `steps` counts the moves.

    A subclass has a `name`, names its per-parameter state in `slots`, and gives its kernel calls in `update`.
    Raises ArgumentError for numbers out of range, DTypeError for params that are not such Tensors.

    >>> isinstance(tr.optim.SGD(lr=0.5), tr.optim.Optimizer)
    True
    """

    name: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()
    default_lr: ClassVar[float] = 0.001
    default_weight_decay: ClassVar[float] = 0.0
    accumulates: ClassVar[bool] = False  # whether its kernels can leave out steps, for gradient_accumulation_steps
    prepares: ClassVar[bool] = False  # whether `prepare` is needed without a schedule too

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            claim(OPTIMIZERS, cls.name, cls)
        OPTIMIZER_CLASSES.add(cls.__module__, cls.__qualname__, cls)

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        a: float = 0.0,
        b: float = 0.0,
        epsilon: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        op = self.name
        if door.recorder is not None:
            raise CaptureError(f"[{op}] an optimizer cannot be made while a step is being recorded; make it before")
        if isinstance(params, (int, float, np.number)):
            raise ArgumentError(
                f"[{op}] the first argument is the list of parameters; got the number {params}; "
                f"write {type(self).__name__}(lr={params})"
            )
        rate: Any = common.get("learning_rate")
        if rate is not None and common.get("lr") is not None:
            raise ArgumentError(f"[{op}] lr and learning_rate are one; got {common['lr']!r} and {rate!r}; give one")
        rate = common.get("lr", self.default_lr) if rate is None else rate
        clip_norm = common.get("clip_norm")
        rate = schedules.decode(rate) if isinstance(rate, Mapping) else rate
        self._schedule = rate if isinstance(rate, LearningRateSchedule) else None
        self._params: list[Tensor] = []
        self._every = steps_added_up(op, common.get("gradient_accumulation_steps"), self.accumulates)
        self._spared = Spared(op, common.get("exclude"))
        self._undecayed: frozenset[int] | None = None
        self.hyper = Buffer(8 if self._every is None else 10, FLOAT64)
        if self._every is not None:
            self.hyper.array[[COUNT, EVERY]] = 0, self._every
        self.hyper.array[:8] = (
            non_negative(op, "lr", rate(0) if isinstance(rate, LearningRateSchedule) else rate),
            a,
            b,
            epsilon,
            non_negative(op, "weight_decay", common.get("weight_decay", self.default_weight_decay)),
            1.0,
            0.0,
            math.inf if clip_norm is None else positive(op, "clip_norm", clip_norm),
        )
        self._norm_squared = Buffer(1, FLOAT64) if clip_norm is not None else None
        self._state: dict[int, tuple[Buffer, ...]] = {}
        if params is not None:
            self.bind(params)
            if not self._params:
                raise ArgumentError(
                    f"[{op}] there must be parameters to move; got an empty list; pass model.parameters()"
                )

    @property
    def params(self) -> tuple[Tensor, ...]:
        """What it moves; `bind` adds to it."""
        return tuple(self._params)

    @property
    def lr(self) -> LearningRate:
        """The learning rate of the next step; assigning to it takes effect there, captured or not.

        Raises ArgumentError on assigning where a schedule gives it.
        """
        refuse_while_recording("lr")
        now = self.hyper.array[LR] if self._schedule is None else self._scheduled(self._schedule)
        return LearningRate.of(self, now)

    @lr.setter
    def lr(self, value: float) -> None:
        if door.recorder is not None:
            door.recorder.refuse("lr", "the learning rate cannot be set")
        if self._schedule is not None:
            raise ArgumentError(
                f"[{self.name}] the learning rate is given by {self._schedule!r}; got {value!r}; make the optimizer "
                "with a number, then it can be set"
            )
        self.hyper.array[LR] = non_negative(self.name, "lr", value)

    @property
    def learning_rate(self) -> LearningRate:
        """The same as `lr`."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.lr = value

    @property
    def schedule(self) -> LearningRateSchedule | None:
        """What gives the learning rate of each step, if it is not a number."""
        return self._schedule

    weight_decay = Number(WEIGHT_DECAY, non_negative, "How strongly parameters are pulled to zero.")

    @property
    def clip_norm(self) -> float | None:
        """The L2 norm that gradients are scaled down to; None: never."""
        return None if self._norm_squared is None else float(self.hyper.array[CLIP_NORM])

    @clip_norm.setter
    def clip_norm(self, value: float) -> None:
        if self._norm_squared is None:
            raise ArgumentError(
                f"[{self.name}] gradients are clipped if the optimizer was made so; got clip_norm={value!r} "
                f"afterwards; write {type(self).__name__}(clip_norm={value!r})"
            )
        self.hyper.array[CLIP_NORM] = positive(self.name, "clip_norm", value)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        refuse_while_recording("steps")
        return int(self.hyper.array[STEP])

    def bind(self, params: Iterable[Tensor]) -> None:
        """Take these parameters in, each with fresh state; those already known keep theirs."""
        refuse_while_recording("bind")
        added = readable(self.name, params)
        for p in added:
            if id(p) not in self._state:
                self._state[id(p)] = tuple([zeros_like(p) for _ in self._held_slots()])
                self._params.append(p)
        if added:
            self._undecayed = None
            set_regime(self.hyper, "params", len(self._params))

    def step(self) -> None:
        """Move every parameter that requires a gradient and has one. Gradients stay; see `zero_grad`.

        Raises GradientError if no parameter has a gradient.

        >>> import tinyres as tr
        >>> w = tr.tensor([1.0], requires_grad=True)
        >>> opt = tr.optim.SGD([w], lr=0.5)
        >>> (w * w).sum().backward(); opt.step()
        >>> w.item()
        0.0
        """
        if door.recorder is None:
            due = [(p, p.node.grad) for p in self._params if p.node.requires_grad]  # type: ignore[union-attr]
        else:
            due = self._recorded(door.recorder)
        state = self._state
        moving = [(p.buffer, g.buffer, state[id(p)]) for p, g in due if g is not None]
        if not moving:
            missing = "it has no parameters" if not due else f"none of its {len(due)} parameters has one"
            raise GradientError(f"[{self.name}] a step needs a gradient; {missing}; call loss.backward() before step()")
        if self._schedule is not None or self.prepares:
            prepare(self.name, self.prepare)
        launch(kernels.optimizer_tick, (self.hyper,), (), (), (), 0 if self._every is None else DUE)
        added_up = [] if self._every is None else [(slots[-1], g) for _, g, slots in moving]
        if added_up:
            launch_list([(kernels.accumulate, (t,), (g, self.hyper), (t.size,), (), 0) for t, g in added_up])
            moving = [(p, slots[-1], slots[:-1]) for p, _, slots in moving]
        if self._norm_squared is not None:
            self._measure_norm(self._norm_squared, [g for _, g, _ in moving])
        launch_list(self.updates(moving))
        launch_list([(kernels.clear_when_due, (t,), (self.hyper,), (t.size,), (), 0) for t, _ in added_up])

    def _recorded(self, recorder: Recorder) -> list[tuple[Tensor, Any]]:
        """What `step` finds while it is recorded: what it did not find is noted too."""
        recorder.depends_on(self.hyper)
        for p in self._params:
            recorder.depends_on(p.buffer)
        return [(p, recorder.grad_of(p.node)) for p in self._params if p.requires_grad]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, so that the next backward starts new ones."""
        nodes = [p.node for p in self._params]
        if door.recorder is not None:
            for node in nodes:
                door.recorder.set_grad(node, None)
            return
        for node in nodes:
            if node.grad is not None:  # type: ignore[union-attr]
                node.set_grad(None)  # type: ignore[union-attr]

    def updates(self, moving: Sequence[Moving]) -> list[Launch]:
        """The kernel calls that move these parameters."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What Python does before each step, captured or not: the schedule's rate goes into the buffer."""
        if self._schedule is not None:
            self.hyper.array[LR] = self._scheduled(self._schedule)

    def _scheduled(self, schedule: LearningRateSchedule) -> float:
        return non_negative(self.name, "lr", schedule(int(self.hyper.array[STEP])))

    def config(self) -> dict[str, Any]:
        """The arguments that make an optimizer like this one."""
        hyper = self.hyper.array.tolist()
        clip_norm = None if self._norm_squared is None else hyper[CLIP_NORM]
        lr = hyper[LR] if self._schedule is None else self._schedule
        chosen: dict[str, Any] = {"exclude": list(self._spared.rules), "gradient_accumulation_steps": self._every}
        given = {option: value for option, value in chosen.items() if value}
        return {"lr": lr, "weight_decay": hyper[WEIGHT_DECAY], "clip_norm": clip_norm, **given}

    def state(self, names: Mapping[int, str]) -> dict[str, np.ndarray]:
        """Copies of all state for a file: "hyper", and "slot/name" per parameter; names: id(parameter) -> name."""
        arrays = {"hyper": self.hyper.array.copy()}
        for p in self._params:
            for slot, buffer in zip(self._held_slots(), self._state[id(p)]):
                arrays[f"{slot}/{names[id(p)]}"] = buffer.array.reshape(p.shape).copy()
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray], names: Mapping[int, str]) -> None:
        """Take over what `state` gave. Raises ArgumentError, before anything changes, if an array does not fit."""
        writes: list[tuple[str, Buffer, tuple[int, ...]]] = [("hyper", self.hyper, (self.hyper.size,))]
        for p in self._params:
            for slot, buffer in zip(self._held_slots(), self._state[id(p)]):
                writes.append((f"{slot}/{names[id(p)]}", buffer, p.shape))
        for key, buffer, shape in writes:
            found = arrays[key] if key in arrays else None
            if found is None or found.shape != shape or found.dtype != buffer.dtype:
                got = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
                raise ArgumentError(
                    f"[{self.name}] the state {key} must be {buffer.dtype} of shape {shape}; got {got}; "
                    "it was kept for other parameters"
                )
        for key, buffer, shape in writes:
            buffer.array.reshape(shape)[...] = arrays[key]
            buffer.version += 1

    def _kept_slots(self) -> tuple[str, ...]:
        """The names of the state that this optimizer, with its options, keeps for a parameter."""
        return self.slots

    def _held_slots(self) -> tuple[str, ...]:
        """These, and the sum of gradients where they are added up."""
        return self._kept_slots() if self._every is None else (*self._kept_slots(), "accumulated")

    def _rule(self, param: Buffer) -> int:
        """The flags by which the update kernels of this parameter go."""
        if self._undecayed is None:
            self._undecayed = frozenset([id(p.buffer) for p in self._params if self._spared.covers(p)])
        return (UNDECAYED if id(param) in self._undecayed else 0) | (0 if self._every is None else DUE)

    def _measure_norm(self, norm_squared: Buffer, gradients: list[Buffer]) -> None:
        """The squared norm of all gradients together, and the scale that clips it."""
        first, *rest = gradients
        launch(kernels.dot, (norm_squared,), (first, first), (first.size,))  # overwrites what the last step left
        for g in rest:
            launch(kernels.sum_squares, (norm_squared,), (g,), (g.size,))
        launch(kernels.clip_scale, (self._clipped(),), (norm_squared,))

    def _clipped(self) -> Buffer:
        """The numbers by which kernels read the gradient."""
        return self.hyper

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: they have parameters and buffers of their own, or those that are copied with it."""
        refuse_while_recording("copy")
        return {**vars(self), "_state": [self._state[id(p)] for p in self._params]}

    def __setstate__(self, held: dict[str, Any]) -> None:
        vars(self).update(held)
        self._state = {id(p): slots for p, slots in zip(self.params, held["_state"])}
        self._undecayed = None

    def __setattr__(self, name: str, value: Any) -> None:
        own = getattr(type(self), name, None)
        settable = own is not None and (_can_be_set(own) or getattr(own, "fset", own) is not None)
        if not (settable or name.startswith("_") or name in vars(self)) and "_made" in vars(self):
            names = [n for n in dir(type(self)) if _can_be_set(getattr(type(self), n, None))]
            raise ArgumentError(
                f"[{self.name}] what can be set is {', '.join(names)}; got {name} = {value!r}; give it when the "
                "optimizer is made, if it takes it"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({numbers})"


def get(optimizer: Any) -> Optimizer:
    """The optimizer of this name, in any case, or the one that was given.

    Raises ArgumentError for anything else, with the known names.

    >>> import tinyres as tr
    >>> tr.optim.get("RMSprop").name
    'rmsprop'
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
        return OPTIMIZERS[optimizer.lower()]()
    if isinstance(optimizer, Mapping) and set(optimizer) >= {"class_name", "config"}:
        named = get(optimizer["class_name"])
        return type(named).from_config(dict(optimizer["config"]))
    if callable(optimizer):
        name = getattr(optimizer, "__name__", type(optimizer).__name__)
        raise ArgumentError(f"[compile] an optimizer is an object; got the class {name}; write {name}(lr=...)")
    raise ArgumentError(
        f"[compile] an optimizer is one of {sorted(OPTIMIZERS)} or made by tr.optim; got {optimizer!r}; choose one"
    )


def _can_be_set(member: Any) -> bool:
    return getattr(member, "fset", None) is not None or isinstance(member, (Number, Betas))
