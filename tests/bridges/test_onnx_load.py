"""Models out of ONNX files: the same outputs, layers that can be trained, blocks that a trace knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_nets import PRESETS, WHOLE, data_for, predicted, single
from test_onnx_export import BEHIND_A_CONVOLUTION, IMAGES, SEQUENCES

import tinyres as tr
from tinyres import layers

pytest.importorskip("onnx")

TEXTS = {name for name in WHOLE if name.startswith(("gpt", "encoder"))}


def there_and_back(model, folder, size=None):
    tr.onnx.export(model, folder / "net.onnx")
    return tr.onnx.load(folder / "net.onnx", size)


def assert_same(model, again, size=6):
    given = data_for(model, 3, size)
    for mine, theirs in zip(predicted(model, given), predicted(again, given), strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(theirs, mine, atol=1e-5 * max(1.0, float(np.abs(mine).max())), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", {**PRESETS, **WHOLE})
def test_nets_come_back_as_they_were(name, tmp_path):
    tr.manual_seed(0)
    model = {**PRESETS, **WHOLE}[name]()
    again = there_and_back(model, tmp_path, 6 if name in TEXTS else None)
    assert_same(model, again)
    if name not in TEXTS:  # there positions are cut to the size, and a tied table is read twice
        assert again.count_params() == model.count_params()


@pytest.mark.parametrize("name", IMAGES)
def test_layers_of_images_come_back(name, tmp_path):
    model = single(IMAGES[name], 6, 5, 4)
    assert_same(model, there_and_back(model, tmp_path))


@pytest.mark.parametrize("name", BEHIND_A_CONVOLUTION)
def test_layers_behind_a_convolution_come_back(name, tmp_path):
    model = single(lambda x: BEHIND_A_CONVOLUTION[name](layers.Conv2D(8, 3)(x)), 6, 5, 4)
    assert_same(model, there_and_back(model, tmp_path))


@pytest.mark.parametrize("name", SEQUENCES)
def test_layers_of_sequences_come_back(name, tmp_path):
    model = single(SEQUENCES[name], 6, 4)
    assert_same(model, there_and_back(model, tmp_path))


def test_names_weights_and_blocks_are_those_of_before(tmp_path):
    model = PRESETS["he2015"]()
    again = there_and_back(model, tmp_path)
    weights, same = model.named_weights(), again.named_weights()
    assert list(weights) == list(same)
    assert all(np.array_equal(weights[name].numpy(), same[name].numpy()) for name in weights)
    x, y = data_for(model, 16)[0], np.arange(16) % 5
    one, two = (net.graph(x, y, "sparse_categorical_crossentropy", training=False).trace() for net in (model, again))
    assert [block.name for block in two.blocks] == ["block0", "block1"]
    for mine, theirs in zip(one.blocks, two.blocks):
        assert theirs.grad_norm == pytest.approx(mine.grad_norm, rel=1e-5)
        assert theirs.skip == pytest.approx(mine.skip, rel=1e-4)


def test_a_loaded_net_trains(tmp_path):
    (x, y), _ = tr.data.load_digits()
    images = x[:400].reshape(-1, 8, 8, 1)
    tr.manual_seed(0)
    model = tr.applications.resnet(20, classes=10, input_shape=(8, 8, 1), width=8)
    again = there_and_back(model, tmp_path)
    again.compile(tr.optim.Adam(lr=0.01), "sparse_categorical_crossentropy", ["accuracy"])
    history = again.fit(images, y[:400], epochs=4, verbose=0).history
    assert history["accuracy"][-1] > 0.8
    assert {"stem/conv2d", "stage2/block2/add", "classes"} <= set(again.named_layers())
    assert [e.kind for e in again.graph(images[:32], y[:32]).trace().fork("stage0/block0").edges] == ["branch", "skip"]
    again.save(tmp_path / "net.npz")
    kept = tr.load(tmp_path / "net.npz").predict(images[:8])
    assert np.array_equal(kept, again.predict(images[:8]))


def test_a_parameter_of_an_operator_stays_one_and_a_number_of_the_program_does_not(tmp_path):
    rezero = there_and_back(PRESETS["rezero"](), tmp_path)
    assert sum("scale" in name for name in rezero.named_parameters()) == 2
    inputs = tr.Input(shape=(4,), name="x")
    halved = there_and_back(tr.Model(inputs, layers.Dense(4)(inputs) * 0.5), tmp_path)
    assert sorted(halved.named_parameters()) == ["dense/bias", "dense/kernel"]


def test_float64_and_integer_inputs(tmp_path):
    model = PRESETS["plain"]().astype("float64")
    again = there_and_back(model, tmp_path)
    x = data_for(model, 3)[0]
    assert again.predict(x).dtype == np.float64
    np.testing.assert_allclose(again.predict(x), model.predict(x), rtol=1e-12)
    inputs = tr.Input(shape=(5,), dtype="int64", name="ids")
    words = tr.Model(inputs, layers.Embedding(7, 3, name="table")(inputs))
    again = there_and_back(words, tmp_path)
    assert again.get_layer("table").embeddings.shape == (7, 3)
    assert_same(words, again)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_net_of_pytorch_comes_with_its_blocks(tmp_path):
    torch = pytest.importorskip("torch")
    from exported_nets import Images

    torch.manual_seed(0)
    net = Images()
    net(torch.randn(16, 3, 12, 12))  # statistics that are not those of a new net
    x = torch.randn(4, 3, 12, 12)
    torch.onnx.export(
        net.train(),
        (x,),
        str(tmp_path / "net.onnx"),
        dynamo=False,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        input_names=["image"],
        dynamic_axes={"image": {0: "batch"}},
    )
    model = tr.onnx.load(tmp_path / "net.onnx")
    with torch.no_grad():
        expected = net.eval()(x).numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, atol=1e-5)
    assert "layer1/0/conv1" in model.named_layers()
    trace = model.graph(x.numpy(), [0, 1, 2, 3], tr.losses.softmax_cross_entropy).trace()
    assert [block.name for block in trace.blocks] == ["layer1/0", "layer1/1"] and trace.audit().ok
    assert all(block.skip is not None for block in trace.blocks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit"])
def test_nets_of_torchvision_give_the_same(name, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "torch_ledger"))
    models = pytest.importorskip("torch_nets").torchvision().models
    torch.manual_seed(0)
    small = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    net = models.VisionTransformer(**small) if name == "vit" else getattr(models, name)(weights=None)
    for weight in net.parameters():  # some are zeros in a new net
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.05)
    x = torch.randn(2, 3, 32, 32)
    dynamic = {"image": {0: "batch"}}
    torch.onnx.export(
        net.eval(), (x,), str(tmp_path / "net.onnx"), dynamo=False, input_names=["image"], dynamic_axes=dynamic
    )
    expected = net(x).detach().numpy()
    found = tr.onnx.load(tmp_path / "net.onnx").predict(x.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, float(np.abs(expected).max())), rtol=0)
