"""Every sentence on nets of known build: what must be said, what must not be, and silence where all is well."""

from __future__ import annotations

import functools

import pytest
from told_more import more_nets
from told_nets import Known, known_nets
from told_others import other_nets

import tinyres as tr
from tinyres.trace.sentences import Verdict

NETS = [*known_nets(), *other_nets(), *more_nets()]
MOST_SILENCES = 0.05  # of the nets of which something is to be said


@functools.cache
def told(known: Known) -> tuple[Verdict, str, str]:
    """The verdict; all that is said of a net, by the printed trace and by compare too; and that without spaces."""
    trace = known.trace()
    verdict = trace.verdict()
    text = "\n".join([str(verdict), str(tr.compare(net=trace)), str(trace)])
    return verdict, text, "".join(text.split())


def wrong_sentences(known: Known) -> list[str]:
    """What is said and should not be."""
    verdict, text, run_on = told(known)
    allowed = known.rules.union(*known.either)
    wrong = [sentence for sentence in verdict if sentence.rule not in allowed]
    return wrong + [words for words in known.never if words in text or "".join(words.split()) in run_on]


def wrong_silences(known: Known) -> list[str]:
    """What should be said and is not."""
    verdict, text, _ = told(known)
    rules = frozenset(sentence.rule for sentence in verdict)
    if rules != known.rules and any(known.rules != other and rules == other for other in known.either):
        return []
    return [*sorted(known.rules - rules), *(words for words in known.says if words not in text)]


def test_there_are_many() -> None:
    assert len(NETS) >= 120
    assert len({known.name for known in NETS}) == len(NETS)
    assert sum(not known.rules for known in NETS) >= 40  # silence is judged too


@pytest.mark.slow
@pytest.mark.parametrize("known", NETS, ids=[known.name for known in NETS])
def test_what_is_said(known: Known) -> None:
    assert wrong_sentences(known) == [], told(known)[1]
    assert wrong_silences(known) == [], told(known)[1]


@pytest.mark.slow
def test_no_sentence_is_wrong_and_few_silences_are() -> None:
    wrong = {known.name: wrong_sentences(known) for known in NETS}
    silent = {known.name: wrong_silences(known) for known in NETS if known.rules or known.says}
    count = sum(map(len, wrong.values())), sum(map(bool, silent.values()))
    sentences = sum(len(told(known)[0]) for known in NETS)
    print(f"{len(NETS)} nets, {sentences} sentences: {count[0]} wrong; {count[1]} of {len(silent)} wrongly silent")
    assert count[0] == 0, {name: words for name, words in wrong.items() if words}
    assert count[1] <= MOST_SILENCES * len(silent), {name: words for name, words in silent.items() if words}


@pytest.mark.slow
@pytest.mark.parametrize("known", NETS[::7], ids=[known.name for known in NETS[::7]])
def test_the_printed_trace_says_what_the_verdict_says(known: Known) -> None:
    verdict, _, run_on = told(known)
    assert [sentence for sentence in verdict if "".join(sentence.split()) not in run_on.split("Trace:")[-1]] == []
