"""The one source of sentences on a trace: what stands out, why if that is shown, and what helps if that was tried.

Judged are the gradient over the blocks and at the weights, the values, and the loss against its chance level. Each rule
states its conditions in code; where they are not met it is silent. `verdict()`, `compare`, the printed trace, the
report and the demo all say what is said here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinyres.trace.broken import not_finite
from tinyres.trace.causes import (
    SMALL_BATCH,
    layers_with_relu,
    loudness,
    over_few,
    skips_that_help,
    why_exploding,
    why_nothing,
    why_polynomial,
    why_vanishing,
)
from tinyres.trace.course import LEAST, Course, Jump
from tinyres.trace.flow import Flow, Stage, block_nodes, flow_of, normalises_batch
from tinyres.trace.lint import lint_trace
from tinyres.trace.scale import unscaled_inputs
from tinyres.trace.sentences import Sentence, Verdict
from tinyres.trace.streams import held_product
from tinyres.trace.theory import LEAST_BATCH, normalises_branches
from tinyres.trace.trace import Trace
from tinyres.trace.words import factor, number, share_across, share_over_skip, times, two_digits

NOTABLE = 10.0  # times (or one in so many) between first and last
GRAVE = 100.0
STEEP_POWER = 1.5  # at 202 layers training errors stand in the order of these powers
_SINGLE = 10.0  # times, at one block
_UNDERFLOW = 1e-30
_FAR_FROM_CHANCE = 10.0  # times: from there on nets at a fixed rate train worse (tests/trace/test_remedies.py)
_ROUNDING = 1e-6  # of the largest: what is 0 but for rounding
_LONG = 30  # layers in a row
_CANCELS = 3.0  # of a share, beyond 0 or 1
_STEADY = 0.03
_ALIKE = 3.0  # times: a stage and the whole that tell one thing
_GROWTHS = ("explodes", "polynomial", "grows")
_GROWN = 3.0  # times, of |x| from the first block to the last


def verdict_of(trace: Trace) -> Verdict:
    """What stands out in gradients, values and loss: sentences with numbers, the cause, and what to try.

    How |g| runs toward the input: by a factor per block (or layer) with its 95% interval, like a power of the depth, or
    through one block unlike the others; where values or gradients are not finite, the first node forward. Each sentence
    has a `.rule` and a `.remedy`. Empty when all is well.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    >>> print(tr.Graph(tr.log(x).sum()).trace().verdict()[0].told)
    values are not finite from log (line 1) on (1 NaN, 0 Inf): log of a number below 0 is NaN, of 0 infinite;
    """
    broken = not_finite(trace)
    if broken is not None:
        return Verdict([Sentence(broken.rule, broken.told, broken.remedy)])
    flow = flow_of("", trace)
    silent = [*_idle(trace)] or [*filter(None, [_nothing_arrives(flow, trace)])]
    if silent:
        return Verdict(silent)
    course = course_sentences(flow, trace)
    found = [*course, *_cancelled(course, trace), *_without_gradient(trace)]
    found += [*_values(flow, course, trace), *_loss(trace), *_long_chain(course, trace)]
    chance = trace.header.chance
    return Verdict(found, trace.loss / chance if chance else None)


Trace.verdict = verdict_of  # type: ignore[method-assign, assignment]


def story_of(flow: Flow, trace: Trace) -> str:
    """What happened to the gradient in one net, as `compare` tells it: the verdict's words, or the course in short."""
    broken = not_finite(trace) or _nothing_arrives(flow, trace)
    if broken is not None:
        return broken.told
    found = course_sentences(flow, trace)
    several = [s.told for s in found if s.rule == found[0].rule] if len(flow.stages) > 1 else []
    told = " ".join(several) or (found[0].told if found else _quiet_course(flow))
    skip = flow.skips[0] if flow.skips else None
    if not flow.chained:
        own = "" if skip is None else f"; in {flow.names[0]} {share_over_skip(skip)}"
        return f"{told.rstrip('.')}{own}. {share_across(trace)}"
    if skip is None:
        return told
    told = f"{told.rstrip('.')}; {share_over_skip(skip)}."
    growth = flow.value_norms[-1] / flow.value_norms[0] if flow.value_norms[0] > 0 else 0.0
    if growth < _GROWN or not flow.even:
        return told
    held = None if any(s.rule == "held" for s in found) else held_product(trace)
    so_that = "" if held is None else f", and |g| falls with it: {held}"
    return f"{told} |x| grows {two_digits(growth)}-fold with depth{so_that}."


