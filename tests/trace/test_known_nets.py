"""Every sentence on nets of known build: what must be said, what must not be, and silence where all is well."""

from __future__ import annotations

import pytest
from told_nets import Known, known_nets
from told_others import other_nets

NETS = [*known_nets(), *other_nets()]


def test_there_are_many() -> None:
    assert len(NETS) >= 120
    assert len({known.name for known in NETS}) == len(NETS)
    assert sum(not known.rules for known in NETS) >= 40  # silence is judged too


@pytest.mark.slow
@pytest.mark.parametrize("known", NETS, ids=[known.name for known in NETS])
def test_what_is_said(known: Known) -> None:
    verdict = known.trace().verdict()
    rules = frozenset(sentence.rule for sentence in verdict)
    assert rules == known.rules or rules in known.either, str(verdict)
    text = str(verdict)
    if rules == known.rules:
        assert [words for words in known.says if words not in text] == [], text
    assert [words for words in known.never if words in text] == [], text
