"""What weight decay leaves alone, and gradients added up over steps: against PyTorch, captured, and in files."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.keras import optimizers
from tinyres.optim import SGD, Adam, AdamW, Nadam, RMSprop

X = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(48, 1)).astype(np.float32)


def net(optimizer: Any) -> tr.Model:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(6,))
    with tr.name_scope("block0"):
        y = layers.Dense(6, activation="relu", name="dense")(layers.LayerNormalization(name="norm")(x))
        x = layers.Add()([x, y])
    model = tr.Model(inputs, layers.Dense(1, name="head")(x))
    model.compile(optimizer=optimizer, loss="mse")
    return model


def trained(optimizer: Any, capture: bool = True, epochs: int = 2, batch_size: int = 8) -> list[np.ndarray]:
    model = net(optimizer)
    model.fit(X, Y, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0, capture=capture)
    return model.get_weights()


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW, RMSprop, Nadam])
@pytest.mark.parametrize("exclude", [1, ["bias", "gamma|beta"], ("bias$", "/norm/")])
def test_decay_moves_what_is_not_excluded_and_nothing_else(cls: Any, exclude: Any) -> None:
    """Gradients of 0: whatever moves is moved by the decay."""
    model = net(cls(lr=0.1, weight_decay=0.5, exclude=exclude))
    model.set_weights([np.full(w.shape, 0.5) for w in model.get_weights()])
    for p in model.parameters():
        p.grad = tr.zeros_like(p)
    model.optimizer.step()
    moved = {name: bool((p.numpy() != 0.5).all()) for name, p in model.named_parameters().items()}
    assert {name for name, yes in moved.items() if yes} == {"block0/dense/kernel", "head/kernel"}


def test_adamw_with_groups_is_pytorchs_over_20_steps() -> None:
    torch = pytest.importorskip("torch")
    ours = net(AdamW(lr=0.01, weight_decay=0.3, clip_norm=0.5, exclude=1))
    norm, dense, head = torch.nn.LayerNorm(6, eps=1e-3), torch.nn.Linear(6, 6), torch.nn.Linear(6, 1)
    given = {name: torch.tensor(p.numpy()) for name, p in ours.named_parameters().items()}
    norm.weight.data, norm.bias.data = given["block0/norm/gamma"], given["block0/norm/beta"]
    dense.weight.data, dense.bias.data = given["block0/dense/kernel"].T, given["block0/dense/bias"]
    head.weight.data, head.bias.data = given["head/kernel"].T, given["head/bias"]
    every = [p for m in (norm, dense, head) for p in m.parameters()]
    groups = [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": 0.3},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, lr=0.01)
    x, y = torch.tensor(X), torch.tensor(Y)
    for _ in range(20):
        loss = ours.train_on_batch(X, Y)
        theirs.zero_grad()
        wanted = ((head(x + torch.relu(dense(norm(x)))) - y) ** 2).mean()
        wanted.backward()
        torch.nn.utils.clip_grad_norm_(every, 0.5)
        theirs.step()
        assert loss == pytest.approx(wanted.item(), rel=1e-4)
    np.testing.assert_allclose(ours.get_layer("head").kernel.numpy().T, head.weight.detach(), rtol=1e-4, atol=1e-5)


def test_kerass_method_takes_parameters_and_names() -> None:
    model = net(AdamW(lr=0.1, weight_decay=0.5))
    head = model.get_layer("head")
    model.optimizer.exclude_from_weight_decay(var_list=[head.kernel], var_names=["bias", "gamma", "beta"])
    for p in model.parameters():
        p.assign(np.full(p.shape, 0.5))
        p.grad = tr.zeros_like(p)
    model.optimizer.step()
    assert (head.kernel.numpy() == 0.5).all()
    assert (model.get_layer("dense").kernel.numpy() != 0.5).all()
    w = tr.tensor([1.0], requires_grad=True)  # without a name it is known by itself
    opt = AdamW([w], lr=0.1, weight_decay=0.5)
    opt.exclude_from_weight_decay([w])
    w.grad = tr.tensor([0.0])
    opt.step()
    assert w.item() == 1.0


def test_a_captured_step_follows_what_is_excluded_later() -> None:
    model = net(AdamW(lr=0.1, weight_decay=0.5))
    twin = net(AdamW(lr=0.1, weight_decay=0.5))
    for m, capture in ((model, True), (twin, False)):
        m.fit(X, Y, epochs=1, verbose=0, capture=capture, shuffle=False)
        m.optimizer.exclude_from_weight_decay(var_names="kernel")
        m.fit(X, Y, epochs=1, verbose=0, capture=capture, shuffle=False)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


ACCUMULATING = {
    "sgd": lambda **options: SGD(lr=0.05, momentum=0.9, **options),
    "adam": lambda **options: Adam(lr=0.01, **options),
    "adamw": lambda **options: AdamW(lr=0.01, weight_decay=0.2, exclude=1, clip_norm=0.5, **options),
}


@pytest.mark.parametrize("name", ACCUMULATING)
def test_four_quarters_of_a_batch_move_as_the_whole_does(name: str) -> None:
    whole = trained(ACCUMULATING[name](), batch_size=16)
    quarters = trained(ACCUMULATING[name](gradient_accumulation_steps=4), batch_size=4)
    for a, b in zip(whole, quarters, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ACCUMULATING)
def test_accumulation_captured_is_eager_bit_for_bit_in_one_program(name: str) -> None:
    options = {"gradient_accumulation_steps": 3}
    eager = trained(ACCUMULATING[name](**options), capture=False, epochs=3)
    captured = trained(ACCUMULATING[name](**options), capture=True, epochs=3)
    for a, b in zip(eager, captured, strict=True):
        np.testing.assert_array_equal(a, b)
    model = net(ACCUMULATING[name](**options))
    model.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    assert len(model.runner("train_step", True).programs) == 1
    assert model.optimizer.steps == 18 // 3


def test_parameters_stay_until_the_step_is_due() -> None:
    w = tr.tensor([1.0], requires_grad=True)
    opt = SGD([w], lr=1.0, gradient_accumulation_steps=3)
    seen = []
    for g in (0.3, 0.6, 0.9, 3.0, 3.0, 3.0):
        w.grad = tr.tensor([g])
        opt.step()
        seen.append((round(w.item(), 4), opt.steps))
    assert seen == [(1.0, 0), (1.0, 0), (0.4, 1), (0.4, 1), (0.4, 1), (-2.6, 2)]


def test_a_schedule_goes_by_the_moves() -> None:
    schedule = tr.optim.schedules.WarmupCosine(1.0, warmup_steps=2, total_steps=10)
    w = tr.tensor([0.0], requires_grad=True)
    opt = SGD([w], lr=schedule, gradient_accumulation_steps=2)
    for _ in range(4):
        w.grad = tr.tensor([1.0])
        opt.step()
    assert w.item() == pytest.approx(-schedule(0) - schedule(1))


def test_both_are_saved_with_the_model_and_training_goes_on(tmp_path: object) -> None:
    made = {"exclude": [1, "head"], "gradient_accumulation_steps": 4}
    straight = trained(AdamW(lr=0.01, weight_decay=0.2, **made), epochs=3)
    model = net(AdamW(lr=0.01, weight_decay=0.2, **made))
    model.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    model.save(f"{tmp_path}/m.npz")
    loaded = tr.load(f"{tmp_path}/m.npz")
    assert {key: loaded.optimizer.config()[key] for key in made} == made
    loaded.fit(X, Y, epochs=3, initial_epoch=2, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(straight, loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_keep_what_is_excluded_and_added_up(copied: Any) -> None:
    w = tr.tensor(np.ones((2, 2)), requires_grad=True)
    b = tr.tensor(np.ones(2), requires_grad=True)
    opt = AdamW([w, b], lr=0.1, weight_decay=0.5, exclude=1, gradient_accumulation_steps=2)

    def step(params: list[tr.Tensor], optimizer: tr.optim.Optimizer) -> None:
        for p in params:
            p.grad = tr.ones_like(p)
        optimizer.step()

    step([w, b], opt)
    params, twin = copied(([w, b], opt))
    step([w, b], opt)
    step(params, twin)
    assert w.numpy().max() < 0.88 < b.numpy().min()
    for a, c in zip((w, b), params, strict=True):
        np.testing.assert_array_equal(a.numpy(), c.numpy())


def test_kerass_optimizers_add_up_gradients() -> None:
    opt = optimizers.AdamW(0.01, gradient_accumulation_steps=2, global_clipnorm=1.0)
    assert opt.config()["gradient_accumulation_steps"] == 2
    with pytest.raises(
        ArgumentError, match=r"\[rmsprop\] gradients are added up for SGD, Adam and AdamW; got gradient_"
    ):
        optimizers.RMSprop(gradient_accumulation_steps=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: AdamW(exclude=[1.5]),
            r"\[adamw\] exclude names parameters by a part of their name, .*; got 1.5",
        ),
        (lambda: AdamW(exclude="("), r"\[adamw\] exclude is a regular expression; got '\(' \(missing"),
        (
            lambda: SGD(gradient_accumulation_steps=0),
            r"\[sgd\] gradient_accumulation_steps is a whole number >= 1",
        ),
        (
            lambda: AdamW().exclude_from_weight_decay(["bias"]),
            r"\[adamw\] var_list holds parameters; got str",
        ),
    ],
)
def test_what_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()
