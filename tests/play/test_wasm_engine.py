"""engine.mjs in node: what it opens and refuses, and that a small net gives the bits of the core's generic kernels."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from other_headers import with_header

import tinyres as tr
from tinyres import layers
from tinyres.capture.export import exported
from tinyres.store.program_file import ProgramFile

Node = Callable[..., Any]


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


OPEN = 'const net = engine.open(Buffer.from(given.file, "base64"));'


def small_step() -> tuple[Any, dict[str, Any]]:
    inputs = tr.Input(shape=(8,))
    x = layers.blocks.he2015(layers.Dense(8)(inputs), 8)
    model = tr.Model(inputs, layers.Dense(3)(x))
    opt = tr.optim.Adam(model.parameters(), lr=0.01)

    @tr.capture
    def step(x: Any, y: Any) -> Any:
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss}

    return step, dict(model.named_parameters())


def test_the_losses_and_weights_of_a_net_are_those_of_the_generic_kernels(
    node: Node, generic: None, tmp_path: Path
) -> None:
    step, weights = small_step()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 16, 8)).astype(np.float32), rng.integers(0, 3, (20, 16))
    step.record(x[0], y[0]).export(tmp_path / "net.trp", weights)
    given = {"file": text((tmp_path / "net.trp").read_bytes()), "x": x.reshape(20, -1).tolist(), "y": y.tolist()}
    told = node(
        OPEN
        + """
        const losses = given.x.map((x, i) => {
          net.set("x", x); net.set("y", given.y[i]);
          if (net.run("step")) throw new Error("a check failed");
          return bits(net.view("loss"));
        });
        const names = Object.keys(net.header.memory).filter((name) => net.header.memory[name].role === "state");
        return { losses, weights: Object.fromEntries(names.map((name) => [name, bits(net.view(name))])) };
        """,
        given,
    )
    assert told["losses"] == [step(x[i], y[i])["loss"].numpy().tobytes().hex() for i in range(20)]
    assert told["weights"] == {name: w.numpy().tobytes().hex() for name, w in weights.items()}


def test_a_failed_check_leaves_the_state_as_it_was(node: Node) -> None:
    step, weights = small_step()
    replay = step.record(np.zeros((16, 8), np.float32), np.zeros(16, np.int64))
    given = {"file": text(exported({"step": replay}, weights).to_bytes())}
    told = node(
        OPEN
        + """
        const before = bits(net.snapshot());
        net.view("y").fill(7n);
        return [net.run("step").kernel, before === bits(net.snapshot())];
        """,
        given,
    )
    assert told == ["check_labels", True]


def test_a_snapshot_takes_a_net_back(node: Node) -> None:
    step, weights = small_step()
    replay = step.record(np.zeros((16, 8), np.float32), np.zeros(16, np.int64))
    told = node(
        OPEN
        + """
        net.set("x", Array.from({ length: 128 }, (_, i) => Math.sin(i)));
        net.run("step");
        const kept = net.snapshot(), next = () => { net.run("step"); return bits(net.view("loss")); };
        const first = [next(), next()];
        net.restore(kept);
        const again = [next(), next()];
        net.reset(); net.set("x", Array.from({ length: 128 }, (_, i) => Math.sin(i))); net.run("step");
        return [first[0] === again[0] && first[1] === again[1], bits(net.snapshot()) === bits(kept)];
        """,
        {"file": text(exported({"step": replay}, weights).to_bytes())},
    )
    assert told == [True, True]


def test_damaged_files_are_refused(node: Node) -> None:
    step, weights = small_step()
    replay = step.record(np.zeros((16, 8), np.float32), np.zeros(16, np.int64))
    file = exported({"step": replay}, weights)
    header = file.header
    wrong = [
        {**header, "kernels": ["no_such_kernel", *header["kernels"][1:]]},
        {**header, "image": 64},
        {**header, "stored": [[0, 1 << 40]]},
        {**header, "memory": {"x": {"at": 3, "dtype": "float32", "shape": [], "role": "input"}}},
        {**header, "programs": {"step": {**header["programs"]["step"], "count": header["count"] + 1}}},
        {**header, "call_bytes": 320},
        {**header, "count": 1.5},
    ]
    content = file.to_bytes()
    files = [with_header(content, h) for h in wrong]
    files += [content[:length] for length in (0, 10, 24, 100, len(content) - 1)]
    files += [content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :] for at in range(0, len(content), 997)]
    told = node(
        """return given.map((file) => {
          try { engine.open(Buffer.from(file, "base64")); return "opened"; }
          catch (error) { return error instanceof ProgramError ? error.name : String(error); }
        });""",
        [text(f) for f in files],
    )
    assert told == ["ProgramError"] * len(files)


def test_a_call_that_reaches_beyond_the_memory_is_an_error(node: Node) -> None:
    replay = tr.capture(lambda x: x * 2.0).record(tr.tensor(np.ones(4)))
    file = exported({"step": replay})
    calls = bytearray(file.calls)
    calls[56 + 8 : 56 + 16] = (1 << 33).to_bytes(8, "little")
    told = node(
        OPEN + 'try { net.run("step"); return "ran"; } catch (error) { return error instanceof ProgramError; }',
        {"file": text(ProgramFile(file.header, file.stored, bytes(calls)).to_bytes())},
    )
    assert told is True