def _quiet_course(flow: Flow) -> str:
    ratio = flow.first_over_last
    if ratio is None:
        return f"no rate, for that takes two {flow.unit}s with a gradient."
    course = flow.course
    if course is None or flow.rate is None:
        told = f"the gradient at {flow.names[0]} is {times(ratio)} that at {flow.names[-1]}"
        return f"{told}." if len(flow.stages) == 1 else f"{told}, {_across(flow)}."
    if course.power is not None:
        over = f"x {two_digits(ratio)} over {len(flow.names)} {flow.unit}s{_power(course)}"
        return f"the gradient reaches {flow.names[0]} ({over})."
    trend = "steady" if abs(course.rate - 1) <= _STEADY else "growing" if course.rate > 1 else "shrinking"
    theory = "" if flow.theory is None else f"; {flow.theory}"
    return f"the gradient reaches {flow.names[0]} ({factor(course.rate)} per {flow.unit}, {trend}{theory})."


def course_sentences(flow: Flow, trace: Trace) -> list[Sentence]:
    """Vanishing, exploding, polynomial growth that is worth a warning, and single blocks that stand out."""
    ratio = flow.first_over_last
    if ratio is None:
        return []
    found: list[Sentence] = []
    for stage in flow.stages:
        found += _of_stage(flow, stage, stage.course, trace) if stage.course is not None else []
    told = [stage.course.total for stage in flow.stages if stage.course is not None]
    alike = found and any(abs(math.log(total / ratio)) < math.log(_ALIKE) for total in told if ratio > 0 < total)
    if (flow.course is None and not alike) or (not found and not flow.even):
        found += _over_all(flow, ratio, found[0].rule if found else "", trace)
    return _remedies_once(_held(found, ratio, trace))


def _held(found: list[Sentence], ratio: float, trace: Trace) -> list[Sentence]:
    """The same where |g| only grows as |x| falls: what is said of its growth gives way to that."""
    held = held_product(trace) if ratio >= NOTABLE else None
    if held is None:
        return found
    told = (
        f"the gradient grows x {two_digits(ratio)} toward the input as |x| falls, which is no explosion: {held}, for "
        "every branch normalises what it reads."
    )
    return [Sentence("held", told), *(s for s in found if s.rule not in _GROWTHS)]


def _of_stage(flow: Flow, stage: Stage, course: Course, trace: Trace) -> list[Sentence]:
    """What is to be said of one stage."""
    found = [s for s in (_single(flow, stage, course, jump, trace) for jump in course.jumps) if s]
    ratio = course.total / math.prod(jump.factor for jump in course.jumps)
    if course.power is not None:
        if ratio >= GRAVE or (course.power >= STEEP_POWER and ratio >= NOTABLE):
            if _over_few(trace):
                return [_grows(flow, stage, ratio, trace), *found]
            if not _power(course):
                return [_grows(flow, stage, ratio, trace), *found] if ratio >= GRAVE else found
            told = f"{_from(flow, stage)}the gradient grows like a power of the depth toward the input{_power(course)}"
            told += f": x {two_digits(ratio)} over {len(stage.at)} {flow.unit}s."
            return [Sentence("polynomial", told, why_polynomial(trace)), *found]
        return found
    if max(ratio, 1 / ratio) < NOTABLE:
        return found
    if course.low <= 1 <= course.high:
        return found if max(ratio, 1 / ratio) < GRAVE else [*found, _unsteady(flow, stage, ratio)]
    mixed = not flow.even and len(flow.stages) == 1 and any(b.skip is not None for b in trace.blocks)
    if mixed or (not course.is_rate and ratio > 1):
        if ratio < GRAVE:
            return found
        return [*found, _grows(flow, stage, ratio, trace)] if ratio > 1 else found
    return [_exponential(flow, stage, course, trace), *found]


def _over_few(trace: Trace) -> int:
    """The batch, where BatchNorm works over so few examples that no law of large batches holds; else 0."""
    batch = trace.header.batch or 0
    return batch if 1 < batch < SMALL_BATCH and trace.header.training and normalises_batch(block_nodes(trace)) else 0


def _grows(flow: Flow, stage: Stage, ratio: float, trace: Trace) -> Sentence:
    """A growth of no known course."""
    told = f"{_from(flow, stage)}the gradient grows toward the input, x {two_digits(ratio)} over {len(stage.at)} "
    batch = _over_few(trace)
    return Sentence("grows", f"{told}{flow.unit}s.", over_few(batch) if batch else "")


