"""One definition of skip and block: trace, summary, `without_skips` and lesions tell the same of every net."""

from __future__ import annotations

import numpy as np
import pytest
from known_nets import NETS, Net

import tinyres as tr
from tinyres import layers
from tinyres.model.rewiring import skips
from tinyres.nn.shape import blocks_of_layers
from tinyres.study.cuts import blocks_of

DATA = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def traced(model: tr.Model) -> tr.Trace:
    def run() -> tr.Tensor:
        outputs = model(tr.tensor(DATA, name="x"), training=True)
        parts = outputs if isinstance(outputs, list) else [outputs]
        return sum((tr.mean(tr.square(part)) for part in parts[1:]), tr.mean(tr.square(parts[0])))

    return tr.Graph.of(run).trace()


def skips_of_trace(trace: tr.Trace) -> set[str]:
    """ "join<producer" for all that the skips of forks carry into a join."""
    consumers = {e.src: e.dst for e in trace.edges}
    found = set()
    for fork in trace.forks:
        for edge in fork.edges:
            if edge.kind == "skip":
                producer, node = edge.src, edge.dst
                joins = {f.join for f in trace.forks if f.node == fork.node}
                while node not in joins:
                    producer, node = node, consumers[node]
                found.add(f"{node}<{producer}")
    return found


def skips_of_summary(model: tr.Model, capsys: pytest.CaptureFixture[str]) -> set[str]:
    model.summary()
    found, at = set(), ""
    for line in capsys.readouterr().out.splitlines():
        words = line.replace(",", "").split()
        if len(words) > 1 and words[1].startswith("(") and words[1] != "(skip)":
            at = words[0]
        found |= {f"{at}<{word}" for word, after in zip(words, words[1:]) if after == "(skip)"}
    return found


def dropped(model: tr.Model) -> set[str]:
    """What `without_skips` takes from the joins."""
    names = {s: step.path for step in model.steps for s in [step.call.outputs]}
    names |= {s: s.producer.layer.path for s in model.inputs}
    return {
        f"{call.layer.path}<{names[call.inputs()[i]]}" for call, positions in skips(model).items() for i in positions
    }


@pytest.mark.parametrize("name", NETS)
def test_all_tell_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    net: Net = NETS[name]
    tr.manual_seed(0)
    model = net.build()
    expected = set(net.skips.split())
    trace = traced(model)
    assert skips_of_trace(trace) == expected
    assert skips_of_summary(model, capsys) == expected
    joins = (layers.Add, layers.Concatenate)
    adds = {path for path, layer in model.named_layers().items() if isinstance(layer, joins)}
    assert dropped(model) == {skip for skip in expected if skip.partition("<")[0] in adds}
    kinds = {f"{e.src}>{e.dst}": e.kind for e in trace.edges}
    assert {edge: kinds[edge] for edge in net.kinds} == net.kinds
    blocks = blocks_of(model)
    assert [b.name for b in trace.parts] == list(blocks) == net.blocks.split()
    for block in trace.parts:
        members = {call.layer.path for call in blocks[block.name].calls}
        assert {n.name for n in block.nodes} <= members
        if block.skip is not None:
            joined = {call.layer.path for call in blocks[block.name].calls if call in blocks[block.name].joins}
            assert block.join.name in joined or block.join.name not in adds


@pytest.mark.parametrize("name", NETS)
def test_watching_knows_the_blocks_of_a_trace(name: str) -> None:
    model = NETS[name].build()
    block_of = {node.name: node.block for node in traced(model).nodes if node.block}
    assert blocks_of_layers(model).items() <= block_of.items()
    assert set(blocks_of_layers(model).values()) == set(block_of.values())


def test_the_worst_block_of_a_training_is_a_block_of_the_trace() -> None:
    tr.manual_seed(0)
    model = NETS["residual without scopes"].build()
    model.compile("sgd", loss="mse")
    gradients = model.fit(DATA, DATA[:, :2], verbose=0, watch=1).gradients
    assert set(gradients.blocks.values()) == {"block0", "block1"}
    worst = gradients.worst
    assert worst is not None and {worst.block, worst.after} <= {"stem", "block0", "block1", "head"}


@pytest.mark.parametrize("name", [name for name, net in NETS.items() if net.skips])
def test_the_twin_has_no_skip_left_to_drop(name: str) -> None:
    model = NETS[name].build()
    if not dropped(model):
        with pytest.raises(tr.errors.ArgumentError, match="joins a skip by"):
            model.without_skips()
        return
    twin = model.without_skips()
    assert not skips(twin)
    left = {edge for edge in skips_of_trace(traced(twin)) if "Add" in type(twin.get_layer(edge.split("<")[0])).__name__}
    assert left == set()


def test_a_block_that_adds_the_input_of_the_net_begins_with_the_block_before() -> None:
    x = h = tr.Input(shape=(8,))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            h = tr.layers.Add()([tr.layers.Dense(8, activation="relu")(h), x])
    model = tr.Model(x, tr.layers.Dense(2)(h))
    trace = model.graph(np.ones((4, 8), "f4"), np.ones((4, 2), "f4"), loss="mse").trace()
    assert [block.input.name for block in trace.blocks] == ["input", "block0/add", "block1/add"]
    assert trace["block2"].fork is None and trace["block0"].grad_norm != trace["block1"].grad_norm
