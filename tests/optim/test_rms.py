"""RMSprop and Nadam against their formulas and PyTorch; what can be set on an optimizer, and by which names."""

from __future__ import annotations

import numpy as np
import pytest
from test_optim import STEPS, assert_same, clipped, run, start

import tinyres as tr
from tinyres import optim
from tinyres.errors import ArgumentError
from tinyres.optim import SGD, Adam, Nadam, RMSprop


def rmsprop_formula(values, gradients, lr, rho=0.9, momentum=0.0, epsilon=1e-7, weight_decay=0.0, clip_norm=None):
    values, v, velocity = [x.copy() for x in values], [0.0 * x for x in values], [0.0 * x for x in values]
    for step in gradients:
        for i, g in enumerate(clipped(step, clip_norm)):
            g = g + weight_decay * values[i]
            v[i] = rho * v[i] + (1 - rho) * g**2
            velocity[i] = momentum * velocity[i] + g / (np.sqrt(v[i]) + epsilon)
            values[i] = values[i] - lr * velocity[i]
    return values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [{}, {"rho": 0.5}, {"momentum": 0.9, "weight_decay": 0.1}, {"clip_norm": 0.7, "epsilon": 1e-3}],
    ids=str,
)
def test_rmsprop_is_its_formula(dtype, options):
    values, gradients, params = start(dtype)
    run(RMSprop(params, lr=0.05, **options), params, gradients)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert_same(params, rmsprop_formula(values, gradients, 0.05, **options), tolerance)


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "peer_options"),
    [
        (RMSprop, "RMSprop", {"rho": 0.99, "epsilon": 1e-8}, {}),
        (RMSprop, "RMSprop", {"rho": 0.9, "momentum": 0.8, "epsilon": 1e-8}, {"alpha": 0.9, "momentum": 0.8}),
        (RMSprop, "RMSprop", {"rho": 0.9, "epsilon": 1e-8, "weight_decay": 0.1}, {"alpha": 0.9, "weight_decay": 0.1}),
        (Nadam, "NAdam", {}, {}),
        (Nadam, "NAdam", {"betas": (0.8, 0.9), "momentum_decay": 0.1}, {"betas": (0.8, 0.9), "momentum_decay": 0.1}),
        (Nadam, "NAdam", {"weight_decay": 0.1}, {"weight_decay": 0.1}),
    ],
    ids=str,
)
def test_same_as_pytorch(ours, theirs, options, peer_options):
    torch = pytest.importorskip("torch")
    values, gradients, params = start("float64")
    peers = [torch.tensor(v, requires_grad=True) for v in values]
    peer = getattr(torch.optim, theirs)(peers, lr=0.02, **peer_options)
    for step in gradients:
        for p, g in zip(peers, step):
            p.grad = torch.tensor(g)
        peer.step()
    run(ours(params, lr=0.02, **options), params, gradients)
    assert_same(params, [p.detach().numpy() for p in peers], 1e-10 if ours is RMSprop else 1e-7)  # float32 there


@pytest.mark.parametrize("make", [lambda p: RMSprop(p, lr=0.01, momentum=0.9), lambda p: Nadam(p, clip_norm=1.0)])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_captured_as_in_python_and_from_a_file_bit_for_bit(make, backend):
    tr.set_backend(backend)
    try:
        x = np.random.default_rng(0).normal(size=(8, 20)).astype(np.float32)
        ws = [tr.tensor(np.ones((20, 3)), requires_grad=True) for _ in range(3)]
        opts = [make([w]) for w in ws]
        names = [{id(w): "w"} for w in ws]

        def step(i, x):
            loss = ((x @ ws[i]) ** 2).mean()
            opts[i].zero_grad()
            loss.backward()
            opts[i].step()

        captured = tr.capture(lambda x: step(1, x))
        for n in range(STEPS):
            step(0, tr.tensor(x))
            captured(x)
            if n < 3:
                step(2, tr.tensor(x))
            elif n == 3:
                opts[2], before = make([ws[2]]), opts[2].state(names[2])
                opts[2].restore(before, names[2])
                step(2, tr.tensor(x))
            else:
                step(2, tr.tensor(x))
        assert ws[0].numpy().tobytes() == ws[1].numpy().tobytes() == ws[2].numpy().tobytes()
        assert not np.array_equal(ws[0].numpy(), np.ones((20, 3)))
    finally:
        tr.set_backend("native")


