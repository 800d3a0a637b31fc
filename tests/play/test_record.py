"""The nets of the page: one trained in node has the losses and weights, to the last bit, that the generic kernels give.

WebAssembly cannot count subnormal numbers as 0, as the core does. Where units die, momenta become such numbers; so the
nets here stay off that: few steps, rates at which nothing dies.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError
from tinyres.layers.blocks import PRESETS
from tinyres.play.nets import ACTIVATIONS, INITIALIZERS, Net
from tinyres.play.record import Recorded, record, train

Node = Callable[..., Any]

TRAIN = """
const net = engine.open(Buffer.from(given.file, "base64"));
for (const [name, value] of Object.entries(given.settings)) net.set(name, value);
net.restart(given.seed);
const { batch, features } = net.about, losses = [];
for (let s = 0; s < given.steps; s++) {
  for (let r = 0; r < batch; r++) {
    const row = (s * batch + r) % given.y.length;
    net.view("x").set(given.x[row], r * features);
    net.view("y")[r] = BigInt(given.y[row]);
  }
  if (net.run("step")) throw new Error("a check failed");
  losses.push(bits(net.view("loss")));
}
const names = Object.keys(net.header.memory).filter((name) => net.header.memory[name].role === "state");
return { losses, state: Object.fromEntries(names.map((name) => [name, bits(net.view(name))])) };
"""


def data(net: Net) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3 * net.batch + 1, net.features)).astype(np.float32)
    return x, rng.integers(0, net.classes, len(x))


def alike(node: Node, net: Net, steps: int, lr: float, settings: dict[str, float] | None = None) -> None:
    """Train in node and here, and compare every bit."""
    settings = settings or {}
    x, y = data(net)
    given = {
        "file": base64.b64encode(record(net)).decode(),
        "x": x.tolist(),
        "y": y.tolist(),
        "settings": {"lr": lr, **settings},
        "seed": 5,
        "steps": steps,
    }
    told = node(TRAIN, given)
    recorded = Recorded(net)
    losses = train(net, x, y, steps, seed=5, lr=lr, strengths=settings, recorded=recorded)
    assert np.isfinite(losses).all()
    assert told["losses"] == [np.float32(loss).tobytes().hex() for loss in losses]
    weights = {n: p.numpy().tobytes().hex() for n, p in recorded.weights.items()}
    assert {name: told["state"][name] for name in weights} == weights


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("block", ["tutorial", "rezero"])
def test_a_net_trained_in_node_has_the_bits_of_the_generic_kernels(
    node: Node, generic: None, block: str, optimizer: str
) -> None:
    net = Net(block, blocks=3, units=12, features=7, classes=3, batch=16, optimizer=optimizer)
    alike(node, net, 30, 0.01, {"block1/skip": 0.5, "block2/branch": 0.25})


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("blocks", [1, 8, 64])
@pytest.mark.parametrize("block", list(PRESETS))
def test_every_preset_at_every_depth_for_200_steps(
    node: Node, generic: None, block: str, blocks: int, optimizer: str
) -> None:
    net = Net(block, blocks=blocks, units=24, features=16, classes=4, batch=32, optimizer=optimizer)
    explodes = blocks == 64 and optimizer == "sgd" and block in ("plain_batchnorm", "preact_plain")
    alike(node, net, 200, 1e-10 if explodes else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(node: Node, generic: None, activation: str) -> None:
    alike(node, Net(blocks=4, units=24, features=16, classes=4, batch=32, activation=activation), 50, 1e-3)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_weights_are_drawn_as_the_initialisers_of_the_library_say(initializer: str) -> None:
    net = Net(blocks=2, units=128, features=96, initializer=initializer)
    recorded = Recorded(net)
    recorded.generator.manual_seed(3)
    recorded.initialise()
    for name, drawn in recorded.weights.items():
        if not name.endswith("/kernel"):
            continue
        meant = tr.initializers.get(initializer)(drawn.shape)
        values = drawn.numpy()
        assert abs(values.std() / meant.std() - 1) < 0.05, name
        assert abs(values.mean()) < 0.05 * meant.std()
        assert 0.9 < np.abs(values).max() / np.abs(meant).max() < 1.1
    drawn_anew = Recorded(net)
    drawn_anew.generator.manual_seed(3)
    drawn_anew.initialise()
    same = zip(recorded.weights.values(), drawn_anew.weights.values())
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in same)
    recorded.generator.manual_seed(4)
    recorded.initialise()
    assert not np.array_equal(recorded.weights["stem/kernel"].numpy(), drawn_anew.weights["stem/kernel"].numpy())


LOOK = """
const net = engine.open(Buffer.from(given.file, "base64"));
net.restart(5);
net.set("x", given.x); net.set("y", given.y);
const looks = [];
for (let s = 0; s < 3; s++) { net.run("step"); looks.push(net.look()); }
return looks;
"""


@pytest.mark.slow
@pytest.mark.parametrize("block", ["residual", "he2015", "rezero"])
@pytest.mark.parametrize("skips", [True, False])
def test_what_the_page_looks_at_are_the_rows_of_a_trace(node: Node, generic: None, block: str, skips: bool) -> None:
    net = Net(block, blocks=3, units=8, features=5, classes=3, batch=9, skips=skips)
    x, y = data(net)
    x, y = x[:9], y[:9]
    file = base64.b64encode(record(net)).decode()
    looks = node(LOOK, {"file": file, "x": x.ravel().tolist(), "y": y.tolist()})
    recorded = Recorded(net)
    recorded.generator.manual_seed(5)
    recorded.initialise()
    for look in looks:
        trace = recorded.step(x, y)["look"].trace()
        for level, rows in (("layer", "nodes"), ("parameter", "parameters"), ("edge", "edges"), ("block", "blocks")):
            meant = [{k: v for k, v in row.items() if k in look[rows][0]} for row in trace.rows(level)]
            found = [{k: v for k, v in row.items() if k in meant[0]} for row in look[rows]]
            assert json.loads(json.dumps(meant)) == found
            assert len(meant[0]) >= 7


@pytest.mark.slow
def test_a_peek_sees_what_the_step_sees_and_changes_nothing(node: Node, generic: None) -> None:
    net = Net("he2015", blocks=3, units=8, features=5, classes=3, batch=9)
    x, y = data(net)
    told = node(
        """
        const net = engine.open(Buffer.from(given.file, "base64"));
        net.restart(5);
        net.set("x", given.x); net.set("y", given.y);
        net.run("step"); net.set("block1/skip", 0);
        const before = bits(net.snapshot()), bad = (net.view("y")[0] = 9n, net.peek("step").kernel);
        net.view("y")[0] = BigInt(given.y[0]);
        net.peek("step");
        const seen = JSON.stringify([net.look(), net.get("loss"), net.get("accuracy")]), after = bits(net.snapshot());
        net.run("step");
        const stepped = JSON.stringify([net.look(), net.get("loss"), net.get("accuracy")]);
        return [before === after, seen === stepped, bits(net.snapshot()) === after, bad, net.look().blocks[1].skip];
        """,
        {"file": base64.b64encode(record(net)).decode(), "x": x[:9].ravel().tolist(), "y": y[:9].tolist()},
    )
    assert told == [True, True, False, "check_labels", 0]
    step = Recorded(net).file().header["programs"]["step"]
    assert step["peek"] > 0.8 * step["count"]


def test_no_weights_are_sent() -> None:
    net = Net(blocks=8, units=32)
    assert len(Recorded(net).file().stored) < 20_000 < 8 * 2 * 32 * 32 * 4


def test_a_recorded_net_is_the_same_bytes_each_time_and_moves_no_generator() -> None:
    tr.manual_seed(7)
    first = record(Net(blocks=2, units=8))
    tr.manual_seed(8)
    before = repr(tr.ops.random.default_generator())
    assert record(Net(blocks=2, units=8)) == first
    assert repr(tr.ops.random.default_generator()) == before


def test_without_skips_it_is_the_same_net_and_the_same_weights() -> None:
    twins = Recorded(Net("he2015", blocks=2, units=8)), Recorded(Net("he2015", blocks=2, units=8, skips=False))
    for recorded in twins:
        recorded.generator.manual_seed(1)
        recorded.initialise()
    with_skips, without = (recorded.weights for recorded in twins)
    assert list(with_skips) == list(without)
    assert all(np.array_equal(with_skips[name].numpy(), without[name].numpy()) for name in without)
    assert not any("skip" in name for name in twins[1].strengths)


def test_a_strength_of_1_changes_no_bit() -> None:
    """λ and α are there for the page; at 1 the net is the preset."""
    net = Net("tutorial", blocks=2, units=8, features=5, classes=3, batch=8)
    recorded = Recorded(net)
    inputs = h = tr.Input(shape=(5,))
    h = tr.layers.Dense(8)(h)
    for _ in range(2):
        h = tr.layers.blocks.tutorial(h, 8)
    preset = tr.Model(inputs, tr.layers.Dense(3)(h))
    preset.set_weights([w.numpy() for w in recorded.model.weights if w.shape != (1,)])
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    for training in (False, True):
        assert np.array_equal(recorded.model(x, training=training).numpy(), preset(x, training=training).numpy())


@pytest.mark.parametrize(
    "wrong",
    [
        {"block": "nothing"},
        {"block": []},
        {"blocks": 0},
        {"blocks": 129},
        {"blocks": True},
        {"units": 1.0},
        {"units": 1 << 40},
        {"batch": "64"},
        {"classes": 1},
        {"initializer": "orthogonal"},
        {"activation": None},
        {"optimizer": "x" * 10**6},
        {"skips": 1},
        {"skips": None},
        {"blocks": 128, "units": 128},
        {"units": 129},
        {"batch": 1},
    ],
)
def test_what_describes_no_net_is_refused_in_few_words(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"^\[net\] .*; got .*; choose ") as caught:
        Net(**wrong)
    assert len(str(caught.value)) < 400
