"""Optimizers against their formulas in NumPy float64, and against PyTorch where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, CaptureError, DTypeError, GradientError
from tinyres.launch import recording
from tinyres.optim import OPTIMIZERS, SGD, Adam, AdamW, Optimizer

SHAPES = [(3, 5), (7,), (), (1, 1), (0, 4)]
STEPS = 6


def start(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=shape) for shape in SHAPES]
    gradients = [[rng.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)]
    params = [tr.tensor(v, requires_grad=True, dtype=dtype) for v in values]
    return values, gradients, params


def run(optimizer, params, gradients):
    for step in gradients:
        for p, g in zip(params, step):
            p.grad = tr.tensor(g, dtype=p.dtype)
        optimizer.step()


def sgd_formula(values, gradients, lr, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=None):
    values, velocities = [v.copy() for v in values], [0.0 * v for v in values]
    for step in gradients:
        step = clipped(step, clip_norm)
        for i, g in enumerate(step):
            g = g + weight_decay * values[i]
            velocities[i] = momentum * velocities[i] + g
            values[i] = values[i] - lr * (g + momentum * velocities[i] if nesterov else velocities[i])
    return values


def adam_formula(values, gradients, lr, betas, epsilon, weight_decay, decoupled, clip_norm=None):
    a, b = betas
    values, m, v = [x.copy() for x in values], [0.0 * x for x in values], [0.0 * x for x in values]
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(clipped(step, clip_norm)):
            if decoupled:
                values[i] = values[i] * (1 - lr * weight_decay)
            else:
                g = g + weight_decay * values[i]
            m[i] = a * m[i] + (1 - a) * g
            v[i] = b * v[i] + (1 - b) * g**2
            values[i] = values[i] - lr * (m[i] / (1 - a**t)) / (np.sqrt(v[i] / (1 - b**t)) + epsilon)
    return values


def clipped(step, clip_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in step))
    return [g * min(1.0, clip_norm / norm) for g in step] if clip_norm is not None else step


def assert_same(params, expected, rtol):
    for p, e in zip(params, expected):
        np.testing.assert_allclose(p.numpy(), e, rtol=rtol, atol=rtol)


TOLERANCE = {"float64": 1e-12, "float32": 2e-6}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.3},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.5, "clip_norm": 0.7},
        {"lr": 0.1, "clip_norm": 1e6},
        {"lr": 0.0, "momentum": 0.9},
    ],
    ids=str,
)
def test_sgd_is_its_formula(dtype, options):
    values, gradients, params = start(dtype)
    run(SGD(params, **options), params, gradients)
    assert_same(params, sgd_formula(values, gradients, **options), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", [Adam, AdamW])
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.8), "epsilon": 1e-3}, {"clip_norm": 0.7}], ids=str
)
def test_adam_is_its_formula(dtype, cls, options):
    values, gradients, params = start(dtype)
    run(cls(params, lr=0.05, **options), params, gradients)
    full = {"betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": 0.01 if cls is AdamW else 0.0} | options
    assert_same(params, adam_formula(values, gradients, 0.05, decoupled=cls is AdamW, **full), 2 * TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
        (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        (Adam, "Adam", {"lr": 0.01, "weight_decay": 0.1}),
        (AdamW, "AdamW", {"lr": 0.01}),
    ],
    ids=str,
)
def test_same_as_pytorch(ours, theirs, options):
    torch = pytest.importorskip("torch")
    values, gradients, params = start("float64")
    peers = [torch.tensor(v, requires_grad=True) for v in values]
    peer = getattr(torch.optim, theirs)(peers, **options)
    for step in gradients:
        for p, g in zip(peers, step):
            p.grad = torch.tensor(g)
        peer.step()
    run(ours(params, **options), params, gradients)
    assert_same(params, [p.detach().numpy() for p in peers], 1e-12)


def test_clipping_same_as_pytorch():
    torch = pytest.importorskip("torch")
    values, gradients, params = start("float64")
    peers = [torch.tensor(v, requires_grad=True) for v in values]
    peer = torch.optim.SGD(peers, lr=0.1)
    for step in gradients:
        for p, g in zip(peers, step):
            p.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_norm_(peers, 0.5)
        peer.step()
    run(SGD(params, lr=0.1, clip_norm=0.5), params, gradients)
    assert_same(params, [p.detach().numpy() for p in peers], 1e-6)  # PyTorch adds 1e-6 to the norm


def test_the_norm_is_measured_anew_at_every_step():
    p = tr.tensor([1.0], requires_grad=True)
    opt = SGD([p], lr=1.0, clip_norm=1.0)
    for gradient, expected in ((10.0, 0.0), (0.25, -0.25), (-4.0, 0.75)):
        p.grad = tr.tensor([gradient])
        opt.step()
        assert p.item() == expected


def test_a_gradient_of_nan_stays_visible_when_clipped():
    p = tr.tensor([1.0, 2.0], requires_grad=True)
    opt = SGD([p], lr=1.0, clip_norm=1.0)
    p.grad = tr.tensor([np.nan, 1.0])
    opt.step()
    assert np.isnan(p.numpy()).all()


def test_learning_rate_is_read_at_every_step():
    p = tr.tensor([0.0], requires_grad=True)
    opt = SGD([p], lr=0.5)
    p.grad = tr.tensor([1.0])
    opt.step()
    assert opt.lr == 0.5
    opt.lr = 0.25
    opt.step()
    assert p.item() == -0.75 and opt.lr == 0.25 and opt.steps == 2


def test_frozen_and_unused_parameters_stay_as_they_are():
    used, unused, frozen = (tr.Parameter([1.0], name) for name in ("used", "unused", "frozen"))
    opt = Adam([used, unused, frozen], lr=0.1)
    frozen.grad = tr.tensor([1.0])
    frozen.trainable = False
    used.grad = tr.tensor([1.0])
    opt.step()
    assert used.item() != 1.0 and unused.item() == 1.0 and frozen.item() == 1.0


def test_zero_grad_forgets_and_gradients_accumulate_without_it():
    w = tr.tensor([2.0], requires_grad=True)
    opt = SGD([w], lr=0.1)
    for _ in range(2):
        tr.add(w, w).backward()
    assert w.grad.item() == 4.0
    opt.zero_grad()
    assert w.grad is None


def test_a_step_makes_old_graphs_an_error_not_a_number():
    w = tr.tensor([2.0], requires_grad=True)
    before = w.buffer.version
    w.grad = tr.tensor([1.0])
    SGD([w], lr=0.1).step()
    assert w.buffer.version == before + 1


def test_binding_twice_keeps_the_state():
    p, q = (tr.tensor([1.0], requires_grad=True) for _ in range(2))
    opt = SGD(lr=0.1, momentum=0.9)
    assert opt.params == ()
    opt.bind([p])
    p.grad = tr.tensor([1.0])
    opt.step()
    opt.bind([p, q])
    assert len(opt.params) == 2
    opt.step()
    assert p.item() == pytest.approx(1 - 0.1 - 0.19, rel=1e-6)


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW])
def test_state_goes_on_bit_for_bit(cls):
    options = {"momentum": 0.9} if cls is SGD else {}
    _, gradients, params = start("float32")
    names = {id(p): f"p{i}" for i, p in enumerate(params)}
    opt = cls(params, lr=0.1, clip_norm=1.0, **options)
    run(opt, params, gradients[:3])

    others = [tr.tensor(p.numpy(), requires_grad=True) for p in params]
    other = cls(others, **opt.config())
    other.restore(opt.state(names), {id(p): f"p{i}" for i, p in enumerate(others)})
    run(opt, params, gradients[3:])
    run(other, others, gradients[3:])
    for p, q in zip(params, others):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_state_of_other_parameters_is_refused_whole():
    _, gradients, params = start("float32")
    names = {id(p): f"p{i}" for i, p in enumerate(params)}
    opt = Adam(params, lr=0.1)
    run(opt, params, gradients)
    state = opt.state(names)
    before = {key: value.copy() for key, value in state.items()}
    state["hyper"] = state["hyper"] * 2
    state["v/p1"] = np.zeros((8,), np.float32)
    with pytest.raises(ArgumentError, match=r"\[adam\] the state v/p1 must be float32 of shape \(7,\); got float32 of"):
        opt.restore(state, names)
    after = opt.state(names)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_names():
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "nadam": "Nadam"}
    assert {name: cls.__name__ for name, cls in OPTIMIZERS.items() if cls.__module__.startswith("tinyres")} == names
    assert issubclass(Adam, Optimizer)
    assert repr(SGD(lr=0.5)) == "SGD(lr=0.5, weight_decay=0.0, clip_norm=None, momentum=0.0, nesterov=False)"


W = tr.tensor([1.0], requires_grad=True)
ERRORS = [
    (lambda: SGD(0.01), ArgumentError, r"\[sgd\] the first argument is .*; got the number 0.01; write SGD\(lr=0.01\)"),
    (lambda: AdamW(np.float32(1)), ArgumentError, r"\[adamw\] .* write AdamW\(lr=1.0\)"),
    (lambda: SGD([]), ArgumentError, r"\[sgd\] there must be parameters to move; got an empty list; pass"),
    (lambda: SGD(W), DTypeError, r"\[sgd\] parameters come as a list of Tensors; got Tensor"),
    (lambda: SGD(len), DTypeError, r"\[sgd\] parameters come as a list of Tensors; got builtin_function_or_method"),
    (lambda: SGD([W, 3]), DTypeError, r"\[sgd\] every parameter is a Tensor; got int at 1"),
    (lambda: SGD([tr.tensor([1.0])]), ArgumentError, r"\[sgd\] a parameter is a float leaf made with requires_grad"),
    (lambda: SGD([tr.add(W, W)]), ArgumentError, r"\[sgd\] a parameter is a float leaf"),
    (lambda: SGD(lr=-1), ArgumentError, r"\[sgd\] lr is a finite number >= 0; got -1; choose another"),
    (lambda: SGD(lr=float("nan")), ArgumentError, r"\[sgd\] lr is a finite number >= 0; got nan"),
    (lambda: Adam(lr="fast"), ArgumentError, r"\[adam\] lr is a finite number >= 0; got 'fast'"),
    (lambda: Adam(lr=lambda e: 0.1), ArgumentError, r"for a schedule use callbacks=\[LearningRateSchedule\(fn\)\]"),
    (lambda: SGD(momentum=1.0), ArgumentError, r"\[sgd\] momentum is a number in \[0, 1\); got 1.0"),
    (lambda: SGD(nesterov=True), ArgumentError, r"\[sgd\] nesterov looks ahead along the momentum; got momentum=0.0"),
    (lambda: SGD(weight_decay=-0.1), ArgumentError, r"\[sgd\] weight_decay is a finite number >= 0; got -0.1"),
    (lambda: SGD(clip_norm=0), ArgumentError, r"\[sgd\] clip_norm is a finite number > 0; got 0"),
    (lambda: Adam(betas=0.9), ArgumentError, r"\[adam\] betas are two numbers in \[0, 1\); got 0.9"),
    (lambda: Adam(betas=(0.9, 1)), ArgumentError, r"\[adam\] betas\[1\] is a number in \[0, 1\); got 1"),
    (lambda: Adam(epsilon=0), ArgumentError, r"\[adam\] epsilon is a finite number > 0; got 0"),
    (lambda: SGD(lr=0.1).step(), GradientError, r"\[sgd\] a step needs a gradient; it has no parameters; call"),
    (lambda: SGD([tr.tensor([1.0], requires_grad=True)]).step(), GradientError, r"none of its 1 parameters has one"),
]


@pytest.mark.parametrize(("act", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()


def test_a_bad_learning_rate_leaves_the_good_one():
    opt = SGD(lr=0.5)
    with pytest.raises(ArgumentError):
        opt.lr = -1.0
    assert opt.lr == 0.5


class Recorder:
    def record(self, call):
        pass

    def refuse(self, what, problem):
        raise CaptureError(f"[{what}] {problem}")


def test_nothing_outside_of_buffers_happens_while_recording():
    opt = SGD([tr.tensor([1.0], requires_grad=True)], lr=0.5)
    with recording(Recorder()):
        with pytest.raises(CaptureError, match=r"\[sgd\] an optimizer cannot be made while a step is being recorded"):
            SGD(lr=0.1)
        with pytest.raises(CaptureError, match=r"\[lr\]"):
            opt.lr = 0.1
        with pytest.raises(CaptureError, match=r"\[lr\]"):
            opt.lr  # noqa: B018
    assert opt.lr == 0.5


def test_names_of_pytorch_are_told_what_to_write():
    opt = tr.optim.SGD(lr=0.1)
    with pytest.raises(AttributeError, match=r"\[SGD\] tinyres has no .param_groups; got this name; set opt.lr"):
        opt.param_groups  # noqa: B018
    assert "param_groups" not in dir(opt) and not hasattr(opt, "state_dict")