def _unsteady(flow: Flow, stage: Stage, ratio: float) -> Sentence:
    """Far from 1 as a whole, though its steps scatter so that no factor per block is sure."""
    first, last = flow.names[stage.at[0]], flow.names[stage.at[-1]]
    told = f"the gradient at {first} is {times(ratio)} that at {last}, by steps up and down that show no steady factor."
    return Sentence("vanishes" if ratio < 1 else "grows", told)


def _from(flow: Flow, stage: Stage) -> str:
    """Where a stage is, if there are several."""
    if len(flow.stages) == 1:
        return ""
    if stage.scope:
        return f"in {stage.scope} "
    return f"from {flow.names[stage.at[0]]} to {flow.names[stage.at[-1]]} "


def _exponential(flow: Flow, stage: Stage, course: Course, trace: Trace) -> Sentence:
    """A factor per block."""
    rule, why = ("vanishes", why_vanishing) if course.rate < 1 else ("explodes", why_exploding)
    theory = "" if stage.theory is None else f"; {stage.theory}"
    halves = ", it halves" if 0.45 <= course.rate <= 0.55 else ""
    first, last = flow.names[stage.at[0]], flow.names[stage.at[-1]]
    told = (
        f"{_from(flow, stage)}the gradient {rule}{halves} in every {flow.unit} toward the input "
        f"({factor(course.rate)}, 95% interval {number(course.low)} to {number(course.high)}{theory}); {first} "
        f"receives {times(course.total)} what {last} receives."
    )
    return Sentence(rule, told, why(trace, flow.names[stage.at.start : stage.at.stop]))


def _remedies_once(found: list[Sentence]) -> list[Sentence]:
    """The sentences, each remedy only where it stands first."""
    told: set[str] = set()
    kept = []
    for sentence in found:
        fresh = sentence.remedy not in told
        kept.append(sentence if fresh else Sentence(sentence.rule, sentence.told))
        told.add(sentence.remedy)
    return kept


def _power(course: Course) -> str:
    """The power, where its error leaves something of it."""
    assert course.power is not None and course.power_error is not None
    error = max(0.1, course.power_error)
    return f", L^{course.power:.1f} (± {error:.1f})" if error < 0.5 * course.power else ""


def _across(flow: Flow) -> str:
    """What several stages differ in: their shape or, of one shape, their rate."""
    return f"over {len(flow.stages)} stages" if flow.even else f"over inputs of {len(flow.stages)} shapes"


def _over_all(flow: Flow, ratio: float, rule: str, trace: Trace) -> list[Sentence]:
    """A factor over all that is worth a word, where no course can be told of the whole.

    Of several stages none is said where each grows like a power of its own depth: there |x| begins anew, and |g|.
    """
    if not math.isfinite(ratio) or max(ratio, 1 / ratio) < GRAVE:
        return []
    if len(flow.stages) > 1 and ratio > 1 and normalises_branches(trace):
        return []
    over = f"{_across(flow)} " if len(flow.stages) > 1 else ""
    told = f"{over}the gradient at {flow.names[0]} is {times(ratio)} that at {flow.names[-1]}."
    grown = "explodes" if flow.even else "grows"
    return [Sentence(rule or ("vanishes" if ratio < 1 else grown), told)]


def _single(flow: Flow, stage: Stage, course: Course, jump: Jump, trace: Trace) -> Sentence | None:
    """A block at which alone |g| changes."""
    if max(jump.factor / course.rate, course.rate / jump.factor) < _SINGLE:
        return None
    at = stage.at[jump.at]
    others = f"each of the others by {factor(course.rate)}" if course.power is None else "the others much less"
    told = (
        f"one {flow.unit} stands out: through {flow.names[at]} |g| changes by {factor(jump.factor)} toward the input, "
        f"through {others}."
    )
    grown = flow.value_norms[at + 1] / flow.value_norms[at] if flow.value_norms[at] > 0 else 0.0
    block = next((b for b in trace.blocks if b.name == flow.names[at]), None)
    loud = loudness(trace, block)
    if loud > _SINGLE:
        told = f"{told} Its branch puts out {two_digits(loud)} times what the others put out (median)."
        return Sentence("one-block", told, "Look at its kernels.")
    if block is not None and any(n.facts.normalises for n in block.nodes) and grown > _SINGLE and jump.factor > 1:
        why = f"Its input is {times(1 / grown)} the size of the next one's: to normalise it multiplies its gradient."
        return Sentence("small-input", f"{told} {why}")
    batch = _over_few(trace)
    if block is not None and normalises_batch(block.nodes) and batch:
        remedy = f"BatchNorm over a batch of {batch} lets single blocks jump: use {LEAST_BATCH} examples and more."
        return Sentence("one-block", told, remedy)
    return Sentence("one-block", told, "Look at what this one does unlike the others.")


