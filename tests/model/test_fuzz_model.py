"""Bad input to models, drawn at random: each a clear error, and nothing half-changed.

TINYRES_FUZZ sets how many cases each fuzz test tries (default 150).
"""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model_errors import X, Y, classifier, everything

import tinyres as tr
from tinyres.errors import NonFiniteError, TinyresError
from tinyres.ops.random import default_generator

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
