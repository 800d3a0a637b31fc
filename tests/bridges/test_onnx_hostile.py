"""Files that ask for too much, lie elsewhere or are damaged end in a FileError, before memory is taken for them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from onnx_nets import PRESETS, WHOLE, single
from seeds import seeds

import tinyres as tr
from tinyres import layers
from tinyres.backends import memory
from tinyres.errors import FileError, OutOfMemoryError

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper


def proto(nodes, initializers=(), opset=18):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "n"])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def adding(tensor):
    return proto([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


def refused(model, folder, match):
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=r"\[onnx.load\] .*" + match):
        tr.onnx.load(folder / "net.onnx")


def external(location, offset=None, length=None, dims=(4,)):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_arrays_in_a_file_beside_the_model_are_read(tmp_path):
    values = np.arange(4, dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(b"????" + values.tobytes())
    (tmp_path / "net.onnx").write_bytes(adding(external("w.bin", 4, 16)).SerializeToString())
    model = tr.onnx.load(tmp_path / "net.onnx")
    assert np.array_equal(model.predict(np.zeros((1, 4)))[0], values)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "", "link.bin"])
def test_arrays_elsewhere_are_refused(location, tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    refused(adding(external(location)), folder, "")


@pytest.mark.parametrize("offset, length, dims", [(4, 16, (4,)), (-4, 16, (4,)), (0, 8, (4,)), (0, None, (1 << 40,))])
def test_arrays_that_are_not_there_in_full_are_refused(offset, length, dims, tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    refused(adding(external("w.bin", offset, length, dims)), tmp_path, "")


def test_a_pipe_in_the_place_of_a_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "w.bin")
    refused(adding(external("w.bin")), tmp_path, "")
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(FileError, match="is a pipe or a device"):
        tr.onnx.load(tmp_path / "pipe.onnx")


@pytest.mark.parametrize("dims, size", [((1 << 40, 1 << 20), 16), ((4,), 12), ((-4,), 16), ((1 << 62, 4), 0)])
def test_sizes_that_the_bytes_do_not_bear_out_are_refused(dims, size, tmp_path):
    refused(adding(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(size))), tmp_path, "")


def test_texts_and_sparse_numbers_are_refused(tmp_path):
    refused(adding(helper.make_tensor("w", TensorProto.STRING, [1], [b"a"])), tmp_path, "arrays are of numbers")
    refused(adding(helper.make_tensor("w", TensorProto.COMPLEX64, [1], [1j])), tmp_path, "arrays are of numbers")


def test_a_cycle_is_refused(tmp_path):
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    refused(
        proto([*nodes, helper.make_node("Relu", ["a"], ["y"])]), tmp_path, "must be complete and follow the standard"
    )


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(op, *inputs, **attrs):
    return helper.make_node(op, list(inputs), ["y"], **attrs)


HUGE = 1 << 45
ASKING = {
    "constant": proto([helper.make_node("ConstantOfShape", ["s"], ["c"]), node("Add", "x", "c")], [ints("s", HUGE, 4)]),
    "range": proto(
        [helper.make_node("Range", ["a", "b", "c"], ["r"]), node("Add", "x", "r")],
        [numpy_helper.from_array(np.array(n, np.int64), name) for name, n in (("a", 0), ("b", HUGE), ("c", 1))],
    ),
    "expand": proto(
        [helper.make_node("Expand", ["c", "s"], ["e"]), node("Add", "x", "e")], [ints("s", HUGE), ints("c", 1)]
    ),
    "product": proto(
        [helper.make_node("Add", ["a", "b"], ["e"]), node("Add", "x", "e")],
        [
            numpy_helper.from_array(np.zeros(shape, np.float32), name)
            for name, shape in (("a", (1 << 13, 1)), ("b", (1 << 13,)))
        ],
    ),
    "tile": proto([node("Tile", "x", "s")], [ints("s", 1, HUGE)]),
    "pad": proto([node("Pad", "x", "s")], [ints("s", 0, 0, 0, HUGE)]),
    "no step": proto(
        [helper.make_node("Range", ["a", "b", "c"], ["r"]), node("Add", "x", "r")],
        [numpy_helper.from_array(np.array(n, np.int64), name) for name, n in (("a", 0), ("b", 5), ("c", 0))],
    ),
    "axis": proto([node("Unsqueeze", "x", "s")], [ints("s", 9)]),
    "permutation": proto([node("Transpose", "x", perm=[0, 0])]),
    "attribute": proto([node("Softmax", "x", axis=7)]),
}


@pytest.mark.parametrize("name", ASKING)
def test_nodes_that_ask_for_too_much_or_make_no_sense_are_refused(name, tmp_path):
    (tmp_path / "net.onnx").write_bytes(ASKING[name].SerializeToString())
    with pytest.raises((FileError, OutOfMemoryError)):
        tr.onnx.load(tmp_path / "net.onnx")


def test_an_array_that_many_nodes_read_is_asked_for_each_time(tmp_path, monkeypatch):
    reading = [helper.make_node("MatMul", [f"y{i}" if i else "x", "w"], [f"y{i + 1}"]) for i in range(40)]
    model = proto([*reading, node("Relu", "y40")], [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")])
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    monkeypatch.setattr(memory, "ASKED_FROM", 0)
    monkeypatch.setattr(memory, "available", lambda: 2000)
    with pytest.raises(OutOfMemoryError, match=r"\[onnx.load\] .* what its nodes read several times"):
        tr.onnx.load(tmp_path / "net.onnx")


def test_what_is_no_file_or_no_onnx(tmp_path):
    with pytest.raises(FileError, match="is not there"):
        tr.onnx.load(tmp_path / "net.onnx")
    with pytest.raises(FileError, match="is a folder"):
        tr.onnx.load(tmp_path)
    for content in (b"", b"hello", bytes(1000), np.random.default_rng(0).bytes(1000)):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(FileError):
            tr.onnx.load(tmp_path / "net.onnx")


@pytest.mark.parametrize("seed", seeds(40, 4))
def test_a_damaged_file_is_a_model_or_a_file_error(seed, tmp_path):
    tr.manual_seed(0)
    nets = [
        PRESETS["he2015"],
        PRESETS["basic"],
        WHOLE["encoder"],
        lambda: single(layers.GroupNormalization(2), 4, 4, 4),
    ]
    tr.onnx.export(nets[seed % len(nets)](), tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    random = np.random.default_rng(seed)
    for _ in range(12):
        damaged = bytearray(content)
        for at in random.integers(0, len(content), random.integers(1, 6)):
            damaged[at] = random.integers(256)
        (tmp_path / "net.onnx").write_bytes(bytes(damaged[: random.integers(len(content) // 2, 2 * len(content))]))
        try:
            model = tr.onnx.load(tmp_path / "net.onnx", 4)
        except (FileError, OutOfMemoryError):
            continue
        assert isinstance(model, tr.Model)


def test_the_standard_itself_is_asked(tmp_path):
    """A node with an attribute of the wrong type never reaches a reader."""
    model = proto([node("Softmax", "x", axis=0.5)])
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    refused(model, tmp_path, "must be complete and follow the standard")
