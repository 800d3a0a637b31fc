"""Bad input to models: each a clear error with a pinned message, and nothing half-changed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from model_errors import X, Y, classifier, everything

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError


def two_inputs():
    a, b = tr.Input(shape=(4,), name="a"), tr.Input(shape=(2,), name="b")
    model = tr.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    model.compile("sgd", "mse")
    return model


def two_outputs():
    inputs = tr.Input(shape=(4,))
    model = tr.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    model.compile("sgd", "mse")
    return model


DATA_ERRORS = [
    (X, Y[:11], ShapeError, "x and y must have the same number of samples; got 12 and 11; cut one"),
    (X[:, :3], Y, ShapeError, "input takes x of shape (samples, 4); got (12, 3); this model was built for 4 features"),
    (X[0], [0], ShapeError, "input takes x of shape (samples, 4); got (4,); a single sample is x[None]"),
    (X[:, :, None], Y, ShapeError, "input takes x of shape (samples, 4); got (12, 4, 1); give one row per sample"),
    (X[:0], Y[:0], ShapeError, "there must be at least one sample; got x of shape (0, 4); give it data"),
    ([], [], ShapeError, "input takes x of shape (samples, 4); got (0,)"),
    (3.0, Y, ShapeError, "x needs an axis for the samples; got the single number 3.0; give a list"),
    (None, Y, ArgumentError, "x is needed; got None; give an array"),
    (X, None, ArgumentError, "y is needed; got None; give an array"),
    ([[1, 2], [3]], Y, ShapeError, "x must be one array; got a ragged or unreadable list; make all rows"),
    (X.astype(complex), Y, DTypeError, "x must be real numbers; got complex128 of shape (12, 4); convert it first"),
    (X.astype(str), Y, DTypeError, "x must be numbers; got strings"),
    (np.array([{}] * 12), Y, DTypeError, "x must be real numbers; got object of shape (12,)"),
    (
        X,
        np.array(["cat", "dog", "cow"] * 4),
        DTypeError,
        "y must be numbers; got strings ('cat', ...); number them with classes, y = np.unique(y, return_inverse=True)",
    ),
    (X, np.array(["cat", "dog", "cow"] * 4, object), DTypeError, "y must be numbers; got strings ('cat', ...);"),
    (X, np.where(Y == 1, np.nan, Y), ArgumentError, "y must be finite; got 4 NaN or infinite value(s), the first is"),
    (X, Y + 1, ArgumentError, "labels lie in 0..2, one for each output of the model; got 1 to 3; number"),
    (X, Y - 1, ArgumentError, "labels lie in 0..2, one for each output of the model; got -1 to 1; number"),
    (X, Y + 0.5, DTypeError, 'labels are whole numbers; got 0.5; for a regression use loss="mse"'),
    (
        X,
        np.eye(3)[Y],
        ShapeError,
        "labels have the shape (samples,); got y of shape (12, 3); for one-hot targets use "
        'loss="categorical_crossentropy", or y.argmax(axis=-1)',
    ),
    (X, X, ShapeError, "labels have the shape (samples,); got y of shape (12, 4); give one integer per sample"),
    ({"pixels": X}, Y, ArgumentError, "a dict of inputs has the keys ['input']; got ['pixels']; rename them"),
]


@pytest.mark.parametrize("case", range(len(DATA_ERRORS)))
@pytest.mark.parametrize("call", ["fit", "evaluate", "graph", "predict"])
def test_bad_data_is_told_before_anything_changes(call, case):
    x, y, error, message = DATA_ERRORS[case]
    model = classifier(metrics=["accuracy"])
    before = everything(model)
    if call == "predict":
        if x is X:
            return
        with pytest.raises(error, match=re.escape(f"[predict] {message}")):
            model.predict(x)
    else:
        with pytest.raises(error, match=re.escape(f"[{call}] {message}")):
            getattr(model, call)(x, y)
    assert everything(model) == before


TARGET_ERRORS = [
    ("mse", 2, None, X[:, :2, None], "the shape of the output, 2 per sample; got y of shape (12, 2, 1); use"),
    ("mse", 2, None, X, "y must have the shape of the output, 2 per sample; got y of shape (12, 4); give one"),
    (tr.losses.mse, 1, None, X[:, :1, None], "the shape of the output, 1 per sample; got y of shape (12, 1, 1); use"),
    ("mse", 4, None, np.where(X > 0, np.inf, X), "y must be finite; got"),
    ("binary_crossentropy", 1, "sigmoid", 2 * Y.reshape(-1, 1), "targets of a cross-entropy lie between 0 and 1; got"),
    ("categorical_crossentropy", 3, "softmax", Y, 'for integer labels use loss="sparse_categorical_crossentropy"'),
    (lambda p, t: (p - t).sum(axis=1), 1, None, X[:, :1], "must be one number; got shape (12,); end it"),
    (lambda p, t: 3.0, 1, None, X[:, :1], "must return a Tensor; got float"),
    (lambda p, t: (p @ t).mean(), 1, None, np.ones((12, 7, 2)), "[matmul]"),
]


@pytest.mark.parametrize("case", range(len(TARGET_ERRORS)))
def test_targets_must_fit_the_loss(case):
    loss, units, activation, y, message = TARGET_ERRORS[case]
    model = classifier(loss, units, activation)
    before = everything(model)
    with pytest.raises(TinyresError, match=re.escape(message)):
        model.fit(X, y, verbose=0)
    assert everything(model) == before


NAN = float("nan")
OPTION_ERRORS = [
    ({"batch_size": 0}, "[fit] batch_size is an integer >= 1; got 0; choose another"),
    ({"batch_size": -3}, "[fit] batch_size is an integer >= 1; got -3"),
    ({"batch_size": 2.5}, "[fit] batch_size is an integer >= 1; got 2.5"),
    ({"batch_size": None}, "[fit] batch_size is an integer >= 1; got None"),
    ({"epochs": -1}, "[fit] epochs is an integer >= 0; got -1"),
    ({"initial_epoch": -1}, "[fit] initial_epoch is an integer >= 0; got -1"),
    ({"watch": -1}, "[fit] watch is an integer >= 0; got -1"),
    ({"verbose": "loud"}, "[fit] verbose is \"auto\", 0 (nothing), 1 (bar) or 2 (lines); got 'loud'; choose one"),
    ({"validation_split": 1.0}, "[fit] validation_split is a fraction, 0 <= fraction < 1; got 1.0"),
    ({"validation_split": NAN}, "[fit] validation_split is a fraction, 0 <= fraction < 1; got nan"),
    ({"validation_split": 0.99}, "[fit] validation_split=0.99 of 12 sample(s) leaves 0 to train on and 12 to validate"),
    ({"validation_data": X}, "[fit] validation_data is a pair (x, y); got ndarray; write validation_data=(x, y)"),
    ({"validation_data": (X, Y[:3])}, "[fit: validation_data] x and y must have the same number of samples; got"),
    ({"callbacks": tr.callbacks.Callback()}, "[fit] callbacks come as a list; got Callback; write callbacks=[...]"),
    ({"callbacks": [print]}, "[fit] a callback is a tr.callbacks.Callback; got <built-in function print>; subclass it"),
]


@pytest.mark.parametrize("case", range(len(OPTION_ERRORS)))
def test_bad_options_are_told_before_anything_changes(case):
    options, message = OPTION_ERRORS[case]
    model = classifier()
    before = everything(model)
    with pytest.raises(ArgumentError if "validation_data" not in message else TinyresError, match=re.escape(message)):
        model.fit(X, Y, **{"verbose": 0, **options})
    assert everything(model) == before


COMPILE_ERRORS = [
    ({"loss": None}, '[compile] training needs a loss; got None; choose one, such as loss="mse"'),
    ({"loss": "cross"}, "[loss] known names are sparse_categorical_crossentropy, "),
    ({"optimizer": "lion"}, "[compile] an optimizer is one of ['adam', 'adamw', 'nadam', 'rmsprop', 'sgd'] or made by"),
    ({"optimizer": tr.optim.SGD}, "[compile] an optimizer is an object; got the class SGD; write SGD(lr=...)"),
    ({"optimizer": 0.1}, "[compile] an optimizer is one of"),
    ({"metrics": "accuracy"}, "[compile] metrics come as a list; got 'accuracy'; write metrics=[\"accuracy\"]"),
    ({"metrics": ["f1"]}, "[compile] a metric is one of ['acc', 'accuracy', 'auc', "),
    ({"metrics": ["mae", "mae"]}, "[compile] metrics have different names, and none is named loss; got ['mae', 'mae']"),
]


@pytest.mark.parametrize("case", range(len(COMPILE_ERRORS)))
def test_compile_errors(case):
    options, message = COMPILE_ERRORS[case]
    model = classifier()
    before = model.optimizer, model.loss
    with pytest.raises(TinyresError, match=re.escape(message)):
        model.compile(**{"loss": "sparse_categorical_crossentropy", **options})
    assert (model.optimizer, model.loss) == before


def test_a_loss_of_logits_after_a_softmax_is_told_at_compile():
    with pytest.raises(ArgumentError, match=r"\[softmax_cross_entropy\] takes logits, and the model ends in a softmax"):
        classifier(tr.losses.softmax_cross_entropy)


def test_an_optimizer_belongs_to_one_model():
    optimizer = tr.optim.SGD(lr=0.1)
    inputs = tr.Input(shape=(4,))
    models = [tr.Model(inputs, layers.Dense(1)(inputs)) for _ in range(2)]
    models[0].compile(optimizer, "mse")
    with pytest.raises(ArgumentError, match=r"\[compile\] an optimizer belongs to one model; got one that moves 2"):
        models[1].compile(optimizer, "mse")


def test_use_before_compile():
    inputs = tr.Input(shape=(4,))
    model = tr.Model(inputs, layers.Dense(3)(inputs))
    for call in ("fit", "evaluate"):
        with pytest.raises(ArgumentError, match=rf"\[{call}\] the model is not compiled; got no loss; call"):
            getattr(model, call)(X, Y)


def test_nothing_to_train():
    model = classifier()
    for layer in model.layers:
        layer.trainable = False
    with pytest.raises(ArgumentError, match=r"\[fit\] there must be something to train; got a model without trainable"):
        model.fit(X, Y, verbose=0)


def test_several_inputs_and_outputs():
    model = two_inputs()
    y = np.ones((12, 1))
    for x, message in [
        (X, "[fit] this model takes a list of 2 arrays, one per input: ['a', 'b']; got ndarray; give"),
        ([X], "[fit] this model takes a list of 2 arrays, one per input: ['a', 'b']; got 1 of them"),
        ([X, X], "[fit] b takes x of shape (samples, 2); got (12, 4); this model was built for 2 features"),
        ([X, X[:5, :2]], "[fit] all inputs must have the same number of samples; got {'a': 12, 'b': 5}; cut them"),
    ]:
        with pytest.raises(TinyresError, match=re.escape(message)):
            model.fit(x, y, verbose=0)
    for targets, message in [
        (X, "[fit] this model takes a list of 2 for y, one per output: ['dense', 'dense_1']; got ndarray; give them"),
        ([X], "[fit] this model takes a list of 2 for y, one per output: ['dense', 'dense_1']; got 1 of them"),
        ([y, X], "[fit] y['dense_1'] must have the shape of the output, 1 per sample; got y['dense_1'] of shape"),
        ({"dense": y}, "[fit] y['dense_1'] is needed; got None; give an array"),
        ({"dense": y, "other": y}, "[fit] a dict for y has names of outputs, ['dense', 'dense_1']; got 'other'"),
        ([y, y[:5]], "[fit] x and y['dense_1'] must have the same number of samples; got 12 and 5; cut one"),
    ]:
        with pytest.raises(TinyresError, match=re.escape(message)):
            two_outputs().fit(X, targets, verbose=0)


def test_integer_inputs_take_whole_numbers():
    inputs = tr.Input(shape=(2,), dtype="int64", name="tokens")
    model = tr.Model(inputs, layers.Dense(1)(tr.astype(inputs, "float32")))
    assert model.predict([[1.0, 2.0]]).shape == (1, 1)
    for bad in ([[1.5, 2.0]], [[np.nan, 1.0]], [[np.inf, 1.0]]):
        with pytest.raises(DTypeError, match=r"\[predict\] tokens takes whole numbers; got float64 with others"):
            model.predict(bad)


def test_metrics_must_fit_too():
    model = classifier("mse", 1, None, metrics=[lambda p, t: p - t])
    before = everything(model)
    with pytest.raises(ArgumentError, match=r"\[<lambda>\] a metric returns one number, as a Tensor; got shape \(12,"):
        model.fit(X, Y.reshape(-1, 1), verbose=0)
    assert everything(model) == before
    with pytest.raises(ShapeError, match=r"\[mae\] prediction \(12, 3\) and target \(12,\) differ"):
        classifier(metrics=["mae"]).fit(X, Y, verbose=0)


def test_callback_options():
    for make, message in [
        (lambda: tr.callbacks.EarlyStopping(patience=-1), "[EarlyStopping] patience is an integer >= 0; got -1"),
        (lambda: tr.callbacks.EarlyStopping(mode="best"), '[EarlyStopping] mode is "auto", "min" or "max"; got'),
        (lambda: tr.callbacks.EarlyStopping(min_delta=-1), "[EarlyStopping] min_delta is a finite number >= 0; got -1"),
        (lambda: tr.callbacks.LearningRateSchedule(0.1), "[LearningRateSchedule] a schedule is a function epoch"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(message)):
            make()
    with pytest.raises(ArgumentError, match=r"\[EarlyStopping\] val_loss is not measured; got \['loss'\]; give fit"):
        classifier().fit(X, Y, verbose=0, callbacks=[tr.callbacks.EarlyStopping()])


def test_batch_sizes_of_evaluate_and_predict():
    for call in ("evaluate", "predict"):
        with pytest.raises(ArgumentError, match=rf"\[{call}\] batch_size is an integer >= 1; got 0"):
            getattr(classifier(), call)(*((X, Y) if call == "evaluate" else (X,)), batch_size=0)
