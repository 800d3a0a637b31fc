"""Nets of known structure, by layers: which inputs of which joins are skips, and which blocks there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tinyres as tr
from tinyres import layers
from tinyres.layers.blocks import he2015, preact

Add, Concatenate, Multiply, ReLU, Input = layers.Add, layers.Concatenate, layers.Multiply, layers.ReLU, tr.Input
WIDTH = 4


class Net(NamedTuple):
    """skips: "join<producer". kinds: of some edges of the trace, by "producer>consumer". blocks: by name."""

    build: Callable[[], tr.Model]
    skips: str = ""
    kinds: dict[str, str] = {}
    blocks: str = ""


def dense(x: Any, name: str | None = None, units: int = WIDTH) -> Any:
    return layers.Dense(units, name=name)(x)


def net(body: Callable[[Any], Any]) -> Callable[[], tr.Model]:
    def build() -> tr.Model:
        x = Input(shape=(WIDTH,), name="x")
        stem = dense(x, "stem")
        return tr.Model(x, dense(body(stem), "head", 2))

    return build


def stacked(block: Callable[[Any, int], Any], scoped: bool = True, count: int = 2) -> Callable[[], tr.Model]:
    def body(x: Any) -> Any:
        for i in range(count):
            if scoped:
                with tr.name_scope(f"block{i}"):
                    x = block(x, WIDTH)
            else:
                x = block(x, WIDTH)
        return x

    return net(body)


def projected(x: Any) -> Any:
    return Add(name="add")([dense(dense(x, "a"), "b"), dense(x, "p")])


def parallel(x: Any) -> Any:
    return Add(name="add")([dense(x, "a"), dense(x, "b")])


def relu_only(x: Any) -> Any:
    return Add(name="add")([ReLU(name="relu")(x), x])


def bottleneck(x: Any, _: int = 0) -> Any:
    return Add(name="add")([dense(ReLU()(dense(ReLU()(dense(x, "a", 2)), "b", 2)), "c"), x])


def two_adds(x: Any, _: int = 0) -> Any:
    h = Add(name="one")([dense(x, "a"), x])
    return Add(name="two")([dense(h, "b"), h])


def nested(x: Any) -> Any:
    h = dense(x, "a")
    return Add(name="outer")([dense(Add(name="inner")([dense(h, "b"), h]), "c"), x])


def nested_at_once(x: Any) -> Any:
    inner = Add(name="inner")([dense(x, "a"), x])
    return Add(name="outer")([dense(inner, "b"), x])


def three(x: Any) -> Any:
    first = dense(x, "a")
    return Add(name="add")([dense(first, "b"), first, x])


def scope_around_branch(x: Any) -> Any:
    for i in range(6):
        with tr.name_scope(f"block{i}"):
            f = dense(ReLU()(dense(x)))
        x = Add(name=f"add{i}")([f, x])
    return x


def scopes_in_branch(x: Any) -> Any:
    for i in range(2):
        with tr.name_scope(f"reduce{i}"):
            f = ReLU()(dense(x, units=2))
        with tr.name_scope(f"expand{i}"):
            f = dense(f)
        x = Add(name=f"add{i}")([f, x])
    return x


def scope_in_scope(x: Any) -> Any:
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            with tr.name_scope("branch"):
                f = dense(x)
            x = Add(name="add")([f, x])
    return x


def two_scopes_in_scope(x: Any) -> Any:
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            with tr.name_scope("first"):
                f = dense(x)
            with tr.name_scope("second"):
                f = dense(f)
        x = Add(name=f"add{i}")([f, x])
    return x


def skip_around_scopes(x: Any) -> Any:
    h = x
    for i in range(3):
        with tr.name_scope(f"layer{i}"):
            h = ReLU()(dense(h))
    return Add(name="add")([h, x])


def dense_net(x: Any) -> Any:
    for i in range(2):
        x = Concatenate(name=f"join{i}")([x, dense(x, f"d{i}", 2)])
    return x


def dense_net_of_all(x: Any) -> Any:
    one = dense(x, "a", 2)
    two = dense(Concatenate(name="c1")([x, one]), "b", 2)
    return Concatenate(name="c2")([x, one, two])


def gate(x: Any) -> Any:
    return Multiply(name="mul")([x, layers.Activation("sigmoid", name="gate")(dense(x, "a"))])


def operator_gate(x: Any) -> Any:
    return x * tr.sigmoid(x)


class OwnGate(layers.Layer):
    """A product within an own layer."""

    def call(self, inputs: Any) -> Any:
        """The product."""
        return inputs[0] * inputs[1]


def own_gate(x: Any) -> Any:
    return OwnGate(name="mul")([x, dense(x, "a")])


def gated_residual(x: Any) -> Any:
    h = dense(x, "a")
    return Add(name="add")([Multiply(name="mul")([h, tr.sigmoid(dense(h, "g"))]), x])


def highway(x: Any) -> Any:
    t = layers.Activation("sigmoid", name="t")(dense(x, "gate"))
    carried = Multiply(name="carry")([x, 1.0 - t])
    return Add(name="add")([Multiply(name="transform")([dense(x, "h"), t]), carried])


def attention(x: Any) -> Any:
    """Written in parts, over features for tokens."""
    query, key, value = (layers.Reshape((WIDTH, 1))(dense(x, name)) for name in ("query", "key", "value"))
    shared = layers.Softmax(name="shared")(tr.matmul(query, tr.transpose(key, (0, 2, 1))))
    return dense(layers.Reshape((WIDTH,))(tr.matmul(shared, value)), "out")


def attention_around_norm(x: Any) -> Any:
    return Add(name="add")([attention(layers.BatchNorm(name="norm")(x)), x])


def attention_of_the_stream(x: Any) -> Any:
    return Add(name="add")([attention(x), x])


def u_shaped(x: Any) -> Any:
    one = dense(x, "e1", 4)
    two = dense(one, "e2", 3)
    middle = dense(two, "middle", 2)
    up = dense(Concatenate(name="u2")([dense(middle, "d2", 3), two]), "d1", 4)
    return Concatenate(name="u1")([up, one])


def two_outputs() -> tr.Model:
    """The branch is an output too."""
    x = Input(shape=(WIDTH,), name="x")
    f = dense(x, "a")
    return tr.Model(x, [dense(Add(name="add")([f, x]), "head"), f])


def conditioned(block: Callable[[Any, Any], Any], count: int = 3, scoped: bool = True) -> Callable[[], tr.Model]:
    """block(x, e) of each block; e is computed from the input beside the stream."""

    def build() -> tr.Model:
        x = Input(shape=(WIDTH,), name="x")
        e = ReLU(name="e")(dense(x, "embed"))
        h = dense(x, "stem")
        for i in range(count):
            if scoped:
                with tr.name_scope(f"block{i}"):
                    h = block(h, e)
            else:
                h = block(h, e)
        return tr.Model(x, dense(h, "head", 2))

    return build


def injected(x: Any, e: Any) -> Any:
    return Add(name="add")([dense(Add(name="inject")([dense(x, "a"), dense(e, "t")])), x])


def injected_as_is(x: Any, e: Any) -> Any:
    return Add(name="add")([dense(Add(name="inject")([dense(x, "a"), e])), x])


def scaled_and_shifted(x: Any, e: Any) -> Any:
    return Add(name="add")([dense(dense(x, "a") * dense(e, "scale") + dense(e, "shift")), x])


def concatenated(x: Any, e: Any) -> Any:
    return Add(name="add")([dense(Concatenate(name="both")([x, e])), x])


def silu(x: Any) -> Any:
    return layers.Activation("silu")(x)


def modulated(x: Any, e: Any) -> Any:
    """Scale, shift and gate out of one Dense, as a diffusion Transformer has them."""
    given = dense(silu(e), "modulation", 3 * WIDTH)
    scale, shift, gated = (given[:, i * WIDTH : (i + 1) * WIDTH] for i in range(3))
    return Add(name="add")([dense(x * (1.0 + scale) + shift) * gated, x])


def through_silu(x: Any, e: Any) -> Any:
    return Add(name="add")([dense(silu(dense(x, "a") + silu(e))), x])


def onto_the_stream(x: Any, e: Any) -> Any:
    h = Add(name="inject")([x, dense(silu(e), "t")])
    return Add(name="add")([dense(silu(dense(h))), h])


def injected_without_skip(x: Any, e: Any) -> Any:
    return ReLU()(Add(name="inject")([dense(x, "a"), dense(e, "t")]))


def unscoped_conditions(x: Any, e: Any) -> Any:
    return Add()([dense(Add()([dense(x), dense(e)])), x])


def auxiliary_head() -> tr.Model:
    x = Input(shape=(WIDTH,), name="x")
    h = dense(x, "stem")
    return tr.Model(x, [dense(Add(name="add")([dense(h, "a"), h]), "head"), dense(h, "aux")])


NETS = {
    "plain": Net(stacked(lambda x, n: ReLU()(dense(x))), blocks="block0 block1"),
    "plain without scopes": Net(net(lambda x: dense(ReLU()(dense(x))))),
    "residual": Net(
        stacked(he2015),
        "block0/add<stem block1/add<block0/re_lu_1",
        {"stem>block0/add": "skip", "stem>block0/dense": "branch"},
        "block0 block1",
    ),
    "residual without scopes": Net(stacked(preact, scoped=False), "add<stem add_1<add", {}, "block0 block1"),
    "pre-activation": Net(stacked(preact), "block0/add<stem block1/add<block0/add", {}, "block0 block1"),
    "projection shortcut": Net(net(projected), "add<p", {"stem>p": "skip", "stem>a": "branch"}, "block0"),
    "ReLU-only branch": Net(net(relu_only), "", {"stem>relu": "parallel", "stem>add": "parallel"}),
    "equally long": Net(net(parallel), "", {"stem>a": "parallel", "stem>b": "parallel"}),
    "bottleneck": Net(stacked(bottleneck), "block0/add<stem block1/add<block0/add", {}, "block0 block1"),
    "two Adds in one scope": Net(
        stacked(two_adds, count=1),
        "block0/one<stem block0/two<block0/one",
        {"block0/one>block0/two": "skip"},
        "block0/block0 block0/block1",
    ),
    "nested": Net(net(nested), "inner<a outer<stem", {"stem>outer": "skip", "a>inner": "skip"}, "block0 block1"),
    "nested, both from one place": Net(
        net(nested_at_once),
        "inner<stem outer<stem",
        {"stem>outer": "skip", "stem>inner": "branch", "stem>a": "branch"},
        "block0 block1",
    ),
    "three into one": Net(net(three), "add<a add<stem", {"stem>add": "skip", "a>add": "skip"}, "block0 block1"),
    "scope around the branch": Net(
        net(scope_around_branch),
        " ".join(["add0<stem", *(f"add{i + 1}<add{i}" for i in range(5))]),
        {"stem>add0": "skip"},
        " ".join(f"block{i}" for i in range(6)),
    ),
    "scopes in the branch": Net(net(scopes_in_branch), "add0<stem add1<add0", {}, "block0 block1"),
    "scope in a scope": Net(net(scope_in_scope), "block0/add<stem block1/add<block0/add", {}, "block0 block1"),
    "skip around scopes": Net(net(skip_around_scopes), "add<stem", {}, "layer0 layer1 layer2 block0"),
    "dense net": Net(net(dense_net), "join0<stem join1<join0", {"stem>join0": "skip"}, "block0 block1"),
    "dense net of all": Net(
        net(dense_net_of_all),
        "c1<stem c2<stem c2<a",
        {"stem>c2": "skip", "stem>c1": "branch"},
        "block0 block1 block2",
    ),
    "gate": Net(net(gate), "", {"stem>mul": "gate", "stem>a": "gate"}),
    "gate by operators": Net(net(operator_gate), "", {"stem>sigmoid": "gate", "stem>multiply": "gate"}),
    "gate in an own layer": Net(net(own_gate), "", {"stem>mul": "gate", "stem>a": "gate"}),
    "gated residual": Net(net(gated_residual), "add<stem", {"a>mul": "gate", "stem>add": "skip"}, "block0"),
    "attention in parts": Net(
        net(attention_around_norm),
        "add<stem",
        {"stem>add": "skip", "norm>query": "gate", "norm>key": "gate", "norm>value": "gate"},
        "block0",
    ),
    "attention in parts, of the stream itself": Net(
        net(attention_of_the_stream),
        "add<stem",
        {"stem>add": "skip", "stem>query": "gate", "stem>key": "gate", "stem>value": "branch"},
        "block0",
    ),
    "highway": Net(
        net(highway),
        "add<carry",
        {"stem>carry": "skip", "stem>h": "branch", "stem>gate": "gate", "t>transform": "gate"},
        "block0",
    ),
    **{
        name: Net(
            conditioned(block),
            "block0/add<stem block1/add<block0/add block2/add<block1/add",
            {f"e>block{i}/{into}": "condition" for i in range(3)} | {"stem>block0/add": "skip"},
            "block0 block1 block2",
        )
        for name, block, into in (
            ("condition", injected, "t"),
            ("condition as it is", injected_as_is, "inject"),
            ("condition that scales and shifts", scaled_and_shifted, "shift"),
            ("condition by Concatenate", concatenated, "both"),
            ("condition that modulates, through SiLU", modulated, "activation"),
            ("condition through SiLU alone", through_silu, "activation"),
        )
    },
    "condition added to the stream": Net(
        conditioned(onto_the_stream),
        " ".join(f"block{i}/add<block{i}/inject" for i in range(3)),
        {f"e>block{i}/activation": "condition" for i in range(3)} | {"block0/inject>block0/add": "skip"},
        "block0 block1 block2",
    ),
    "two conditioned blocks": Net(
        conditioned(injected, 2),
        "block0/add<stem block1/add<block0/add",
        {"e>block0/t": "condition", "stem>block0/a": "branch"},
        "block0 block1",
    ),
    "one conditioned block": Net(
        conditioned(scaled_and_shifted, 1), "block0/add<stem", {"stem>block0/add": "skip"}, "block0"
    ),
    "condition without scopes": Net(
        conditioned(unscoped_conditions, scoped=False),
        "add_1<stem add_3<add_1 add_5<add_3",
        {"e>dense_1": "condition"},
        "block0 block1 block2",
    ),
    "condition without skips": Net(
        conditioned(injected_without_skip), "", {"e>block1/t": "condition"}, "block0 block1 block2"
    ),
    "two scopes in a scope": Net(net(two_scopes_in_scope), "add0<stem add1<add0", {}, "block0 block1"),
    "U-shaped": Net(net(u_shaped), "u1<e1 u2<e2", {"e1>u1": "skip", "e2>u2": "skip"}, "block0 block1"),
    "branch is an output": Net(two_outputs, "add<x", {"x>add": "skip", "x>a": "branch"}, "block0"),
    "auxiliary head": Net(
        auxiliary_head, "add<stem", {"stem>add": "skip", "stem>a": "branch", "stem>aux": "parallel"}, "block0"
    ),
}
