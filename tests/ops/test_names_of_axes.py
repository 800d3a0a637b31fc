"""PyTorch's names of axes: an error in words, in each public function that takes an axis and in its method."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinyres as tr
from tinyres import ops

BY_AXIS = [
    name for name in ops.__all__
    if inspect.isfunction(getattr(ops, name)) and "axis" in inspect.signature(getattr(ops, name)).parameters
]  # fmt: skip


@pytest.mark.parametrize("name", BY_AXIS)
@pytest.mark.parametrize(
    ("options", "words"),
    [({"dim": 1}, "got dim=1; write axis=1"), ({"keepdim": True}, "got keepdim=True; write keepdims=True")],
)
def test_other_names_of_an_axis_are_told(name: str, options: dict[str, object], words: str) -> None:
    t = tr.tensor(np.ones((2, 3)))
    with pytest.raises(tr.errors.ArgumentError, match=rf"\[{name}\] axes go by NumPy's names; {words}"):
        getattr(ops, name)(t, **options)
    if hasattr(t, name):
        with pytest.raises(tr.errors.ArgumentError, match=words):
            getattr(t, name)(**options)


@pytest.mark.parametrize("name", BY_AXIS)
def test_what_else_is_unknown_is_told_with_what_it_takes(name: str) -> None:
    with pytest.raises(tr.errors.ArgumentError, match=rf"\[{name}\] it takes \(.*axis"):
        getattr(ops, name)(tr.tensor(np.ones((2, 3))), nothing=1)
