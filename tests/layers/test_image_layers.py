"""Layers of images: shapes, weights and their order as in Keras, values, files, training, traces, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 7, 6, 4)).astype("float32")

# Layer, shape of the output for (2, 7, 6, 4), shapes of the weights: what Keras 3 gives.
LAYERS = {
    "conv": (lambda: layers.Conv2D(5, 3), (2, 5, 4, 5), [(3, 3, 4, 5), (5,)]),
    "conv same": (lambda: layers.Conv2D(5, (2, 3), 2, "same"), (2, 4, 3, 5), [(2, 3, 4, 5), (5,)]),
    "conv padded": (lambda: layers.Conv2D(5, 3, padding=((1, 2), (0, 1))), (2, 8, 5, 5), [(3, 3, 4, 5), (5,)]),
    "conv groups": (lambda: layers.Conv2D(6, 3, groups=2, use_bias=False), (2, 5, 4, 6), [(3, 3, 2, 6)]),
    "conv spread": (
        lambda: layers.Conv2D(5, 3, dilation_rate=2, activation="tanh"),
        (2, 3, 2, 5),
        [(3, 3, 4, 5), (5,)],
    ),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (2, 5, 4, 8), [(3, 3, 4, 2), (8,)]),
    "separable": (
        lambda: layers.SeparableConv2D(5, 3, padding="same", activation="relu"),
        (2, 7, 6, 5),
        [(3, 3, 4, 1), (1, 1, 4, 5), (5,)],
    ),
    "transposed": (lambda: layers.Conv2DTranspose(3, 3, strides=2), (2, 15, 13, 3), [(3, 3, 3, 4), (3,)]),
    "transposed same": (lambda: layers.Conv2DTranspose(3, 3, 2, "same"), (2, 14, 12, 3), [(3, 3, 3, 4), (3,)]),
    "transposed more": (
        lambda: layers.Conv2DTranspose(3, 3, 2, "same", output_padding=1),
        (2, 14, 12, 3),
        [(3, 3, 3, 4), (3,)],
    ),
    "transposed apart": (lambda: layers.Conv2DTranspose(3, 2, strides=3), (2, 21, 18, 3), [(2, 2, 3, 4), (3,)]),
    "max": (lambda: layers.MaxPooling2D(), (2, 3, 3, 4), []),
    "max same": (lambda: layers.MaxPool2D(3, 2, "same"), (2, 4, 3, 4), []),
    "average": (lambda: layers.AveragePooling2D((2, 3), strides=1), (2, 6, 4, 4), []),
    "global average": (lambda: layers.GlobalAveragePooling2D(), (2, 4), []),
    "global max": (lambda: layers.GlobalMaxPooling2D(keepdims=True), (2, 1, 1, 4), []),
    "upsampling": (lambda: layers.UpSampling2D((2, 3)), (2, 14, 18, 4), []),
    "zeros": (lambda: layers.ZeroPadding2D((1, 2)), (2, 9, 10, 4), []),
    "cropping": (lambda: layers.Cropping2D(((1, 2), (0, 1))), (2, 4, 5, 4), []),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_weights_and_files(name, tmp_path):
    make, shape, weights = LAYERS[name]
    inputs = tr.Input(shape=IMAGES.shape[1:])
    outputs = make()(inputs)
    assert outputs.shape == (None, *shape[1:])
    model = tr.Model(inputs, outputs)
    assert [w.shape for w in model.get_weights()] == weights
    y = model(IMAGES).numpy()
    assert y.shape == shape
    model.save(tmp_path / "model.npz")
    again = tr.load(tmp_path / "model.npz")
    assert again(IMAGES).numpy().tobytes() == y.tobytes()
    assert again.layers[-1].config() == model.layers[-1].config()


def test_defaults_are_those_of_keras():
    config = layers.Conv2D(8, 3).config()
    del config["kernel_regularizer"], config["bias_regularizer"], config["name"]
    assert config == {
        "filters": 8, "kernel_size": (3, 3), "strides": (1, 1), "padding": "valid", "data_format": "channels_last",
        "dilation_rate": (1, 1), "groups": 1, "activation": None, "use_bias": True,
        "kernel_initializer": "glorot_uniform", "bias_initializer": "zeros",
    }  # fmt: skip
    assert layers.MaxPooling2D().config()["strides"] == (2, 2)


@pytest.mark.parametrize(("initializer", "variance"), [("he_normal", 2 / (9 * 64)), ("glorot_uniform", 2 / (9 * 128))])
def test_initialisers_count_the_receptive_field(initializer, variance):
    layer = layers.Conv2D(64, 3, kernel_initializer=initializer)
    layer(tr.zeros((1, 3, 3, 64)))
    assert layer.kernel.numpy().var() == pytest.approx(variance, rel=0.05)


def test_depthwise_and_separable_by_their_definition():
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")
    y = depthwise(IMAGES).numpy()
    for channel in range(4):
        kernel = depthwise.kernel.numpy()[:, :, channel : channel + 1]
        alone = tr.conv2d(IMAGES[..., channel : channel + 1], kernel, padding="same", activation="relu").numpy()
        np.testing.assert_allclose(y[..., 2 * channel : 2 * channel + 2], alone, rtol=1e-5, atol=1e-6)
    separable = layers.SeparableConv2D(5, 3, use_bias=False)
    y = separable(IMAGES).numpy()
    whole = np.einsum(
        "ijcm,cmo->ijco", separable.depthwise_kernel.numpy(), separable.pointwise_kernel.numpy()[0, 0, :, None]
    )
    np.testing.assert_allclose(y, tr.conv2d(IMAGES, whole).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_transposed_layer_is_the_transpose(padding, stride):
    layer = layers.Conv2DTranspose(3, (3, 2), strides=stride, padding=padding, use_bias=False)
    large = layer(IMAGES)
    image = RNG.normal(size=large.shape).astype("float32")
    small = tr.conv2d(image, layer.kernel, strides=stride, padding=padding).numpy()
    assert small.shape == IMAGES.shape
    assert float((small * IMAGES).sum()) == pytest.approx(float((large.numpy() * image).sum()), rel=1e-4)


def test_a_causal_convolution_of_steps_sees_no_later_one():
    layer = layers.Conv1D(3, 3, padding="causal", dilation_rate=2, activation="relu")
    steps = RNG.normal(size=(2, 9, 4)).astype("float32")
    y = layer(steps).numpy()
    assert y.shape == (2, 9, 3)
    padded = np.pad(steps, ((0, 0), (4, 0), (0, 0)))
    expected = sum(padded[:, 2 * i : 2 * i + 9] @ layer.kernel.numpy()[i] for i in range(3))
    np.testing.assert_allclose(y, np.maximum(expected, 0), rtol=1e-5, atol=1e-5)
    later = steps.copy()
    later[:, 5:] += 1
    np.testing.assert_array_equal(layer(later).numpy()[:, :5], y[:, :5])


def residual_net(filters=4):
    inputs = tr.Input(shape=(8, 8, 1))
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(inputs)
    for i, stride in enumerate((1, 1, 2)):
        with tr.name_scope(f"block{i}"):
            shortcut = x
            x = layers.Conv2D(filters * stride, 3, stride, "same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
            x = layers.Conv2D(filters * stride, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            if stride > 1:
                shortcut = layers.Conv2D(filters * stride, 1, stride, use_bias=False)(shortcut)
            x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.MaxPooling2D(2)(x)
    return tr.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def digits(count):
    (x, y), _ = tr.data.load_digits()
    return x[:count].reshape(-1, 8, 8, 1), y[:count]


def test_a_residual_net_of_images_learns_captured_as_eager():
    x, y = digits(64)
    losses = []
    for capture in (True, False):
        tr.manual_seed(0)
        model = residual_net()
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        losses.append(model.fit(x, y, batch_size=16, epochs=4, verbose=0, capture=capture).history["loss"])
    assert losses[0] == losses[1]
    assert losses[0][-1] < 0.8 * losses[0][0]


def test_a_trace_of_images_needs_no_special_case():
    x, y = digits(32)
    model = residual_net()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    trace = model.graph(x, y).trace(audit="full", paths=True)
    assert trace.audit().ok, trace.audit().failures
    assert [block.name for block in trace.blocks] == ["block0", "block1", "block2"]
    assert [edge.kind for edge in trace.fork("block0").edges].count("skip") == 1
    assert sum(trace.paths().shares) == pytest.approx(1, abs=1e-3)
    assert trace["block0/conv2d"].params["kernel"].fans == (36, 36)


ERRORS = [
    (
        lambda: layers.Conv2D(4, 3, data_format="channels_first"),
        ArgumentError,
        "[Conv2D] images are (n, height, width, channels); got data_format='channels_first'; transpose them once, as "
        "in "
        "x.transpose(0, 2, 3, 1), and leave it out",
    ),
    (
        lambda: layers.MaxPooling2D(data_format="channels_first"),
        ArgumentError,
        "[MaxPooling2D] images are (n, height, width, channels); got data_format='channels_first'; transpose them "
        "once, "
        "as in x.transpose(0, 2, 3, 1), and leave it out",
    ),
    (
        lambda: layers.Conv2D(0, 3),
        ArgumentError,
        "[Conv2D] filters is a count from 1 on; got 0; give an integer",
    ),
    (
        lambda: layers.Conv2D(5, 3, groups=2),
        ArgumentError,
        "[Conv2D] groups must divide filters; got 2 groups for 5 filters; choose a divisor of it",
    ),
    (
        lambda: layers.Conv2D(6, 3, groups=3, name="c")(IMAGES),
        ShapeError,
        "[Conv2D] c: groups must divide the channels; got 3 groups for images of shape (2, 7, 6, 4); choose a divisor "
        "of 4",
    ),
    (
        lambda: layers.Conv2D(6, 3, name="c")(IMAGES[0]),
        ShapeError,
        "[Conv2D] c takes a batch of shape (n, height, width, channels); got shape (7, 6, 4); add the missing axes, as "
        "in "
        "x[..., None] for one channel",
    ),
    (
        lambda: layers.Conv2D(6, 9)(tr.Input(shape=(8, 8, 1))),
        ShapeError,
        "[conv2d] an image must be at least as large as the window: got images of 8 x 8 for windows of 9 x 9; give "
        "larger "
        'images, a smaller window or padding="same"',
    ),
    (
        lambda: layers.Conv1D(6, 3, padding=2),
        ArgumentError,
        '[Conv1D] padding is "valid", "same" or "causal"; got 2; choose one of them',
    ),
    (
        lambda: layers.UpSampling2D(interpolation="bilinear"),
        ArgumentError,
        "[UpSampling2D] interpolation is \"nearest\"; got 'bilinear'; use that, or a Conv2DTranspose",
    ),
    (
        lambda: layers.Cropping2D(4, name="c")(IMAGES),
        ShapeError,
        "[Cropping2D] c must leave a pixel; got images of 7 x 6 for ((4, 4), (4, 4)); crop less",
    ),
    (
        lambda: layers.GlobalAveragePooling2D(name="g")(IMAGES[0]),
        ShapeError,
        "[GlobalAveragePooling2D] g takes images (n, height, width, channels); got shape (7, 6, 4); add the missing "
        "axes",
    ),
    (
        lambda: layers.BatchNormalization(axis=1, name="b")(IMAGES),
        ArgumentError,
        "[BatchNormalization] b takes the features in the last axis; got axis=1 for shape (2, 7, 6, 4); transpose "
        "once, by "
        "layers.Permute before it, and leave axis out",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_message(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


def test_other_images_than_it_was_built_for_are_refused():
    layer = layers.Conv2D(2, 3, name="c")
    layer(IMAGES)
    with pytest.raises(
        ShapeError, match=r"c was built for 4 channels, \(n, height, width, channels\); got shape \(1, 7, 6"
    ):
        layer(IMAGES[:1, :, :, :3])


def test_scaling_layers_take_images_channel_by_channel():
    images = RNG.integers(0, 256, (5, 4, 3, 3)).astype(np.uint8)
    scaled = layers.Rescaling(1 / 255, offset=-0.5)(images).numpy()
    assert np.allclose(scaled, images / 255 - 0.5, atol=1e-6)
    norm = layers.Normalization()
    norm.adapt(images)
    assert norm.mean_weight.shape == (3,)
    mean, deviation = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    assert np.allclose(norm(images).numpy(), (images - mean) / deviation, atol=1e-5)
    whole = layers.Normalization(axis=None)
    whole.adapt(images)
    assert np.allclose(whole(images).numpy(), (images - images.mean()) / images.std(), atol=1e-5)
    with pytest.raises(ShapeError, match=r"was built for 3 features in the last axis; got shape \(5, 4, 3, 1\)"):
        norm.adapt(images[..., :1])
