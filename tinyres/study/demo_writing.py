"""The demo on text: a small Transformer learns to go on with five plays, or with a text of one's own, and does so.

Its defaults are the setting for CPUs of nanoGPT (Karpathy 2022): 4 layers, 4 heads, 128 wide, windows of 64 characters,
2,000 steps of 12 of them. What its loss is measured by: how well one guesses who knows how often characters come, and
how often each comes after another.
"""

from __future__ import annotations

import shutil
import statistics
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from tinyres.applications import gpt
from tinyres.data import Text, load_plays, text
from tinyres.errors import ArgumentError
from tinyres.model import Model
from tinyres.ops.random import manual_seed
from tinyres.optim import AdamW
from tinyres.optim.schedules import WarmupCosine
from tinyres.study.demo import Steps
from tinyres.study.demo_text import WIDEST, each_shown, said
from tinyres.study.training import LOSS
from tinyres.trace import Trace

BATCH = 12
HEAD = 32  # units of a head of attention, where the width allows it
PARTS = 4  # of a training, after each of which it is measured
SAMPLE = 400  # characters
TEMPERATURE = 0.8
PEAK, LAST = 1e-3, 1e-4  # learning rates
_VECTORS = 1  # axes, of parameters that do not decay: biases, and scales of normalisations


@dataclass(frozen=True)
class TextOptions:
    """What a person may choose; see `tinyres demo --help`. steps: of each training."""

    depth: int = 4
    width: int = 128
    norm: str = "pre"
    context: int = 64
    steps: int = 2000
    seed: int = 0
    seeds: int = 1
    data: str | None = None


@dataclass(frozen=True)
class TextResult:
    """What became of one training: per part the mean loss in it, and the held-out loss at its end."""

    training: list[float]
    held_out: list[float]
    trace: Trace
    sample: str
    step_ms: float


def check(options: TextOptions) -> None:
    """Refuse options that cannot be run, before anything is."""
    for name, least in (("depth", 1), ("width", 1), ("context", 1), ("steps", PARTS), ("seeds", 1)):
        value = getattr(options, name)
        if value < least:
            raise ArgumentError(f"[demo] --{name} must be at least {least}; got {value}; give a larger one")


def read(options: TextOptions, seed: int) -> Text:
    """The plays or the user's text, in windows."""
    chosen = {
        "context": options.context, "batch_size": BATCH, "seed": seed, "steps_per_epoch": options.steps // PARTS,
    }  # fmt: skip
    return load_plays(**chosen) if options.data is None else text(options.data, **chosen)


def built(options: TextOptions, characters: int) -> Model:
    """The net, compiled as nanoGPT trains it."""
    most = max(1, options.width // HEAD)
    heads = next(n for n in range(most, 0, -1) if options.width % n == 0)
    model = gpt(characters, options.context, options.depth, heads, options.width, options.norm, use_bias=False)
    steps = options.steps // PARTS * PARTS
    rate = WarmupCosine(PEAK, max(1, steps // 20), steps, LAST)
    model.compile(AdamW(lr=rate, betas=(0.9, 0.99), weight_decay=0.1, clip_norm=1.0, exclude=_VECTORS), LOSS)
    return model


def run_seed(options: TextOptions, seed: int, on_step: Callable[[], None]) -> TextResult:
    """Build, trace, train and measure one net, and let it write."""
    manual_seed(seed)
    data = read(options, seed)
    model = built(options, len(data.vocabulary))
    trace = model.graph(*next(data.train.in_order())).trace()
    steps = Steps(on_step)
    history = model.fit(data.train, epochs=PARTS, validation_data=data.validation, verbose=0, callbacks=[steps]).history
    sample = model.generate(_begun(data), SAMPLE, TEMPERATURE, seed=seed, text=data)
    return TextResult(history["loss"], history["val_loss"], trace, sample, statistics.median(steps.seconds) * 1e3)


def _begun(data: Text) -> str:
    """What the net is to go on with: a new line, or the first character of a text without lines."""
    return "\n" if "\n" in data.vocabulary else data.vocabulary[0]


def table(options: TextOptions, data: Text, results: dict[str, TextResult]) -> str:
    """The losses at the end of each part, beside what counting tells."""
    sd = " ± sd" if len(results) > 1 else ""
    lines = [f"{'':<26} {'training loss':>16} {'held-out loss' + sd:>20}"]
    for i in range(PARTS):
        training = statistics.fmean(result.training[i] for result in results.values())
        held_out = [result.held_out[i] for result in results.values()]
        shown = f"{statistics.fmean(held_out):.3f}" + (f" ± {statistics.stdev(held_out):.3f}" if sd else "")
        lines.append(f"{f'{options.steps // PARTS * (i + 1):,} steps':<26} {training:>16.3f} {shown:>20}")
    for what, order in (("entropy of characters", 1), ("of each after another", 2)):
        lines.append(f"{what:<26} {'':>16} {data.entropy(order):>20.3f}")
    return "\n".join(lines)


def sentence(data: Text, results: dict[str, TextResult]) -> str:
    """What the losses say."""
    loss = statistics.fmean(result.held_out[-1] for result in results.values())
    single, pairs = data.entropy(1), data.entropy(2)
    if loss < pairs:
        return (
            f"The net has learned more than which character follows which: its loss is {pairs - loss:.2f} below that."
        )
    if loss < single:
        return "The net has learned how often characters come, and not yet which follows which; give it more steps."
    return "The net has not learned yet how often characters come; give it more steps."


def run(options: TextOptions) -> None:
    """The whole demo: what was taken, the losses, the ledger before training, and what the net writes."""
    check(options)
    data = read(options, options.seed)
    model = built(options, len(data.vocabulary))
    held = data.validation.characters if data.validation is not None else 0
    told = (
        f"{data.name}: {data.characters:,} characters, {len(data.vocabulary)} of them different; the last {held:,} are "
    )
    print("\n".join(said(f"{told}held back; loss: nats per character")))
    about = f"{options.depth} layers, {options.width} wide, {model.count_params():,} parameters"
    seeds = {f"seed {seed}": seed for seed in range(options.seed, options.seed + options.seeds)}
    steps = options.steps // PARTS * PARTS
    results = each_shown(seeds, about, steps, lambda name, on_step: run_seed(options, seeds[name], on_step))
    first = next(iter(results.values()))
    print(f"\n{table(options, data, results)}\n")
    print("\n".join(said(f"{about}, {first.step_ms:.1f} ms a step of {BATCH} windows of {options.context}")))
    print("\n".join(said(sentence(data, results))))
    print(f"\nbefore training:\n{first.trace}\n")
    print("after training it writes:\n")
    width = min(WIDEST, shutil.get_terminal_size().columns)
    for line in first.sample.strip("\n").split("\n"):
        print("\n".join(textwrap.wrap(line, width) or [""]))