def _nothing_arrives(flow: Flow, trace: Trace) -> Sentence | None:
    """Where a gradient of exactly 0 begins, if the first block (or layer) receives none."""
    if len(flow.grad_norms) < 2 or flow.grad_norms[0] != 0:
        return None
    told = f"no gradient at all reaches {flow.names[0]}"
    norms = [norm for n in trace.nodes for norm in (n.value_norm, n.grad_norm) if norm > 0]
    if norms and min(norms) < _UNDERFLOW:
        below = f"values or gradients have vanished below the smallest number of {trace.header.dtype}"
        return Sentence("no-gradient", f"{told}: {below}.", why_vanishing(trace))
    cause, remedy = why_nothing(trace)
    return Sentence("no-gradient", f"{told}{cause};", f"{remedy}.")


def _idle(trace: Trace) -> Iterable[Sentence]:
    """Kernels without a gradient because BatchNorm sees one example."""
    if trace.header.batch != 1 or not trace.header.training or not normalises_batch(trace.nodes):
        return
    kernels = [p for p in trace.parameters if p.fans is not None and p.trainable]
    largest = max((p.grad_norm for p in kernels), default=0.0)
    idle = [p for p in kernels if p.grad_norm <= _ROUNDING * largest]
    if 2 * len(idle) > len(kernels):
        told = (
            f"{len(idle)} of {len(kernels)} kernels receive no gradient: BatchNorm over a batch of 1 gives the same "
            "whatever comes in."
        )
        yield Sentence("idle-kernels", told, f"Use batches of {LEAST_BATCH} examples and more.")


def _without_gradient(trace: Trace) -> Iterable[Sentence]:
    """Parts of the net that receive no gradient though the first block does."""
    for finding in lint_trace(trace):
        if finding.rule in ("dead-relu", "dead-branch", "no-gradient", "same-examples"):
            yield Sentence("idle-part", f"{finding.node}: {finding.problem};", f"{finding.remedy}.")


def _cancelled(told: list[Sentence], trace: Trace) -> Iterable[Sentence]:
    """The block in which skip and branch cancel most, unless it was said why the gradient shrinks."""
    shares = [(b.skip, b.name) for b in trace.parts if b.skip is not None and not -_CANCELS < b.skip < 1 + _CANCELS]
    if shares and not any("cancels" in sentence for sentence in told):
        share, name = max(shares, key=lambda found: abs(found[0]))
        words = share_over_skip(share).replace("of it", "of its gradient")
        yield Sentence("cancels", f"at the input of {name} {words}.")


def _values(flow: Flow, course: list[Sentence], trace: Trace) -> Iterable[Sentence]:
    """Inputs that were not scaled, where nothing normalises them; and values whose size runs away over the depth."""
    norms = flow.value_norms
    grown = norms[-1] / norms[0] if len(norms) >= LEAST and flow.even and norms[0] > 0 else 1.0
    if not course and max(grown, 1 / grown if grown else math.inf) >= GRAVE:
        yield Sentence("values", f"|x| at {flow.names[-1]} is {times(grown)} that at {flow.names[0]}.")
    for _, told, remedy in unscaled_inputs(trace):
        yield Sentence("unscaled-input", told, remedy)


def _loss(trace: Trace) -> Iterable[Sentence]:
    """A loss far above that of an answer that ignores the input."""
    chance = trace.header.chance
    if chance and trace.loss > _FAR_FROM_CHANCE * chance:
        told = (
            f"the loss is {trace.loss:.3g}, {two_digits(trace.loss / chance)} times that of an answer that ignores the "
            f"input ({chance:.3g}): the outputs are far too large."
        )
        yield Sentence("loss", told)


def _long_chain(course: list[Sentence], trace: Trace) -> Iterable[Sentence]:
    """So many rectified layers in a row that they hardly train, whatever their gradient."""
    nodes = block_nodes(trace)
    if any(n.facts.adds or n.facts.normalises for n in nodes):
        return
    layers = layers_with_relu(trace, fused=bool(course))
    if layers >= _LONG and not any(len(f.edges) > 1 for f in trace.forks):
        told = (
            f"{layers} layers with ReLU stand in a row without a skip: such nets hardly train even where the gradient "
            "keeps its size (He et al. 2015, section 4.1; 66 Dense: 77% training error or more at every learning rate)."
        )
        yield Sentence("long-chain", told, f"Add {skips_that_help(nodes)}.")
