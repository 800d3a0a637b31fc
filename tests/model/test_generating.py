"""generate: what is kept changes nothing, seeds and options, windows that slide, models that keep nothing, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import TinyresError
from tinyres.nn.decoding import Decoder

RNG = np.random.default_rng(0)
PROMPT = [3, 1, 4]


def model_of(context: int = 12, **options: Any) -> tr.Model:
    """Weights are drawn larger than a new net has them, so that its answers differ."""
    tr.manual_seed(0)
    model = tr.applications.gpt(7, context, layers=2, heads=2, width=8, **options)
    random = np.random.default_rng(1)
    model.set_weights([w + random.normal(size=w.shape) * 0.3 for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post"},
        {"norm": "deepnorm", "tied": False},
        {"norm": "rezero"},
        {"positions": "sine", "dropout": 0.5},
        {"positions": "rotary"},
    ],
)
def test_what_is_kept_changes_nothing(options: Any) -> None:
    model = model_of(**options)
    assert Decoder(model, logits=True, keep=True).keeps
    for count, prompt in ((9, PROMPT), (9, [PROMPT, [0, 6, 6]]), (30, PROMPT)):
        kept, anew = (model.generate(prompt, count, seed=5, cache=cache) for cache in (True, False))
        np.testing.assert_array_equal(kept, anew)
        assert kept.shape == (*np.shape(prompt)[:-1], 3 + count)


def test_scores_piece_by_piece_are_those_of_the_whole() -> None:
    model = model_of()
    ids = RNG.integers(0, 7, (2, 10))
    decoder = Decoder(model, logits=True, keep=True)
    wanted = model(ids, logits=True).numpy()
    for start, stop in ((0, 4), (4, 5), (5, 9), (9, 10)):
        np.testing.assert_allclose(decoder.scores(ids[:, start:stop]), wanted[:, stop - 1], rtol=1e-4, atol=1e-4)


def test_draws_follow_the_seed_or_the_librarys() -> None:
    model = model_of()
    assert model.generate(PROMPT, 20, seed=1).tolist() == model.generate(PROMPT, 20, seed=1).tolist()
    assert model.generate(PROMPT, 20, seed=1).tolist() != model.generate(PROMPT, 20, seed=2).tolist()
    drawn = []
    for _ in range(2):
        tr.manual_seed(3)
        drawn.append([model.generate(PROMPT, 20).tolist() for _ in range(2)])
    assert drawn[0] == drawn[1] and drawn[0][0] != drawn[0][1]


def test_the_likeliest_token_and_one_of_the_best() -> None:
    model = model_of()
    greedy = model.generate(PROMPT, 9, temperature=0)
    np.testing.assert_array_equal(greedy, model.generate(PROMPT, 9, top_k=1, seed=0))
    np.testing.assert_array_equal(greedy, model.generate(PROMPT, 9, temperature=1e-4, seed=0))
    assert greedy[3] == model.predict(np.array([PROMPT]))[0, -1].argmax()
    best = np.argsort(model.predict(np.array([PROMPT]))[0, -1])[-3:]
    assert {int(model.generate(PROMPT, 1, top_k=3, temperature=5.0, seed=s)[3]) for s in range(40)} == set(
        best.tolist()
    )


def test_draws_have_the_probabilities_of_the_model() -> None:
    model = model_of()
    drawn = model.generate(np.tile(PROMPT, (4000, 1)), 1, temperature=2.0, seed=0)[:, 3]
    logits = model(np.array([PROMPT]), logits=True).numpy()[0, -1] / 2.0
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=7) / 4000, wanted, atol=0.03)


def test_a_string_goes_on_as_a_string(tmp_path: Any) -> None:
    path = tmp_path / "song.txt"
    path.write_text("abcdefg" * 20)
    text = tr.data.text(path, context=8)
    said = model_of().generate("dab", 20, text=text, seed=0)
    assert said.startswith("dab") and len(said) == 23
    assert said == text.decode(model_of().generate(text.encode("dab"), 20, seed=0))


def test_it_learns_a_song_by_heart_and_says_it(tmp_path: Any) -> None:
    path = tmp_path / "song.txt"
    path.write_text("abcdefg" * 40)
    text = tr.data.text(path, context=8, batch_size=16)
    model = model_of()
    model.compile(tr.optim.Adam(lr=0.02), "sparse_categorical_crossentropy")
    model.fit(text.train, epochs=60, verbose=0)
    assert model.generate("abc", 24, temperature=0, text=text) == ("abcdefg" * 4)[:27]


class Cumulated(layers.Layer):
    """Sees all earlier tokens, and says so to nobody."""

    def call(self, x: Any) -> Any:
        return tr.cumsum(x, axis=1)


def test_a_model_with_a_layer_of_ones_own_is_run_anew() -> None:
    inputs = tr.Input(shape=(None,), dtype="int64")
    x = Cumulated()(layers.Embedding(7, 8, "normal")(inputs))
    model = tr.Model(inputs, layers.Dense(7)(x))
    assert not Decoder(model, logits=False, keep=True).keeps
    ids = model.generate(PROMPT, 5, temperature=0)
    for n in range(3, 8):
        assert ids[n] == model.predict(ids[None, :n])[0, -1].argmax()


def test_a_model_of_windows_of_one_length_slides() -> None:
    inputs = tr.Input(shape=(3,), dtype="int64")
    x = layers.Flatten()(layers.Embedding(7, 8, "normal")(inputs))
    model = tr.Model(inputs, layers.Reshape((1, 7))(layers.Dense(7)(x)))
    ids = model.generate(PROMPT, 5, temperature=0)
    for n in range(3, 8):
        assert ids[n] == model.predict(ids[None, n - 3 : n])[0, -1].argmax()


def test_it_leaves_no_mark() -> None:
    model = model_of(dropout=0.5)
    before = model.get_weights()
    tr.manual_seed(0)
    model.generate(PROMPT, 5, seed=1)
    state = tr.ops.random.default_generator().state.array.tolist()
    assert state == [0, 0] and all((a == b).all() for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.generate([]),
            "[generate] a prompt has at least one token, (tokens,) or (batch, tokens); got shape (0,); begin with one, "
            "such as that of a new line",
        ),
        (
            lambda m: m.generate(""),
            "[generate] a prompt is ids, or a string of a text that is given too; got '' alone; add text=, what "
            "tr.data.text gave",
        ),
        (
            lambda m: m.generate("", text=tr.data.load_plays()),
            "[generate] a prompt has at least one token, (tokens,) or (batch, tokens); got shape (0,); begin with one, "
            "such as that of a new line",
        ),
        (
            lambda m: m.generate([0] * 13),
            "[generate] this model looks at 12 tokens at once; got a prompt of 13; give the end of it, prompt[-12:]",
        ),
        (
            lambda m: m.generate([1, 7]),
            "[generate] ids lie in 0..6; got 1..7; encode the prompt by the text that the model was trained on",
        ),
        (
            lambda m: m.generate([0.5]),
            "[generate] a prompt is whole numbers; got float64 of shape (1,); encode it first",
        ),
        (lambda m: m.generate(PROMPT, -1), "[generate] max_new_tokens is an integer >= 0; got -1; choose another"),
        (lambda m: m.generate(PROMPT, top_k=0), "[generate] top_k is an integer >= 1; got 0; choose another"),
        (
            lambda m: m.generate(PROMPT, temperature=-1),
            "[generate] temperature is a number from 0, the likeliest token, on; got -1; choose another",
        ),
        (
            lambda m: tr.Sequential([tr.Input(shape=(3,)), layers.Dense(2)]).generate(PROMPT),
            "[generate] a model that generates takes ids (batch, tokens) and gives scores (batch, tokens, vocabulary); "
            "got one of (None, 3) and (None, 2); see tr.applications.gpt",
        ),
    ],
)
def test_message(call: Any, message: str) -> None:
    with pytest.raises(TinyresError) as raised:
        call(model_of())
    assert str(raised.value) == message
