"""Training that goes on from a file, bit for bit: at the end of an epoch and within one."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.ops.random import default_generator

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 30)


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


OPTIMIZERS = {
    "sgd": lambda: tr.optim.SGD(lr=0.05, momentum=0.9, nesterov=True, clip_norm=1.0),
    "adam": lambda: tr.optim.Adam(lr=0.01),
    "adamw": lambda: tr.optim.AdamW(lr=0.01, betas=(0.8, 0.99)),
}


def trained(optimizer="adam", epochs=2, dropout_seed=None, **options):
    tr.manual_seed(0)
    inputs = tr.Input(shape=(4,))
    x = layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs))
    x = layers.Dropout(0.3, seed=dropout_seed)(x)
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **options)
    return model


def resume(model, **options):
    return model.fit(X, Y, batch_size=8, epochs=4, initial_epoch=model.epoch, verbose=0, **options)


@pytest.mark.parametrize("dropout_seed", [None, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_training_is_the_same_bit_for_bit(optimizer, dropout_seed, tmp_path):
    model = trained(optimizer, dropout_seed=dropout_seed)
    model.save(tmp_path / "m.npz")
    history = resume(model)
    expected = bits(model), history.history, default_generator().state.array.tolist()
    tr.manual_seed(99)
    loaded = tr.load(tmp_path / "m.npz")
    assert loaded.epoch == 2
    again = resume(loaded)
    assert (bits(loaded), again.history, default_generator().state.array.tolist()) == expected


@pytest.mark.parametrize("at", [0, 1, 5, 6, 7])
def test_training_resumes_within_an_epoch(at, tmp_path):
    class Save(tr.callbacks.Callback):
        steps = 0
        logs = []

        def on_batch_end(self, step, logs):
            if self.steps == at:
                self.model.save(tmp_path / "m.npz")
            self.steps += 1

        def on_epoch_end(self, epoch, logs):
            self.logs.append(logs)

    expected = trained(epochs=4, callbacks=[Save()])
    tr.load(tmp_path / "m.npz").save(tmp_path / "again.npz")
    loaded = tr.load(tmp_path / "again.npz")
    history = resume(loaded)
    assert bits(loaded) == bits(expected)
    assert loaded.epoch == 4 and history.epoch == list(range(at // 4, 4))
    for name, values in history.history.items():
        assert values == [logs[name] for logs in Save.logs[at // 4 :]]
    assert loaded.optimizer.steps == expected.optimizer.steps == 16


def test_frozen_layers_stay_frozen(tmp_path):
    model = trained()
    model.get_layer("dense").trainable = False
    model.get_layer("dense_1").bias.trainable = False
    model.save(tmp_path / "m.npz")
    loaded = tr.load(tmp_path / "m.npz")
    assert not loaded.get_layer("dense").trainable and loaded.get_layer("dense_1").trainable
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    for each in (loaded, model):
        tr.manual_seed(5)
        resume(each)
    assert bits(loaded) == bits(model)


def test_a_loss_of_ones_own_is_given_again(tmp_path):
    def loss(prediction, target):
        return ((prediction - target) ** 2.0).mean()

    def make():
        tr.manual_seed(0)
        model = tr.Sequential([tr.Input(shape=(4,)), layers.Dense(1)])
        model.compile(tr.optim.Adam(lr=0.1), loss)
        return model

    target = X.sum(axis=1, keepdims=True)
    model = make()
    model.fit(X, target, verbose=0, epochs=2)
    model.save(tmp_path / "m.npz")
    model.fit(X, target, verbose=0, epochs=3, initial_epoch=2)
    loaded = tr.load(tmp_path / "m.npz")
    with pytest.raises(ArgumentError, match=r"\[fit\] the model is not compiled"):
        loaded.fit(X, target, verbose=0)
    loaded.compile(loaded.optimizer, loss)
    loaded.fit(X, target, verbose=0, epochs=3, initial_epoch=2)
    assert bits(loaded) == bits(model)


def test_load_weights_into_a_twin(tmp_path):
    model, twin = trained(), trained("sgd", epochs=1)
    assert bits(model) != bits(twin)
    model.save(tmp_path / "m.npz")
    steps = twin.optimizer.steps
    twin.load_weights(tmp_path / "m.npz")
    assert bits(model) == bits(twin) and twin.optimizer.steps == steps
