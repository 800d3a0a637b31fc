"""Bad input to models: each a clear error, and nothing half-changed; pinned messages, then fuzzing.

TINYRES_FUZZ sets how many cases each fuzz test tries (default 150).
"""

from __future__ import annotations

import io
import json
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError, TinyresError
from tinyres.ops.random import default_generator

X = np.random.default_rng(0).normal(size=(12, 4))
Y = np.arange(12) % 3


def classifier(loss="sparse_categorical_crossentropy", units=3, activation="softmax", **options):
    inputs = tr.Input(shape=(4,))
    x = layers.Dropout(0.1)(layers.BatchNormalization()(layers.Dense(5, activation="relu")(inputs)))
    model = tr.Model(inputs, layers.Dense(units, activation=activation)(x))
    model.compile("adam", loss, **options)
    return model


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


def everything(model):
    """All state that a failed call must leave alone."""
    names = {id(p): str(i) for i, p in enumerate(model.optimizer.params)}
    state = {key: value.tobytes() for key, value in model.optimizer.state(names).items()}
    return [w.tobytes() for w in model.get_weights()], state, default_generator().state.array.tolist(), model.epoch


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
    ("mse", 1, None, Y, "y must have the shape of the output, 1 per sample; got y of shape (12,); use y.reshape"),
    ("mse", 2, None, X, "y must have the shape of the output, 2 per sample; got y of shape (12, 4); give one"),
    (tr.losses.mse, 1, None, Y, "y must have the shape of the output, 1 per sample; got y of shape (12,); use"),
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
    ({"optimizer": "rmsprop"}, "[compile] an optimizer is one of ['adam', 'adamw', 'sgd'] or made by"),
    ({"optimizer": tr.optim.SGD}, "[compile] an optimizer is an object; got the class SGD; write SGD(lr=...)"),
    ({"optimizer": 0.1}, "[compile] an optimizer is one of"),
    ({"metrics": "accuracy"}, "[compile] metrics come as a list; got 'accuracy'; write metrics=[\"accuracy\"]"),
    ({"metrics": ["f1"]}, "[compile] a metric is one of ['acc', 'accuracy', 'mae', 'mean_absolute_error'] or"),
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
    with pytest.raises(ArgumentError, match=r"\[fit\] fit and evaluate take models with one output; this one has 2"):
        two_outputs().fit(X, y, verbose=0)


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


fuzz = settings(
    max_examples=int(os.environ.get("TINYRES_FUZZ", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize="TINYRES_FUZZ" not in os.environ,
    database=None,
)

numbers = st.one_of(
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    st.just(np.dtype(bool)),
)
oddities = st.one_of(
    numbers, hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(max_len=3), hnp.datetime64_dtypes()
)
shapes = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    st.tuples(st.integers(0, 6), st.just(4)),
    st.tuples(st.integers(0, 6)),
)
small_floats = st.floats(-4, 4, width=16)
inputs = st.one_of(
    hnp.arrays(oddities, shapes),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=small_floats),
    st.sampled_from([None, "x", 3, [[1, 2], [3]], {}, {"input": X}, [X], [X, X], object(), X.tolist(), X[::-2]]),
)
targets = st.one_of(
    hnp.arrays(oddities, shapes),
    hnp.arrays(st.sampled_from([np.int64, np.uint8]), st.tuples(st.integers(1, 6)), elements=st.integers(0, 3)),
    st.sampled_from([None, "y", 3, [[1, 2], [3]], {}, Y, Y.tolist(), Y.astype(str), [None] * 12, Y.reshape(-1, 1)]),
)


def as_numbers(value):
    """The value as a numeric array, or None: what people would call data, decided without the library."""
    if isinstance(value, dict):
        value = value.get("input")
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "fiub" and array.ndim else None


def are_samples(x):
    x = as_numbers(x)
    return x is not None and x.ndim == 2 and x.shape[1] == 4 and len(x) > 0


def are_labels(y, count):
    y = as_numbers(y)
    if y is None or y.shape not in ((count,), (count, 1)):
        return False
    y = y.astype(np.float64)
    return bool(np.all((y == np.floor(y)) & (y >= 0) & (y <= 2)))


@pytest.fixture(scope="module")
def shared():
    tr.manual_seed(0)
    return classifier(metrics=["accuracy"])


@fuzz
@given(x=inputs, y=targets, call=st.sampled_from(["fit", "evaluate"]), capture=st.booleans())
def test_fuzz_data(shared, x, y, call, capture):
    before = everything(shared)
    good = are_samples(x) and are_labels(y, len(as_numbers(x)))
    options = {"verbose": 0} if call == "fit" else {}
    try:
        with np.errstate(all="ignore"):
            result = getattr(shared, call)(x, y, batch_size=4, capture=capture, **options)
    except NonFiniteError:
        assert good and not np.isfinite(shared.predict(x)).all()
    except TinyresError as error:
        assert not good and str(error).startswith(f"[{call}] ")
        assert everything(shared) == before
    else:
        assert good
        if call == "evaluate":
            assert everything(shared) == before and len(result) == 2


