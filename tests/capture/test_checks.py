"""What stops a captured step: errors while it is recorded, failed value checks; all state is then as it was."""

from __future__ import annotations

import numpy as np
import pytest
from stateful_net import Net, assert_identical, batches, trained

import tinyres as tr
from tinyres.errors import CaptureError, GradientError, ShapeError, TinyresError
from tinyres.launch import door


def test_an_exception_halfway_leaves_everything_as_it_was() -> None:
    net = Net()
    before = net.everything()
    marker = tr.tensor(np.ones(12))
    net.model.parameters()[0].grad = tr.tensor(np.full(net.model.parameters()[0].shape, 7.0))

    def failing(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        net.step(x, y)
        return x @ marker.reshape(3, 4)

    (x, y) = batches(1)[0]
    with pytest.raises(ShapeError, match="matmul"):
        tr.capture(failing)(x, y)
    assert door.recorder is None
    for one, other in zip(before, net.model.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert net.model.parameters()[0].grad.numpy().max() == 7.0
    assert net.model.parameters()[1].grad is None


def test_a_label_out_of_range_stops_the_list_and_changes_nothing() -> None:
    net = Net()
    step = tr.capture(net.step)
    (x, y), (x2, y2) = batches(2)
    step(x, y)
    before = net.everything()
    with pytest.raises(TinyresError, match="label"):
        step(x2, np.where(np.arange(8) == 5, 4, y2))
    for one, other in zip(before, net.everything()):
        np.testing.assert_array_equal(one, other)
    after = float(step(x2, y2))
    reference = Net()
    for pair in ((x, y), (x2, y2)):
        expected = reference.step(*[tr.tensor(a, dtype=a.dtype) for a in pair])
    assert after == float(expected), "the generator went on as if the failed step had not been"


def test_check_finite_stops_before_the_update_and_names_the_node() -> None:
    net = Net("sgd")
    step = tr.capture(net.step, check_finite=True)
    (x, y), (x2, y2) = batches(2)
    step(x, y)
    before = net.everything()
    x2[3, 2] = np.inf
    with pytest.raises(GradientError, match=r"\[check_finite\] the loss must be finite; block0/dense"):
        step(x2, y2)
    for one, other in zip(before, net.everything()):
        np.testing.assert_array_equal(one, other)


def test_check_reports_a_branch_that_depends_on_the_call() -> None:
    calls = []

    def step(x: tr.Tensor) -> tr.Tensor:
        calls.append(1)
        return x + 1.0 if len(calls) % 2 else x * 2.0

    with pytest.raises(CaptureError, match="they part at call 0"):
        tr.capture(step, check=True)(np.ones(3))


def test_check_passes_for_a_right_step() -> None:
    eager = Net()
    expected = trained(eager.step, eager, steps=3)
    net = Net()
    assert_identical(trained(tr.capture(net.step, check=True), net, steps=3), expected)


def test_state_that_the_step_returns_is_put_back_too() -> None:
    """What a step returned once counted as its output only: a failed check left it changed."""
    net = Net("sgd")
    norm = next(layer for layer in net.model.layers if "batch" in layer.name)

    def step(x: tr.Tensor, y: tr.Tensor) -> tuple[tr.Tensor, tr.Tensor, tr.Tensor]:
        return net.step(x, y), norm.moving_mean, net.model.parameters()[0]

    captured = tr.capture(step, check_finite=True)
    (x, y), (x2, y2) = batches(2)
    _, mean, weight = captured(x, y)
    np.testing.assert_array_equal(mean.numpy(), norm.moving_mean.numpy())
    np.testing.assert_array_equal(weight.numpy(), net.model.parameters()[0].numpy())
    before = [*net.everything(), norm.moving_mean.numpy()]
    x2[3, 2] = np.inf
    with pytest.raises(GradientError, match=r"\[check_finite\] the loss must be finite"):
        captured(x2, y2)
    for one, other in zip(before, [*net.everything(), norm.moving_mean.numpy()]):
        np.testing.assert_array_equal(one, other)
