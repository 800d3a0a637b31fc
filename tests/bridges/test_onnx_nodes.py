"""Single nodes as other libraries write them, read here and run by onnxruntime; and what is refused, by name."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import FileError

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_nets import run_by_onnxruntime

rng = np.random.default_rng(3)
IMAGE, ROW, TOKENS = (3, 7, 6), (6,), (5, 4)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def graph(nodes, shape, arrays=None, opset=18, kind=TensorProto.FLOAT, gives=TensorProto.FLOAT):
    """A model of one input x and one output y. nodes: (op, inputs, output, attributes)."""
    made = [helper.make_node(op, i.split(",") if i else [], o.split(","), **attrs) for op, i, o, attrs in nodes]
    inputs = [helper.make_tensor_value_info("x", kind, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("y", gives, None)]
    held = [numpy_helper.from_array(array, name) for name, array in (arrays or {}).items()]
    whole = helper.make_graph(made, "net", inputs, outputs, held)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    inferred.graph.output[0].type.tensor_type.shape.SetInParent()  # a file says of what shape its outputs are
    return inferred


def loaded(model, folder, size=None):
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return tr.onnx.load(folder / "net.onnx", size)


def one(op, shape=ROW, arrays=None, opset=18, **attrs):
    return graph([(op, ",".join(["x", *(arrays or {})]), "y", attrs)], shape, arrays, opset)


KERNEL = floats(4, 3, 3, 3)
CASES = {
    "gemm, turned and scaled": one("Gemm", ROW, {"w": floats(5, 6), "b": floats(5)}, transB=1, alpha=0.5, beta=2.0),
    "gemm, bias of one": one("Gemm", ROW, {"w": floats(6, 5), "b": floats(1, 5)}),
    "matmul": one("MatMul", TOKENS, {"w": floats(4, 5)}),
    "matmul and bias": graph(
        [("MatMul", "x,w", "p", {}), ("Add", "b,p", "y", {})], TOKENS, {"w": floats(4, 5), "b": floats(5)}
    ),
    "matmul read twice": graph(
        [("MatMul", "x,w", "p", {}), ("Add", "p,b", "q", {}), ("Mul", "p,q", "y", {})],
        ROW,
        {"w": floats(6, 6), "b": floats(6)},
    ),
    "softmax": one("Softmax", TOKENS, axis=1),
    "log softmax": one("LogSoftmax", TOKENS),
    "clip by inputs": one("Clip", ROW, {"lo": np.float32(-0.5), "hi": np.float32(0.7)}),
    "clip by attributes": one("Clip", ROW, opset=9, min=-0.5, max=0.7),
    "leaky": one("LeakyRelu", ROW, alpha=0.2),
    "elu": one("Elu", ROW, alpha=0.7),
    "gelu": one("Gelu", ROW, opset=20, approximate="tanh"),
    "hard sigmoid": one("HardSigmoid", ROW),
    "hard swish": one("HardSwish", IMAGE),
    "dropout": one("Dropout", ROW, opset=10, ratio=0.3),
    "slopes": one("PRelu", IMAGE, {"s": floats(3, 1, 1)}),
    "same, above": one("Conv", IMAGE, {"w": KERNEL}, auto_pad="SAME_UPPER", strides=[2, 2]),
    "groups": one("Conv", (4, 7, 6), {"w": floats(6, 2, 3, 2), "b": floats(6)}, group=2, pads=[1, 0, 2, 1]),
    "transposed": one(
        "ConvTranspose", IMAGE, {"w": floats(3, 2, 3, 3)}, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
    ),
    "transposed, same": one("ConvTranspose", IMAGE, {"w": floats(3, 2, 3, 3)}, strides=[2, 2], auto_pad="SAME_UPPER"),
    "of a sequence": one("Conv", (4, 9), {"w": floats(5, 4, 3), "b": floats(5)}, strides=[2], pads=[1, 1]),
    "maximum, to the end": one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "mean, padding counts": one("AveragePool", IMAGE, kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    "mean, padding counts, to the end": one(
        "AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1
    ),
    "mean": one("AveragePool", IMAGE, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 1, 0]),
    "all pixels": one("GlobalAveragePool", IMAGE),
    "batch": one("BatchNormalization", IMAGE, {"g": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3))}),
    "layer": one("LayerNormalization", TOKENS, {"g": floats(4), "b": floats(4)}),
    "instance": one("InstanceNormalization", IMAGE, {"g": floats(3), "b": floats(3)}),
    "enlarged": graph([("Resize", "x,,s", "y", {})], IMAGE, {"s": np.array([1, 1, 2, 3], np.float32)}),
    "padded": one("Pad", IMAGE, {"p": ints(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(0.5)}),
    "integers divided": graph(
        [("Cast", "x", "i", {"to": TensorProto.INT64}), ("Div", "i,d", "y", {})],
        ROW,
        {"d": ints(1, -1, 2, -2, 3, -3)},
        gives=TensorProto.INT64,
    ),
    "a matrix read often": graph(
        [("MatMul", "x,w", "a", {}), *[("MatMul", f"{i},w", o, {}) for i, o in zip("abcde", "bcdey")]],
        ROW,
        {"w": floats(6, 6) / 2},
    ),
    "the largest of three constants": graph(
        [("Max", "a,b,c", "m", {}), ("Add", "x,m", "y", {})], ROW, {name: floats(6) for name in "abc"}
    ),
    "a large integer divided": graph(
        [("Div", "n,d", "q", {}), ("Slice", "x,s,q,a", "y", {})],
        ROW,
        {"n": ints((1 << 62) + 9), "d": ints(1 << 60), "s": ints(0), "a": ints(1)},
    ),
    "a matrix in a constant node": graph(
        [("Constant", "", "c", {"value": numpy_helper.from_array(floats(6, 5))}), ("MatMul", "x,c", "y", {})], ROW
    ),
    "split": graph([("Split", "x", "a,b", {"axis": 1, "num_outputs": 2}), ("Sub", "b,a", "y", {})], ROW),
    "several, by widths": graph(
        [("SplitToSequence", "x,w", "s", {"axis": 1}), ("SequenceAt", "s,i", "y", {})],
        ROW,
        {"w": ints(2, 3, 1), "i": np.array(1)},
    ),
    "several, alike": graph(
        [("SplitToSequence", "x,w", "s", {"axis": -1}), ("SequenceAt", "s,i", "y", {})],
        ROW,
        {"w": np.array(4), "i": np.array(-1)},
    ),
    "cast like data": graph([("CastLike", "c,x", "d", {}), ("Mul", "d,x", "y", {})], ROW, {"c": np.arange(6)}),
    "data cast": graph([("CastLike", "x,c", "y", {})], ROW, {"c": np.arange(6)}, gives=TensorProto.INT64),
    "slice": one("Slice", TOKENS, {"s": ints(-1), "e": ints(-10), "a": ints(1), "t": ints(-2)}),
    "squeezed": graph(
        [("Slice", "x,s,e,a", "p", {}), ("Squeeze", "p,a", "y", {})], TOKENS, {"s": ints(1), "e": ints(2), "a": ints(1)}
    ),
    "unsqueezed": one("Unsqueeze", ROW, {"a": ints(1, -1)}),
    "joined": graph([("Relu", "x", "p", {}), ("Concat", "p,x", "y", {"axis": -1})], TOKENS),
    "flat": one("Flatten", IMAGE),
    "reshaped": one("Reshape", TOKENS, {"s": ints(0, -1)}),
    "turned": one("Transpose", IMAGE, perm=[0, 3, 1, 2]),
    "tiled": one("Tile", TOKENS, {"r": ints(1, 2, 3)}),
    "longer": graph(
        [("Unsqueeze", "x,a", "p", {}), ("Expand", "p,s", "y", {})], ROW, {"a": ints(1), "s": ints(1, 3, 6)}
    ),
    "chosen rows": one("Gather", TOKENS, {"i": ints(2, 0)}, axis=1),
    "chosen row": one("Gather", TOKENS, {"i": np.array(1, np.int64)}, axis=1),
    "mean of axes": one("ReduceMean", IMAGE, {"a": ints(2, 3)}, keepdims=0),
    "mean of axes, older": one("ReduceMean", IMAGE, opset=13, axes=[-1], keepdims=1),
    "norm": one("ReduceL2", TOKENS, {"a": ints(-1)}),
    "argmax": graph([("ArgMax", "x", "y", {"axis": 2})], TOKENS, gives=TensorProto.INT64),
    "sum so far": one("CumSum", TOKENS, {"a": ints(1)}, reverse=1),
    "pairs": graph([("Einsum", "x,x", "y", {"equation": "bij,bkj->bik"})], TOKENS),
    "pairs with a constant": graph([("Einsum", "x,c", "y", {"equation": "bij,jk->bik"})], TOKENS, {"c": floats(4, 2)}),
    "a constant node": graph([("Constant", "", "c", {"value_float": 2.5}), ("Mul", "x,c", "y", {})], ROW),
    "a token before others": graph(
        [
            ("Shape", "x", "s", {}),
            ("Slice", "s,zero,one", "n", {}),
            ("Concat", "n,less,less", "t", {"axis": 0}),
            ("Equal", "t,less", "q", {}),
            ("Where", "q,ones,t", "e", {}),
            ("Expand", "c,e", "d", {}),
            ("Concat", "d,x", "y", {"axis": 1}),
        ],
        TOKENS,
        {"c": floats(1, 2, 4), "zero": ints(0), "one": ints(1), "less": ints(-1), "ones": ints(1, 1, 1)},
    ),
    "where": graph([("Greater", "x,z", "p", {}), ("Where", "p,x,z", "y", {})], ROW, {"z": floats(6)}),
    "power": one("Pow", ROW, {"p": np.float32(2.0)}),
    "several": graph(
        [("Relu", "x", "p", {}), ("Max", "x,p,z", "q", {}), ("Sum", "q,p,x", "y", {})], ROW, {"z": floats(6)}
    ),
    "channels": graph(
        [("Conv", "x,w", "p", {}), ("Mul", "p,c", "q", {}), ("Relu", "q", "y", {})],
        IMAGE,
        {"w": KERNEL, "c": floats(4, 1, 1)},
    ),
    "by its own shape": graph(
        [
            ("Shape", "x", "s", {}),
            ("Gather", "s,zero", "n", {}),
            ("Unsqueeze", "n,axes", "m", {}),
            ("Concat", "m,rest", "t", {"axis": 0}),
            ("Reshape", "x,t", "y", {}),
        ],
        TOKENS,
        {"zero": np.array(0, np.int64), "axes": ints(0), "rest": ints(-1)},
    ),
    "heads": graph(
        [("Reshape", "x,s", "p", {}), ("Transpose", "p", "q", {"perm": [0, 2, 1, 3]}), ("MatMul", "q,k", "y", {})],
        TOKENS,
        {"s": ints(0, 5, 2, 2), "k": floats(2, 2)},
    ),
}


SQUARE, COLUMNS = floats(6, 6), np.abs(floats(6)) + 1
OF_CONSTANTS = {
    **{kind: [(kind, "w", "k", {})] for kind in ("Ceil", "Cos", "Erf", "Exp", "Floor", "Reciprocal", "Round", "Sign")},
    **{
        kind: [(kind, "w", "k", {})] for kind in ("Relu", "Sigmoid", "Sin", "Softplus", "Tanh", "Softmax", "LogSoftmax")
    },
    **{kind: [(kind, "w,axis", "k", {})] for kind in ("ReduceMean", "ReduceL2", "ReduceMax", "ReduceLogSumExp")},
    "all axes": [("ReduceProd", "w", "k", {"keepdims": 0})],
    "as it is": [("ReduceSum", "w", "k", {"noop_with_empty_axes": 1})],
    "Log": [("Log", "g", "k", {})],
    "Pow": [("Pow", "g,two", "k", {})],
    "Sum": [("Sum", "w,g,w", "k", {})],
    "fmod": [("Mod", "w,g", "k", {"fmod": 1})],
    "GreaterOrEqual": [("GreaterOrEqual", "w,g", "p", {}), ("Where", "p,w,g", "k", {})],
    "Clip": [("Clip", "w,lo,hi", "k", {})],
    "MatMul": [("MatMul", "w,w", "k", {})],
    "a row by a matrix": [("MatMul", "g,w", "k", {})],
    "Gemm": [("Gemm", "w,w,g", "k", {"transA": 1, "alpha": 0.5, "beta": 2.0})],
    "Softmax along the first": [("Softmax", "w", "k", {"axis": 0})],
    "a weight by its norm": [("ReduceL2", "w,axis", "n", {}), ("Div", "w,n", "d", {}), ("Mul", "d,g", "k", {})],
}


@pytest.mark.parametrize("name", OF_CONSTANTS)
def test_what_is_of_constants_alone_is_computed_when_it_is_loaded(name, tmp_path):
    """No op read constants alone: a net whose exporter folds nothing was refused."""
    arrays = {"w": SQUARE, "g": COLUMNS, "axis": ints(0), "two": np.float32(1.5)}
    arrays |= {"lo": np.float32(-0.5), "hi": np.float32(0.7)}
    model = graph([*OF_CONSTANTS[name], ("Mul", "x,k", "y", {})], (6, 6), arrays)
    x = floats(2, 6, 6)
    (expected,) = run_by_onnxruntime(model.SerializeToString(), [x])
    np.testing.assert_allclose(loaded(model, tmp_path).predict(x), expected, rtol=1e-5, atol=1e-5)


def test_a_product_of_constants_is_the_kernel_of_a_dense(tmp_path):
    nodes = [("MatMul", "a,b", "low", {}), ("Add", "w,low", "k", {}), ("MatMul", "x,k", "y", {})]
    low = {"a": floats(6, 2), "b": floats(2, 6)}
    again = loaded(graph(nodes, ROW, {"w": SQUARE, **low}), tmp_path)
    assert [type(layer).__name__ for layer in again.layers] == ["InputLayer", "Dense"]
    np.testing.assert_allclose(again.layers[-1].kernel.numpy(), SQUARE + low["a"] @ low["b"], rtol=1e-5, atol=1e-6)
    wide = graph(
        [("MatMul", "c,r", "k", {}), ("Add", "x,k", "y", {})], ROW, {"c": floats(5000, 1), "r": floats(1, 5000)}
    )
    with pytest.raises(FileError, match="up to 16,777,216 elements"):
        loaded(wide, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_a_node_gives_what_onnxruntime_gives(name, tmp_path):
    model = CASES[name]
    sizes = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = 3 * floats(2, *sizes)
    (expected,) = run_by_onnxruntime(model.SerializeToString(), [x])
    found = loaded(model, tmp_path).predict(x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_rows_of_a_table_are_an_embedding(tmp_path):
    table = floats(9, 3)
    model = graph([("Gather", "t,x", "y", {})], (4,), {"t": table}, kind=TensorProto.INT64)
    again = loaded(model, tmp_path)
    ids = rng.integers(0, 9, (2, 4))
    assert np.array_equal(again.predict(ids), table[ids])
    assert type(again.layers[-1]).__name__ == "Embedding"


def test_a_product_and_its_bias_are_one_dense(tmp_path):
    kinds = [type(layer).__name__ for layer in loaded(CASES["matmul and bias"], tmp_path).layers]
    assert kinds == ["InputLayer", "Dense"]


def test_open_sizes_are_settled_when_it_is_loaded(tmp_path):
    nodes = [("Shape", "x", "s", {}), ("Mul", "s,two", "t", {}), ("Slice", "t,one,two,zero", "e", {}),
             ("Slice", "x,zero,e,one", "y", {})]  # fmt: skip
    model = graph(nodes, ("length",), {"zero": ints(0), "one": ints(1), "two": ints(2)})
    with pytest.raises(FileError, match="ends must stand in the file; Slice .*load it with size="):
        loaded(model, tmp_path)
    assert loaded(model, tmp_path, 5).input_shape == (None, 5)


def test_ops_that_are_not_read_are_named_in_one_error(tmp_path):
    model = graph(
        [("NonZero", "x", "p", {}), ("LSTM", "x,w,w", "q", {}), ("Det", "x", "y", {})], ROW, {"w": floats(1, 4, 3)}
    )
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=r"the file has Det \(1\), LSTM \(1\), NonZero \(1\); known are Abs, "):
        tr.onnx.load(tmp_path / "net.onnx")


REFUSED = [
    ("the batch stays an axis", one("Concat", ROW, {"c": floats(1, 6)}, axis=0)),
    ("the batch stays an axis", one("Flatten", IMAGE, axis=2)),
    ("the batch stays an axis", one("ReduceSum", ROW)),
    ("a bias has a number per column", one("Gemm", ROW, {"w": floats(6, 5), "b": floats(5, 1)})),
    ("its parts make up the whole of 6", graph([("Split", "x,s", "y,z", {"axis": 1})], ROW, {"s": ints(2, 9)})),
    ("its parts make up the whole of 6", graph([("Split", "x,s", "y,z", {"axis": 1})], ROW, {"s": ints(-1, 7)})),
    ("a shape has one -1 at most", one("Reshape", ROW, {"s": ints(-1, -1)})),
    ("each of its operands is there", graph([("Max", ",c", "m", {}), ("Add", "x,m", "y", {})], ROW, {"c": floats(6)})),
    (
        "one of its inputs must come from the data",
        graph(
            [("Einsum", "c,c", "k", {"equation": "ij,jk->ik"}), ("MatMul", "x,k", "y", {})], ROW, {"c": floats(6, 6)}
        ),
    ),
    (
        "one is taken by SequenceAt",
        graph([("SplitToSequence", "x,w", "s", {"axis": 1}), ("Relu", "s", "y", {})], ROW, {"w": ints(2, 4)}),
    ),
    (
        "up to 1,024 parts",
        graph(
            [("SplitToSequence", "x,w", "s", {"axis": 1}), ("SequenceAt", "s,i", "y", {})],
            (2000,),
            {"w": np.array(1), "i": np.array(1)},
        ),
    ),
    ("rows are samples", one("Gemm", ROW, {"w": floats(6, 5)}, transA=1)),
    (
        "enlarged by whole numbers",
        one("Resize", IMAGE, {"r": floats(0), "s": np.array([1, 1, 0.5, 2], np.float32)}),
    ),
    ("convolutions are over images", one("Conv", (3, 4, 5, 6), {"w": floats(2, 3, 1, 1, 1)})),
    ("padding is by one value", one("Pad", ROW, {"p": ints(0, 1, 0, 1)}, mode="reflect")),
    ("the odd pixel stands below", one("Conv", IMAGE, {"w": KERNEL}, auto_pad="SAME_LOWER")),
    ("the sizes in a file must fit one another", one("MatMul", ROW, {"w": floats(5, 5)})),
    ("opsets 7 to", one("Relu", ROW, opset=3)),
    ("must come from the data", graph([("Elu", "c", "y", {})], ROW, {"c": floats(3)})),
    ("an output comes from the data", graph([("Relu", "c", "y", {})], ROW, {"c": floats(3)})),
    ("floats or integers of 32 or 64 bits", graph([("Relu", "x", "y", {})], ROW, kind=TensorProto.FLOAT16)),
    ("a sample has up to", graph([("Relu", "x", "y", {})], (1 << 20, 1 << 20))),
]


@pytest.mark.parametrize("said, model", REFUSED, ids=[said for said, _ in REFUSED])
def test_what_is_not_read_of_an_op_is_told(said, model, tmp_path):
    with pytest.raises(FileError, match=r"\[onnx.load\] .*" + said):
        loaded(model, tmp_path)


def test_functions_of_the_file_are_written_out(tmp_path):
    twice = helper.make_function(
        "own", "Twice", ["a"], ["c"], [helper.make_node("Add", ["a", "a"], ["c"])], [helper.make_opsetid("", 18)]
    )
    nodes = [helper.make_node("Twice", ["x"], ["y"], domain="own")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6])]
    model = helper.make_model(
        helper.make_graph(nodes, "net", inputs, outputs),
        functions=[twice],
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
    )
    onnx.checker.check_model(model)
    x = floats(2, 6)
    assert np.array_equal(loaded(model, tmp_path).predict(x), 2 * x)