@pytest.mark.parametrize(("name", "cls"), [("SGD", SGD), ("Adam", Adam), ("adam", Adam), ("RMSprop", RMSprop)])
def test_names_in_any_case(name, cls):
    assert type(optim.get(name)) is cls


def test_learning_rate_is_another_name_of_lr():
    for cls in (SGD, Adam, optim.AdamW, RMSprop, Nadam):
        opt = cls(learning_rate=0.5)
        assert opt.lr == opt.learning_rate == 0.5
        opt.learning_rate = 0.25
        assert opt.lr == 0.25


def test_what_can_be_set_is_honoured():
    values, gradients, params = start()
    opt = SGD(params, lr=0.1, momentum=0.9)
    opt.momentum, opt.weight_decay = 0.0, 0.2
    run(opt, params, gradients)
    for p, v in zip(params, values):
        for g in gradients:
            v = v - 0.1 * (g[[q is p for q in params].index(True)] + 0.2 * v)
        np.testing.assert_allclose(p.numpy(), v, rtol=1e-12)
    adam = Adam(betas=(0.5, 0.6))
    adam.betas, adam.epsilon = (0.7, 0.8), 0.1
    assert adam.config()["betas"] == (0.7, 0.8) and adam.config()["epsilon"] == 0.1
    clipping = SGD(clip_norm=1.0)
    clipping.clip_norm = 2.0
    assert clipping.config()["clip_norm"] == 2.0


REFUSED = [
    (
        lambda: setattr(SGD(), "momentum", 0.5),
        r"\[sgd\] a velocity is kept if .*; got momentum = 0.5 afterwards; write",
    ),
    (lambda: setattr(Adam(), "momentum", 0.5), r"\[adam\] what can be set is betas, clip_norm, .*; got momentum = 0.5"),
    (lambda: setattr(SGD(), "learning_rat", 0.5), r"learning_rate, lr, .*; got learning_rat = 0.5; give it when"),
    (
        lambda: setattr(SGD(), "clip_norm", 0.5),
        r"\[sgd\] gradients are clipped if .* got clip_norm=0.5 afterwards; write",
    ),
    (lambda: setattr(Adam(), "epsilon", 0), r"\[adam\] epsilon is a finite number > 0; got 0"),
    (lambda: setattr(SGD(), "learning_rate", -1), r"\[sgd\] lr is a finite number >= 0; got -1"),
    (lambda: RMSprop(centered=True), r"\[rmsprop\] the mean square is not centered; got centered=True; leave it out"),
    (lambda: RMSprop(rho=1.0), r"\[rmsprop\] rho is a number in \[0, 1\); got 1.0"),
    (lambda: optim.get("lion"), r"\[compile\] an optimizer is one of \['adam', 'adamw', 'nadam', 'rmsprop', 'sgd'\]"),
]


@pytest.mark.parametrize(("act", "message"), REFUSED, ids=range(len(REFUSED)))
def test_errors(act, message):
    with pytest.raises(ArgumentError, match=message):
        act()


def test_an_optimizer_of_ones_own_keeps_what_it_sets_while_it_is_made():
    class Own(SGD):
        name = "own_sgd"

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.note = "kept"

    assert Own().note == "kept"
    with pytest.raises(ArgumentError, match="got other = 1"):
        Own().other = 1
    del optim.OPTIMIZERS["own_sgd"]
