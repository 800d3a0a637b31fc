"""Prints the guide's table of published findings: every experiment at its defaults, with seeds and ±.

    python3 bench/published_findings.py                about seven minutes, and half an hour for those on images
    python3 bench/published_findings.py paths lesion   only these
    python3 bench/published_findings.py --quick        all of them in a minute, at sizes that say less

What stands in the guide is the output of the first line, pasted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tinyres.study.experiment import Result
from tinyres.study.experiments import EXPERIMENTS, OF_IMAGES
from tinyres.study.progress import watched

HEAD = "| `tinyres experiment …` | what it shows | published, or theory | printed here |\n|---|---|---|---|"


def lines(result: Result) -> Iterator[str]:
    """The rows of the table for one experiment: its name and what it shows once, a line per finding."""
    on_images = {experiment.name: f"{name} --net resnet" for name, experiment in OF_IMAGES.items()}
    name, shows = f"`{on_images.get(result.name, result.name)}`", ""
    for finding in result.findings:
        told = "" if finding.shows == shows else f"{finding.shows}; {result.options['seeds']} seeds"
        yield f"| {' | '.join([name, *map(_escaped, (told, finding.published, finding.here))])} |"
        name, shows = "", finding.shows


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> None:
    """Run what is asked for and print its rows as they come."""
    quick = "--quick" in arguments
    known = {experiment.name: experiment for experiment in (*EXPERIMENTS.values(), *OF_IMAGES.values())}
    names = [name for name in arguments if name != "--quick"] or list(known)
    print(HEAD)
    for name in names:
        experiment = known[name]
        for line in lines(watched(experiment, experiment.quick if quick else {})):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
