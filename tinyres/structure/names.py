"""Names that do not fit: shortened in the middle, since the ends of paths tell most, and never to the same letters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence


def fitted(name: str, width: int) -> str:
    """The name, its middle left out if it is longer than `width`."""
    return _with_tail(name, width, (width - 1) * 2 // 3)


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Each name in at most `width` letters; what differs in full differs in short.

    All are cut at the same place, the usual one where that keeps them apart, else one that shows more of their end or
    of their beginning; else around the letters in which they differ; else the last letters are numbers.

    >>> shortened(["encoder/block1/attention", "encoder/block2/attention"], 20)
    ['encoder…k1/attention', 'encoder…k2/attention']
    """
    usual = (width - 1) * 2 // 3
    cuts: list[Callable[[str], str]] = [
        lambda name, tail=tail: _with_tail(name, width, tail)  # type: ignore[misc]
        for tail in (usual, *range(usual + 1, width - 1), *range(usual - 1, 0, -1))
    ]
    known = set(names)
    for cut in cuts:
        short = {name: cut(name) for name in known}
        if len(set(short.values())) == len(known):
            return [short[name] for name in names]
    short = _numbered({name: _around(name, _alike(name, known, width), width) for name in sorted(known)}, width)
    return [short[name] for name in names]


def unused(name: str, separator: str, taken: dict[str, int]) -> str:
    """The name, or the next name@k or name_k that is free; `taken` holds for each name the last k tried."""
    free, count = name, taken.get(name, 0)
    while free in taken:
        count += 1
        free = f"{name}{separator}{count}"
    taken[name] = count
    taken.setdefault(free, 0)
    return free


def listed(names: Sequence[str], most: int = 5) -> str:
    """ "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _with_tail(name: str, width: int, tail: int) -> str:
    if len(name) <= width:
        return name
    return f"{name[: max(0, width - 1 - tail)]}…{name[-tail:]}" if tail > 0 else f"{name[: width - 1]}…"


def _alike(name: str, known: set[str], width: int) -> list[str]:
    """The names that read the same where they are cut as usual."""
    return [other for other in known if fitted(other, width) == fitted(name, width)]


def _around(name: str, alike: Sequence[str], width: int) -> str:
    """The letters in which the name differs from those alike, with what stands around them, and its end."""
    if len(name) <= width or len(alike) < 2:
        return fitted(name, width)
    first, last = min(alike), max(alike)
    same = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    tail = width // 3
    room = width - 2 - tail
    start = min(same - room // 2, len(name) - tail - room)
    if start <= 1:
        return f"{name[: room + 1]}…{name[-tail:]}"
    return f"…{name[start : start + room]}…{name[-tail:]}"


def _numbered(short: dict[str, str], width: int) -> dict[str, str]:
    """Those that still read the same, told apart by numbers."""
    groups = defaultdict(list)
    for name, text in short.items():
        groups[text].append(name)
    taken = {text for text, group in groups.items() if len(group) == 1}
    apart = {group[0]: text for text, group in groups.items() if len(group) == 1}
    for text, group in groups.items():
        number = 0
        for name in group if len(group) > 1 else []:
            while name not in apart or apart[name] in taken:
                number += 1
                apart[name] = f"{text[: max(0, width - 1 - len(str(number)))]}~{number}"
            taken.add(apart[name])
    return apart
