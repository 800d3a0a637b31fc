"""A run that draws the numbers that would come next and leaves every generator as it was, other threads' draws too."""

from __future__ import annotations

import threading

import tinyres as tr
from tinyres.ops.random import Generator, preserving_generator


def test_a_preserving_thread_does_not_rewind_what_another_draws() -> None:
    generator, twin = Generator(7), Generator(7)
    ones = tr.tensor([1.0] * 8)
    drawn: list[list[float]] = []

    def draw(source: Generator) -> list[float]:
        return list(tr.dropout(ones, 0.5, source).tolist())

    with preserving_generator():
        first = draw(generator)
        thread = threading.Thread(target=lambda: drawn.append(draw(generator)))
        thread.start()
        thread.join()
        second = draw(generator)
    after = draw(generator)
    expected = [draw(twin) for _ in range(2)]
    assert [drawn[0], after] == expected
    assert [first, second] == expected


def test_nested_preserving_blocks_go_on_from_where_the_outer_one_stands() -> None:
    generator, twin = Generator(3), Generator(3)
    numbers = [twin.numpy().random() for _ in range(3)]
    with preserving_generator():
        assert generator.numpy().random() == numbers[0]
        with preserving_generator():
            assert generator.numpy().random() == numbers[1]
        assert generator.numpy().random() == numbers[1]
        generator.manual_seed(3)
        assert generator.numpy().random() == numbers[0]
    assert generator.numpy().random() == numbers[0]