@fuzz
@given(x=inputs)
def test_fuzz_predict(shared, x):
    try:
        result = shared.predict(x)
    except TinyresError as error:
        assert not are_samples(x) and str(error).startswith("[predict] ")
    else:
        assert are_samples(x) and result.shape == (len(as_numbers(x)), 3)
        with np.errstate(all="ignore"):
            tame = np.isfinite(as_numbers(x).astype(np.float32)).all()
        if tame and np.isfinite(result).all():
            np.testing.assert_allclose(result.sum(axis=1), 1.0, rtol=1e-5)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 40), st.floats(), st.text(max_size=3), st.just([]), st.just(X)
)


@fuzz
@given(
    name=st.sampled_from(
        [
            "batch_size",
            "epochs",
            "initial_epoch",
            "watch",
            "verbose",
            "validation_split",
            "validation_data",
            "callbacks",
        ]
    ),
    value=anything,
)
def test_fuzz_options(shared, name, value):
    assume(not (name == "verbose" and type(value) is int and value in (1, 2)))
    before = everything(shared)
    try:
        history = shared.fit(X, Y, **{"verbose": 0, "epochs": 1, name: value})
    except TinyresError as error:
        assert str(error).startswith("[fit")
        assert everything(shared) == before
    else:
        assert all(np.isfinite(v) for values in history.history.values() for v in values)


@fuzz
@given(st.data())
def test_fuzz_set_weights(shared, data):
    good = [w + np.float32(1) for w in shared.get_weights()]
    weights = list(good)
    change = data.draw(st.sampled_from(["none", "replace", "drop", "append", "all"]))
    junk = st.one_of(hnp.arrays(oddities, shapes), st.sampled_from([None, "w", {}, [[1], [1, 2]], 3.0]))
    if change == "replace":
        position = data.draw(st.integers(0, len(weights) - 1))
        same_shape = hnp.arrays(oddities, st.just(weights[position].shape))
        weights[position] = data.draw(st.one_of(junk, same_shape))
    elif change == "drop":
        weights.pop(data.draw(st.integers(0, len(weights) - 1)))
    elif change == "append":
        weights.append(data.draw(junk))
    elif change == "all":
        weights = data.draw(st.sampled_from([None, 3, "weights", {}, [], X]))
    before = [w.copy() for w in shared.get_weights()]
    try:
        with np.errstate(all="ignore"):
            shared.set_weights(weights)
    except TinyresError:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(shared.get_weights(), before))
    else:
        with np.errstate(all="ignore"):
            expected = [np.asarray(w).astype(np.float32) for w in weights]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(shared.get_weights(), expected))
    finally:
        shared.set_weights(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "m.npz"
    tr.manual_seed(0)
    model = classifier()
    model.fit(X, Y, verbose=0)
    model.save(path)
    return path.read_bytes(), model.predict(X, capture=False).tobytes()


@fuzz
@given(st.data())
def test_fuzz_damaged_files(saved, tmp_path_factory, data):
    content, prediction = saved
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    damage = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damage) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "zero"]))
        if kind == "flip":
            damage[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del damage[at : at + data.draw(st.integers(1, 100))]
        elif kind == "insert":
            damage[at:at] = data.draw(st.binary(min_size=1, max_size=20))
        else:
            damage[at : at + 16] = bytes(len(damage[at : at + 16]))
        assume(damage)
    path.write_bytes(damage)
    state = default_generator().state.array.tolist()
    try:
        model = tr.load(path)
    except TinyresError as error:
        assert str(error).startswith("[load] ")
        assert default_generator().state.array.tolist() == state
    else:
        assert model.predict(X, capture=False).tobytes() == prediction


@pytest.mark.slow
@fuzz
@given(st.data())
def test_fuzz_headers(saved, tmp_path_factory, data):
    """A header that passes its checksum and says something else is an error, or a model."""
    with np.load(io.BytesIO(saved[0])) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        target = header
        while True:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            key = data.draw(st.sampled_from(keys))
            inner = target[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                break
            target = inner
        target[key] = data.draw(
            st.one_of(st.none(), st.integers(-3, 9), st.text(max_size=4), st.just([]), st.just({}), st.floats(-1, 2))
        )
        if not isinstance(header, dict):
            break
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    path = tmp_path_factory.getbasetemp() / "header.npz"
    np.savez(path, **arrays)
    try:
        model = tr.load(path)
    except TinyresError:
        return
    assert isinstance(model, tr.Model)
