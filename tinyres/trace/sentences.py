"""Sentence and Verdict: what is said of a trace, each sentence with its rule and its remedy."""

from __future__ import annotations

from collections.abc import Iterable

from tinyres.trace.html import preformatted
from tinyres.trace.words import two_digits

_IN_PROPORTION = 2.0  # times chance


class Sentence(str):
    """One sentence. rule: the short name of what it is about. remedy: what to try, "" where nothing is."""

    __slots__ = ("rule", "remedy")

    rule: str
    remedy: str

    def __new__(cls, rule: str, told: str, remedy: str = "") -> Sentence:
        sentence = super().__new__(cls, f"{told} {remedy}".rstrip())
        sentence.rule, sentence.remedy = rule, remedy
        return sentence

    @property
    def told(self) -> str:
        """The sentence without its remedy."""
        return self.removesuffix(self.remedy).rstrip()


class Verdict(tuple[Sentence, ...]):
    """The sentences, the gravest first; prints one per line, or that nothing stands out.

    over_chance: the loss over that of an answer that ignores the input, None if that is not known.
    """

    over_chance: float | None

    def __new__(cls, sentences: Iterable[Sentence] = (), over_chance: float | None = None) -> Verdict:
        verdict = super().__new__(cls, tuple(sentences))
        verdict.over_chance = over_chance
        return verdict

    def __str__(self) -> str:
        return told(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return preformatted(str(self), wrap=True)


def told(verdict: Verdict) -> str:
    """One sentence per line, or that nothing stands out: the loss is in proportion up to twice its chance level."""
    if verdict:
        return "\n".join(verdict)
    over = verdict.over_chance
    if over is None:
        flows = "and the values are in proportion (the loss has no chance level to hold it against; "
    elif over <= _IN_PROPORTION:
        flows = "and values and loss are in proportion ("
    else:
        flows = f"the loss is {two_digits(over)} times that of an answer that ignores the input ("
    return f"verdict: the gradient flows well, {flows}labels and learning rate are not looked at)"
