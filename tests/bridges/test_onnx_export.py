"""Exported models run in onnxruntime and give the same, for any batch; names tell which layer a node belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_nets import PRESETS, WHOLE, data_for, moved, predicted, run_by_onnxruntime, single

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, FileError

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from tinyres.onnx.exporting import proto_of

NETS = {**PRESETS, **WHOLE}
IMAGES = {
    "depthwise": layers.DepthwiseConv2D(3, 2, "same"),
    "separable": layers.SeparableConv2D(5, 3),
    "transposed, same": layers.Conv2DTranspose(3, 3, 2, "same"),
    "transposed, valid": layers.Conv2DTranspose(3, 2, 3, activation="tanh"),
    "dilated groups": layers.Conv2D(8, 2, padding="same", dilation_rate=2, groups=2, activation="relu"),
    "average": layers.AveragePooling2D(3, 2, "same"),
    "maximum": layers.MaxPooling2D(3, 2, "same"),
    "upsampling": layers.UpSampling2D((2, 3)),
    "cropping": layers.Cropping2D(1),
    "padding": layers.ZeroPadding2D(((1, 0), (2, 1))),
    "groups": layers.GroupNormalization(2),
    "maximum of all": layers.GlobalMaxPooling2D(),
    "batch": layers.BatchNorm(),
    "permuted": layers.Permute((3, 1, 2)),
    "flat": layers.Flatten(),
}
BEHIND_A_CONVOLUTION = {
    "rows": layers.LayerNormalization(),
    "slopes": layers.PReLU(),
    "softmax": layers.Softmax(),
    "flat": layers.Flatten(),
    "with itself": lambda x: layers.Concatenate()([x, x * 2.0]),
    "gated": lambda x: x * tr.mean(x, axis=(1, 2), keepdims=True),
    "padded": layers.ZeroPadding2D(1),
    "turned": layers.Permute((2, 3, 1)),
}
SEQUENCES = {
    "convolution": layers.Conv1D(5, 3),
    "mean": layers.GlobalAveragePooling1D(),
    "attention": lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    "batch": layers.BatchNorm(),
    "groups": layers.GroupNormalization(2),
    "square": layers.RMSNormalization(),
    "pairs": lambda x: tr.einsum("bij,bkj->bik", x, x),
    "first tokens": lambda x: x[:, :2, None],
    "stacked": lambda x: tr.stack([x, x * 2.0], axis=1),
    "sum so far": lambda x: tr.cumsum(x, axis=1),
}


def assert_same(model, size=6, tolerance=1e-5, fixed=None):
    proto = proto_of(model, fixed)
    for samples in (1, 3):
        given = data_for(model, samples, fixed or size)
        found = run_by_onnxruntime(proto.SerializeToString(), given)
        for mine, theirs in zip(predicted(model, given), found, strict=True):
            scale = max(1.0, float(np.abs(mine).max()))
            assert mine.shape == theirs.shape and np.abs(mine - theirs).max() <= tolerance * scale
    return proto


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_nets_of_the_literature_run_in_onnxruntime(name):
    tr.manual_seed(0)
    assert_same(NETS[name]())


@pytest.mark.parametrize("name", ["he2015", "basic"])
def test_a_block_runs_in_onnxruntime(name):
    assert_same(NETS[name]())


@pytest.mark.parametrize("name", IMAGES)
def test_layers_of_images(name):
    assert_same(single(IMAGES[name], 6, 5, 4))


@pytest.mark.parametrize("name", BEHIND_A_CONVOLUTION)
def test_layers_behind_a_convolution(name):
    assert_same(single(lambda x: BEHIND_A_CONVOLUTION[name](layers.Conv2D(8, 3)(x)), 6, 5, 4))


@pytest.mark.parametrize("name", SEQUENCES)
def test_layers_of_sequences_of_any_length(name):
    proto = assert_same(single(SEQUENCES[name], None, 4), size=9)
    assert [d.dim_param for d in proto.graph.input[0].type.tensor_type.shape.dim] == ["batch", "x_1", ""]


def test_a_length_can_be_fixed():
    tables = tr.applications.transformer_encoder(3, 8, 1, 2, 8, features=4, positions="sine")
    with pytest.raises(ArgumentError, match="must be the same for every batch.*export with size="):
        proto_of(tables)
    assert_same(tables, fixed=8)


def test_nodes_are_named_by_layer_and_weights_by_parameter():
    proto = proto_of(PRESETS["residual"]())
    names = [node.name for node in proto.graph.node]
    assert names[:4] == ["stem/Gemm", "block0/dense/Gemm", "block0/dense/Relu", "block0/dense_1/Gemm"]
    assert {"stem/kernel", "block1/dense_1/bias", "answer/kernel"} <= {w.name for w in proto.graph.initializer}
    assert [x.name for x in proto.graph.input] == ["x"] and [y.name for y in proto.graph.output] == ["answer"]
    assert proto.producer_name == "tinyres" and proto.opset_import[0].version == 18


def test_images_are_turned_once():
    kinds = [node.op_type for node in proto_of(WHOLE["resnet"]()).graph.node]
    assert kinds.count("Transpose") == 1 and kinds.count("Conv") == 21


def test_several_inputs_and_outputs_and_one_that_is_an_input():
    a, b = tr.Input(shape=(3,), name="a"), tr.Input(shape=(3,), name="b", dtype="int64")
    table = layers.Embedding(5, 3, name="table")(b)
    model = moved(tr.Model([a, b], [layers.Dense(2, name="sum")(table.mean(axis=1) + a), table]))
    proto = assert_same(model)
    assert [y.name for y in proto.graph.output] == ["sum", "table"]


def test_float64_stays_float64():
    model = PRESETS["tutorial"]().astype("float64")
    given = data_for(model, 3)
    (found,) = run_by_onnxruntime(proto_of(model).SerializeToString(), given)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model.predict(given[0]), rtol=1e-6)


def test_the_file_is_one_that_onnx_reads_and_the_model_stays_as_it_is(tmp_path):
    model = single(lambda x: layers.Dense(2)(layers.Dropout(0.5)(layers.BatchNorm()(x))), 4)
    before = model.get_weights()
    tr.manual_seed(3)
    tr.onnx.export(model, tmp_path / "net.onnx")
    drawn = tr.rand(2).numpy()
    tr.manual_seed(3)
    assert np.array_equal(drawn, tr.rand(2).numpy())
    assert all(map(np.array_equal, before, model.get_weights()))
    read = onnx.load(tmp_path / "net.onnx")
    assert [node.op_type for node in read.graph.node] == ["BatchNormalization", "Gemm", "Identity"]


class Doubled(layers.Layer):
    def call(self, x):
        return tr.custom_vjp(forward=lambda t: t * 2.0, vjp=lambda g, ctx: (g,), name="doubled_for_onnx")(x)


def test_what_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"\[onnx.export\] a model is exported as the graph"):
        proto_of(tr.Model())
    with pytest.raises(ArgumentError, match=r"\[onnx.export\] a model is exported as the graph .* got <Dense"):
        tr.onnx.export(layers.Dense(3), tmp_path / "net.onnx")
    with pytest.raises(ArgumentError, match='write "net.onnx"'):
        tr.onnx.export(PRESETS["plain"](), tmp_path / "net.npz")
    with pytest.raises(FileError, match="cannot be written"):
        tr.onnx.export(PRESETS["plain"](), tmp_path / "nowhere" / "net.onnx")
    with pytest.raises(ArgumentError, match="size is an integer >= 1"):
        tr.onnx.export(PRESETS["plain"](), tmp_path / "net.onnx", size=0)
    assert list(tmp_path.iterdir()) == []


class FirstHalf(layers.Layer):
    def call(self, x):
        return x[: x.shape[0] // 2]


def test_a_part_of_the_batch_is_no_part_of_a_fixed_size():
    inputs = tr.Input(shape=(4,))
    with pytest.raises(ArgumentError, match="first_half"):
        proto_of(tr.Model(inputs, FirstHalf()(inputs)))


def test_a_model_within_a_model():
    tr.manual_seed(0)
    inputs = tr.Input(shape=(12,), name="x")
    inner = PRESETS["residual"]()
    names = [node.name for node in assert_same(tr.Model(inputs, layers.ReLU()(inner(inputs)))).graph.node]
    assert "model/block0/dense/Gemm" in names


def test_an_op_without_a_form_is_named_with_its_layer():
    inputs = tr.Input(shape=(4,))
    model = tr.Model(inputs, Doubled(name="own")(inputs))
    with pytest.raises(ArgumentError, match=r"got doubled_for_onnx \(own/doubled_for_onnx\): no form of it is known"):
        proto_of(model)
