"""Texts: characters as ids, windows by a seed, parts, entropies, resuming; files that are no text, in words."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, FileError

SONG = "la li lo, " * 40


def written(tmp_path, content, name="song.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_plays_are_there_with_their_origin():
    from importlib.resources import files

    plays = tr.data.load_plays()
    assert (plays.characters, len(plays.vocabulary)) == (669_261, 66)
    told = files("tinyres.data").joinpath("ATTRIBUTION.md").read_text()
    assert all(part in told for part in ("plays.txt.bz2", "public domain", "Open Knowledge Foundation"))
    assert files("tinyres.data").joinpath("plays.txt.bz2").stat().st_size < 300_000
    x, y = next(iter(tr.data.load_plays(validation_split=0.0).train.in_order()))
    assert plays.decode(x[0]).startswith("ROMEO AND JULIET\n\nby William Shakespeare")


def test_windows_are_parts_of_the_text_and_what_follows(tmp_path):
    text = tr.data.text(written(tmp_path, SONG), context=7, batch_size=4)
    for windows, part in ((text.train, SONG[:360]), (text.validation, SONG[360:])):
        for x, y in windows:
            assert x.dtype == y.dtype == np.int64 and x.shape == y.shape == (min(4, (len(part) - 1) // 7), 7)
            for before, after in zip(x, y):
                assert text.decode([*before, after[-1]]) in part and (before[1:] == after[:-1]).all()


def test_in_order_they_stand_side_by_side(tmp_path):
    text = tr.data.text(written(tmp_path, SONG), context=7, batch_size=4, validation_split=0.0)
    assert text.validation is None
    joined = "".join(text.decode(row) for x, _ in text.train.in_order(3) for row in x)
    assert joined == SONG[: len(joined)] and len(SONG) - len(joined) <= 7


def test_the_order_follows_from_seed_and_epoch():
    first, second = (tr.data.load_plays(context=16, seed=3).train for _ in range(2))
    for (x, _), (again, _), _ in zip(first, second, range(3)):
        np.testing.assert_array_equal(x, again)
    second.restore(first.state())
    np.testing.assert_array_equal(next(iter(first))[0], next(iter(second))[0])
    other = next(iter(tr.data.load_plays(context=16, seed=4).train))[0]
    first.stand(0, 0)
    assert (next(iter(first))[0] != other).any()
    first.stand(1, 0)
    begun = next(iter(first))[0]
    first.stand(0, 0)
    assert (next(iter(first))[0] != begun).any()


@pytest.mark.parametrize("content", ["naïve café ☕ " * 20, "\ufeffnaïve café ☕ " * 20, "𝄞ab" * 40])
def test_other_alphabets_are_decoded(tmp_path, content):
    text = tr.data.text(written(tmp_path, content), context=5)
    string = content.removeprefix("\ufeff")
    assert text.vocabulary == "".join(sorted(set(string)))
    assert text.decode(text.encode(string)) == string
    assert text.decode(next(iter(text.train))[0][0]) in string


def test_a_file_of_ascii_stays_on_the_disk(tmp_path):
    text = tr.data.text(written(tmp_path, SONG), context=7)
    assert isinstance(text.train._codes, np.memmap)


def test_entropies_by_hand(tmp_path):
    text = tr.data.text(written(tmp_path, "ab" * 100), context=4)
    assert text.entropy() == pytest.approx(np.log(2))
    assert text.entropy(2) == pytest.approx(0.0, abs=1e-9)
    plays = tr.data.load_plays()
    assert (plays.entropy(), plays.entropy(2)) == (pytest.approx(3.283, abs=1e-3), pytest.approx(2.475, abs=1e-3))


def net(size):
    inputs = tr.Input(shape=(8,), dtype="int64")
    x = layers.Dense(16, activation="relu")(layers.Embedding(size, 8)(inputs))
    model = tr.Model(inputs, layers.Dense(size, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_fit_takes_windows_validates_on_windows_and_resumes_within_an_epoch(tmp_path):
    def begun(epochs, **options):
        tr.manual_seed(0)
        text = tr.data.text(written(tmp_path, SONG), context=8, batch_size=4)
        model = net(len(text.vocabulary))
        model.fit(text.train, epochs=epochs, validation_data=text.validation, verbose=0, **options)
        return model, text

    whole, text = begun(4)
    assert whole.history.history["loss"][-1] < whole.history.history["loss"][0]
    assert len(whole.history.history["val_loss"]) == 4
    assert whole.evaluate(text.validation)[0] == pytest.approx(whole.history.history["val_loss"][-1], rel=1e-5)

    class Stop(tr.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.epoch == 1 and batch == 4:
                self.model.save(tmp_path / "half.npz")

    begun(4, callbacks=[Stop()])
    half = tr.load(tmp_path / "half.npz")
    again = tr.data.text(written(tmp_path, SONG), context=8, batch_size=4)
    half.fit(again.train, epochs=4, initial_epoch=half.epoch, validation_data=again.validation, verbose=0)
    for a, b in zip(whole.get_weights(), half.get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "[text] a text has characters; got the empty file PATH; give another one"),
        (
            b"caf\xe9\nna\xefve " * 30,
            {},
            "[text] a text is UTF-8; got the byte 0xe9 at 3, line 1, of song.txt; convert the file first, as by "
            "iconv -f latin1 -t utf-8",
        ),
        (
            b"too short",
            {"context": 8},
            "[text] a text must have more characters than a window, 8; got 8 to train on of the 9 in song.txt; give a "
            "longer one, or a smaller context",
        ),
        (
            b"long enough " * 10,
            {"context": 16},
            "[text] a text must have more characters than a window, 16; got 12 to validate on of the 120 in song.txt; "
            "give a longer one, or a smaller context",
        ),
        (b"ab" * 99, {"context": 0}, "[text] context is an integer >= 1; got 0; choose another"),
        (
            b"ab" * 99,
            {"validation_split": 1.0},
            "[text] validation_split is a share, 0 <= share < 1; got 1.0; choose another",
        ),
    ],
)
def test_a_file_that_is_no_text(tmp_path, content, options, message):
    path = written(tmp_path, content)
    with pytest.raises((FileError, ArgumentError)) as raised:
        tr.data.text(path, **options)
    assert str(raised.value) == message.replace("PATH", str(path))


def test_a_file_that_is_not_there_and_characters_that_are_not(tmp_path):
    with pytest.raises(FileError, match=r"\[text\] a text file is needed; .* is not there; check the path"):
        tr.data.text(tmp_path / "none.txt")
    with pytest.raises(FileError, match=r"\[text\] a text file is needed; .* is a folder; check the path"):
        tr.data.text(tmp_path)
    text = tr.data.text(written(tmp_path, SONG), context=7)
    with pytest.raises(
        ArgumentError, match=r"\[encode\] the characters are those of song.txt, ' ,ailo'; got 'é'; leave it"
    ):
        text.encode("lé")
    with pytest.raises(ArgumentError, match=r"\[decode\] ids are whole numbers in 0\.\.5; got int64 0\.\.6; give what"):
        text.decode([0, 6])
    with pytest.raises(
        ArgumentError, match=r"\[entropy\] order is 1 for characters, 2 for pairs; got 3; choose one of them"
    ):
        text.entropy(3)
