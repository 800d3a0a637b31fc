"""The reporter is told in data; lines stay within 80 columns."""

from __future__ import annotations

import pytest
from small_models import compiled, fit, labelled

from tinyres.errors import NonFiniteError
from tinyres.training import progress


class Listener:
    def __init__(self):
        self.events = []

    def tell(self, event):
        self.events.append(event)


def test_a_reporter_of_ones_own_is_told_events_as_data():
    x, y = labelled(24)
    listener = Listener()
    history = compiled().fit(x, y, epochs=2, batch_size=16, verbose=listener, validation_split=0.25, watch=2)
    kinds = [type(event).__name__ for event in listener.events]
    one = ["EpochBegan", "StepDone", "StepDone", "EpochEnded"]
    assert [kind for kind in kinds if kind != "Watched"] == ["TrainingBegan", *one, *one, "TrainingEnded"]
    assert kinds.count("Watched") == len(history.gradients) == 2
    ended = [event for event in listener.events if isinstance(event, progress.EpochEnded)]
    assert ended[1].logs == {name: values[1] for name, values in history.history.items()} and ended[1].seconds > 0
    step = next(event for event in listener.events if isinstance(event, progress.StepDone))
    assert (step.epoch, step.done, step.steps) == (0, 1, 2) and set(step.read()) == {"loss", "accuracy"}


def test_a_training_that_fails_says_so():
    x, y = labelled(24)
    listener = Listener()
    model = compiled()
    model.layers[1].kernel.assign(model.layers[1].kernel.numpy() * float("nan"))
    with pytest.raises(NonFiniteError):
        model.fit(x, y, verbose=listener)
    assert listener.events[-1] == progress.TrainingEnded(failed=True)


@pytest.mark.parametrize("epochs", [2, 50, 1000])
@pytest.mark.parametrize("extra", [{}, {"learning_rate": 1e-5}, {f"metric_{i}": 1.0 / 3 for i in range(9)}])
def test_lines_stay_within_80_columns(epochs, extra):
    logs = {"loss": 12.34567, "accuracy": 0.98765, **extra, "val_loss": 1234.56789, "val_accuracy": 0.98765}
    lines = progress.within(f"epoch {epochs}/{epochs}  123.45 s", logs)
    assert all(len(line) <= 80 for line in lines)
    assert all(name in "\n".join(lines) for name in logs)


def test_lines_stay_within_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = progress.within("epoch 1/9  0.15 s", {f"val_metric_{i}": 1 / 3 for i in range(9)})
    assert all(len(line) <= 60 for line in lines)


def test_the_usual_line_is_one(capsys):
    x, y = labelled(32)
    compiled().fit(x, y, epochs=10, verbose=2, validation_split=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all(len(line) <= 80 and "val_accuracy " in line for line in lines)


def test_small_numbers_keep_their_digits():
    assert progress.text({"loss": 1.5e-6, "lr": 0.0, "x": 2.0}) == "loss 1.500e-06  lr 0.0000  x 2.0000"


def test_verbose_zero_is_silent(capsys):
    x, y = labelled(8)
    fit(compiled(), x, y, watch=1)
    assert capsys.readouterr().out == ""
