"""The course of |g|: its interval covers what it should, a power is told from a rate, and one block from both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from told_nets import bn_relu, bottleneck, dense, half_skip, net
from told_others import chain, of_width

from tinyres.layers import blocks as presets
from tinyres.trace.course import course_of
from tinyres.trace.flow import flow_of

COVERED = {
    "plain he": dense("he_normal"),
    "plain glorot": dense("glorot_uniform"),
    "residual": presets.preact_plain,
    "batchnorm": bn_relu,
}


def courses(block, depth, seeds, **options):
    return [flow_of("", net(block, depth, seed=seed, **options)()).course for seed in seeds]


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERED)
def test_the_interval_covers_the_rate_of_the_build_in_90_to_98_percent(name: str) -> None:
    """The rate of the build is the median over 60 seeds."""
    found = courses(COVERED[name], 16, range(60), width=32, batch=64)
    rate = float(np.median([c.rate for c in found]))
    covered = np.mean([c.low <= rate <= c.high for c in found])
    assert 0.9 <= covered <= 0.98, covered


@pytest.mark.slow
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_right_residual_nets_never_explode_and_exponential_nets_are_never_polynomial(depth: int) -> None:
    for block in (presets.tutorial, presets.he2015, presets.preact, bottleneck):
        for seed in range(12):
            rules = {s.rule for s in net(block, depth, seed=seed, width=32)().verdict()}
            assert rules <= {"polynomial"}, (block, seed, rules)
    for block in (bn_relu, presets.plain_batchnorm, presets.preact_plain, half_skip, dense("glorot_uniform")):
        for seed in range(12):
            trace = net(block, depth, seed=seed, width=32)()
            assert flow_of("", trace).course.power is None
            assert "polynomial" not in {s.rule for s in trace.verdict()}


def walk(rate: float, steps: int, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, spread, steps)
    return np.exp(-np.cumsum([0.0, *(np.log(rate) + noise)]))


def test_a_rate() -> None:
    course = course_of(walk(1.4, 20))
    assert course.low < 1.4 < course.high and course.jumps == () and course.power is None
    assert course.total == pytest.approx(course.rate**20)


def test_one_block_is_no_rate() -> None:
    norms = walk(1.0, 20)
    norms[:8] *= 1e4
    course = course_of(norms)
    (jump,) = course.jumps
    assert jump.at == 7 and jump.factor == pytest.approx(norms[7] / norms[8])
    assert 0.9 < course.rate < 1.1


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_power(power: float) -> None:
    norms = [(i + 2.0) ** -power for i in range(24)]
    course = course_of(norms)
    assert course.power == pytest.approx(power, abs=0.05) and not course.is_rate
    assert course_of(norms, polynomial=False).power is None
    assert course_of(norms[::-1]).power is None  # it shrinks


def test_what_is_known_of_the_build_decides() -> None:
    norms = walk(1.2, 8)
    assert course_of(norms).power is None
    assert course_of(norms, polynomial=True).power is not None


@pytest.mark.parametrize("norms", [[], [1.0], [1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 1.0], [1.0, math.inf, 1.0, 1.0]])
def test_too_little_for_a_course(norms: list[float]) -> None:
    assert course_of(norms) is None


@pytest.mark.parametrize("small", [0.3, 0.1, 1e-2])
def test_a_net_that_begins_small_has_the_power_of_its_later_blocks(small: float) -> None:
    """|x|² grows by the same amount per block from a small start, and |g| ~ 1/|x|²."""
    depth = np.arange(16.0)
    course = course_of(1 / (small**2 + depth), polynomial=True)
    assert course.power == pytest.approx(1.0, abs=0.15)


def test_stages_have_courses_of_their_own() -> None:
    blocks = [(128, 6), (64, 6), (32, 6)]
    flow = flow_of("", chain([of_width(presets.plain, units) for units, n in blocks for _ in range(n)])())
    assert [(s.at.start, s.at.stop) for s in flow.stages] == [(0, 1), (1, 7), (7, 13), (13, 18)]
    assert flow.course is None and flow.stages[0].course is None
    assert [s.course.rate for s in flow.stages[1:]] == pytest.approx([0.5] * 3, rel=0.15)
    assert [str(s.theory) for s in flow.stages[1:]] == ["theory for Glorot and ReLU: x 0.50"] * 3
    assert flow.rate == pytest.approx(flow.first_over_last ** (1 / 17))


def test_where_no_stage_tells_the_whole_is_one() -> None:
    flow = flow_of("", chain([of_width(dense("glorot_uniform", count=1), 64 - 4 * i) for i in range(8)])())
    assert len(flow.stages) == 1 and not flow.even and flow.course is not None
