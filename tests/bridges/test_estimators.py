"""The estimators obey scikit-learn's rules, and are used as it is used: pipelines, searches, weights, DataFrames."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, ShapeError

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinyres.sklearn import Classifier, Regressor


@pytest.mark.slow
@parametrize_with_checks([Classifier(), Regressor()])
def test_scikit_learn_s_own_checks(estimator, check):
    drawn = np.random.get_state()  # noqa: NPY002  the checks draw from it
    try:
        check(estimator)
    finally:
        np.random.set_state(drawn)  # noqa: NPY002


def two_moons(n=200, seed=0):
    rng = np.random.default_rng(seed)
    angle, side = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    x = np.column_stack([np.cos(angle) + side, np.sin(angle) * (1 - 2 * side) + 0.5 * side])
    return x + rng.normal(0, 0.1, x.shape), np.array(["upper", "lower"])[side]


def quick(**options):
    return Classifier(**{"blocks": 1, "units": 16, "epochs": 20, "learning_rate": 0.01, "random_state": 0, **options})


def test_a_classifier_in_a_pipeline_learns_and_is_the_same_out_of_a_file(tmp_path):
    x, y = two_moons()
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(), quick()).fit(x, y)
    assert pipeline.score(*two_moons(seed=1)) > 0.95
    joblib.dump(pipeline, tmp_path / "net.joblib")
    again = joblib.load(tmp_path / "net.joblib")
    assert np.array_equal(again.predict_proba(x), pipeline.predict_proba(x))
    copied = pickle.loads(pickle.dumps(pipeline[-1]))
    assert copied.history_ == pipeline[-1].history_ and copied.n_iter_ == 20


@pytest.mark.slow
def test_a_search_in_two_processes_finds_what_one_finds():
    x, y = two_moons()
    grid = {"blocks": [1, 2], "block": ["preact", "plain"]}
    found = [GridSearchCV(quick(), grid, cv=2, n_jobs=jobs).fit(x, y) for jobs in (1, 2)]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    assert np.array_equal(*scores) and scores[0].max() > 0.9
    assert found[0].best_params_ == found[1].best_params_


def test_a_seed_repeats_a_fit_and_the_library_s_generator_stays():
    x, y = two_moons(60)
    tr.manual_seed(5)
    one, two, other = quick().fit(x, y), quick().fit(x, y), quick(random_state=1).fit(x, y)
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))
    drawn = tr.rand(3).numpy()
    tr.manual_seed(5)
    assert np.array_equal(drawn, tr.rand(3).numpy())


def test_training_goes_on_with_the_library_s_generator_and_not_with_that_of_fit():
    """The steps of fit were recorded on a generator that is gone: a Dropout would repeat one mask in each step."""
    x, y = two_moons(64)
    net = quick(net=lambda h: tr.layers.Dropout(0.5)(tr.layers.Dense(16)(h)), epochs=1).fit(x, y)
    model, labels = net.model_, np.unique(y, return_inverse=True)[1]
    model.optimizer.lr = 0.0
    losses = model.fit(x, labels, epochs=3, verbose=0, batch_size=64).history["loss"]
    assert len(set(losses)) == 3


def test_weights_of_samples_and_classes_tell_what_counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = (rng.uniform(size=200) < 0.5).astype(int)  # not to be told from x
    first = quick().fit(x, y, sample_weight=np.where(y == 0, 10.0, 0.1))
    assert (first.predict(x) == 0).mean() > 0.95
    by_class = quick(class_weight={0: 10.0, 1: 0.1}).fit(x, y)
    assert np.array_equal(first.predict_proba(x), by_class.predict_proba(x))
    rare = np.arange(200) % 10 == 0
    balanced = quick(class_weight="balanced").fit(x, rare)
    assert 0.2 < balanced.predict(x).mean() < 0.8 and quick().fit(x, rare).predict(x).mean() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_weight_of_three_is_three_samples_bit_for_bit_where_all_are_in_one_batch(kind):
    """BatchNorm, Adam and the order of a sum in float32 would tell three rows from one that weighs three."""
    rng = np.random.default_rng(1)
    x, times = rng.normal(size=(12, 3)), rng.integers(0, 5, 12)
    y = rng.integers(0, 2, 12) if kind == "classes" else rng.normal(size=12)
    net = quick() if kind == "classes" else Regressor(blocks=2, epochs=20, random_state=0)
    order = rng.permutation(12)
    weighted = clone(net).fit(x[order], y[order], sample_weight=0.5 * times[order])
    repeated = clone(net).fit(x.repeat(times, axis=0), y.repeat(times))
    asked = "predict_proba" if kind == "classes" else "predict"
    assert times.min() == 0 and times.sum() <= net.batch_size
    assert np.array_equal(getattr(weighted, asked)(x), getattr(repeated, asked)(x))
    assert weighted.history_ == repeated.history_
    small = clone(net).set_params(batch_size=4)
    halves = [getattr(each, asked)(x) for each in (small.fit(x, y), clone(small).fit(x, y, np.full(12, 2.0)))]
    assert np.array_equal(*halves)


@pytest.mark.slow
def test_samples_of_weight_zero_are_left_out_in_batches_too():
    x, y = two_moons(100)
    kept = np.arange(100) % 3 > 0
    some, zeros = quick().fit(x[kept], y[kept]), quick().fit(x, y, sample_weight=kept.astype(float))
    assert np.array_equal(some.predict_proba(x), zeros.predict_proba(x))
    with pytest.raises(ArgumentError, match="not all 0"):
        quick(class_weight={"upper": 0.0, "lower": 0.0}).fit(x, y)


def test_weights_do_not_change_how_large_steps_are():
    x, y = two_moons(64)
    options = {"optimizer": tr.optim.SGD(lr=0.1), "learning_rate": None, "block": "plain"}
    plain = quick(**options).fit(x, y)
    weighted = quick(**options).fit(x, y, sample_weight=np.full(64, 8.0))
    np.testing.assert_allclose(weighted.predict_proba(x), plain.predict_proba(x), rtol=1e-4)


@pytest.mark.parametrize("weight", [np.zeros(60), -np.ones(60)])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises((ArgumentError, ValueError), match="weight"):
        quick().fit(*two_moons(60), sample_weight=weight)


def test_early_stopping_ends_before_the_last_epoch_with_the_best_weights():
    x, y = two_moons(120)
    net = quick(epochs=200, early_stopping=True, n_iter_no_change=3, learning_rate=0.05).fit(x, y)
    held = net.history_["val_loss"]
    assert net.n_iter_ == len(held) < 200
    assert np.argmin(held) == len(held) - 4
    weighted = quick(epochs=5, early_stopping=True).fit(x, y, sample_weight=np.ones(120))
    assert weighted.n_iter_ <= 5


def test_frames_are_taken_by_their_columns():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    x, y = two_moons(80)
    net = quick().fit(pandas.DataFrame(x, columns=["east", "north"]), pandas.Series(y))
    assert list(net.feature_names_in_) == ["east", "north"]
    plain = quick().fit(x, y).predict(x)
    assert np.array_equal(net.predict(pandas.DataFrame(x, columns=["east", "north"])), plain)
    with pytest.raises(ValueError, match="feature names"):
        net.predict(pandas.DataFrame(x, columns=["north", "east"]))
    frame = polars.DataFrame(x, schema=["east", "north"])
    assert np.array_equal(quick().fit(frame, y).predict(frame), plain)


def test_a_regressor_predicts_one_number_or_several_in_their_own_units():
    x = np.linspace(-2, 2, 200)[:, None]
    y = 1000 + 50 * np.column_stack([x[:, 0] ** 2, -x[:, 0]])
    options = {"blocks": 2, "block": "rezero", "epochs": 40, "learning_rate": 0.01, "random_state": 0}
    net = Regressor(**options)
    assert net.fit(x, y[:, 0]).predict(x).shape == (200,)
    assert net.score(x, y[:, 0]) > 0.98
    assert clone(net).fit(x, y).predict(x).shape == (200, 2)
    constant = clone(net).set_params(epochs=1).fit(x, np.full(200, 7.0)).predict(x)
    np.testing.assert_allclose(constant, 7.0, atol=2)


def test_a_net_of_one_s_own_and_an_optimizer_that_is_used_twice():
    (x, y), _ = tr.data.load_digits()
    x, y = x[:300], y[:300]

    def convolutions(h):
        h = tr.layers.Reshape((8, 8, 1))(h)
        return tr.layers.Flatten()(tr.layers.Conv2D(8, 3, activation="relu")(h))

    net = Classifier(net=convolutions, optimizer=tr.optim.Adam(lr=0.01), epochs=4, random_state=0)
    scores = cross_val_score(net, x, y, cv=3)
    assert scores.min() > 0.8
    assert "conv2d" in [layer.name for layer in net.fit(x, y).model_.layers]


def test_the_ledger_of_a_fitted_net():
    x, y = two_moons(64)
    net = quick(blocks=3).fit(x, y)
    trace = net.graph(x, y).trace()
    assert [block.name for block in trace.blocks] == ["block0", "block1", "block2"] and trace.audit().ok
    with pytest.raises(ArgumentError, match="got 'between'"):
        net.graph(x, np.full(64, "between"))
    y = np.column_stack([x[:, 0], x.sum(axis=1)])
    assert Regressor(blocks=1, epochs=1).fit(x, y).graph(x, y).trace().blocks[0].name == "block0"


def test_what_is_refused():
    x, y = two_moons(60)
    with pytest.raises(ArgumentError, match=r"\[sklearn\] a block is one of plain, .*got 'ring'"):
        quick(block="ring").fit(x, y)
    with pytest.raises(ArgumentError, match="got 1 class"):
        quick().fit(x, np.zeros(60))
    with pytest.raises(ArgumentError, match="got 1 class, 'upper', that weighs more than 0"):
        quick().fit(x, y, sample_weight=(y == "upper").astype(float))
    with pytest.raises(ArgumentError, match="epochs is an integer"):
        quick(epochs=-1).fit(x, y)
    for wrong in ("4", -1):
        with pytest.raises(ArgumentError, match=r"\[sklearn\] blocks is an integer >= 0"):
            quick(blocks=wrong).fit(x, y)
    several = Regressor(blocks=0, epochs=1, random_state=0).fit(x, x)
    for targets in (y, y[:, None]):
        with pytest.raises(ShapeError, match="as many targets as it was fitted on, 2"):
            several.graph(x, targets)
    with pytest.raises(NotFittedError):
        quick().predict(x)
    with pytest.raises(tr.errors.TinyresError, match="Classifier, Regressor"):
        tr.sklearn.Cluster  # noqa: B018
