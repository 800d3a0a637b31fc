"""Call forms of published Keras notebooks: each runs with the right value, or is refused with what to do instead.

A form is a paragraph: lines as a notebook has them, and an expression that must be true, or `! words` of the error.
"""

from __future__ import annotations

import ast

import forms_of_layers
import forms_of_models
import forms_of_norms
import forms_of_training
import pytest

from tinyres.errors import TinyresError

TABLE = [
    form
    for module in (forms_of_models, forms_of_training, forms_of_layers, forms_of_norms)
    for form in module.FORMS.strip().split("\n\n")
]
REFUSED = [form for form in TABLE if form.splitlines()[-1].startswith("! ")]
RUN = [form for form in TABLE if form not in REFUSED]

BEFORE = compile(
    """
import numpy as np
import tinyres as tf
from tinyres import keras
from tinyres.keras import layers, Sequential, backend as K
from tinyres.keras.layers import Dense
from pathlib import Path
rng = np.random.default_rng(0)
x = rng.normal(size=(24, 4)).astype('float32')
labels, bits = np.arange(24) % 3, np.arange(24) % 2
onehot = np.eye(3, dtype='float32')[labels]
target = rng.normal(size=(24, 1)).astype('float32')
weight = np.linspace(0.1, 2, 24).astype('float32')
model = Sequential([keras.Input(shape=(4,)), Dense(8, activation='relu', name='hidden')])
model.add(Dense(3, activation='softmax'))
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])
reg = Sequential([keras.Input(shape=(4,)), Dense(1, kernel_initializer='zeros')])
reg.compile(optimizer='sgd', loss='mse')
""",
    "before each form",
    "exec",
)


def typed():
    """The names of a notebook before the form; its own classes are of no module that files know."""
    names = {"__name__": "__main__"}
    exec(BEFORE, names)
    return names


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", range(len(RUN)))
def test_a_form_runs_with_the_right_value(number):
    *statements, last = ast.parse(RUN[number]).body
    names = typed()
    exec(compile(ast.Module(statements, []), RUN[number], "exec"), names)
    assert isinstance(last, ast.Expr)
    assert eval(compile(ast.Expression(last.value), RUN[number], "eval"), names), RUN[number]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_form_is_refused_in_words(number):
    code, _, words = REFUSED[number].rpartition("\n! ")
    names = typed()
    with pytest.raises(TinyresError) as caught:
        exec(compile(code, code, "exec"), names)
    assert words in str(caught.value), code


def test_most_forms_run():
    assert len(TABLE) >= 280 and len(RUN) >= 200
