"""The version stands once; the changelog is of it, and names the versions of the files that it writes."""

from __future__ import annotations

import re
from pathlib import Path

import tinyres as tr
from tinyres.model.saving import MODEL
from tinyres.store import program_file
from tinyres.trace.files import TRACE
from tinyres.training.gradients import GRADIENTS

ROOT = Path(__file__).parents[1]
CHANGES = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]


def test_the_version_stands_once() -> None:
    version = re.compile(rf"(?<![\d.]){re.escape(tr.__version__)}(?![\d.])")
    texts = [p for p in ROOT.iterdir() if p.suffix in (".toml", ".py", ".md", ".cff") and p.name != "CHANGELOG.md"]
    texts += [p for folder in ("tinyres", "csrc", ".ci") for p in (ROOT / folder).rglob("*") if p.suffix != ".js"]
    texts = [p for p in texts if p.is_file() and p.suffix in (".toml", ".py", ".md", ".cff", ".c", ".h", ".def", "")]
    found = {str(p.relative_to(ROOT)): len(version.findall(p.read_text())) for p in texts}
    assert {name: count for name, count in found.items() if count} == {"tinyres/__init__.py": 1}


def test_the_newest_changes_are_of_this_version_and_each_version_has_a_date() -> None:
    assert CHANGES[0].startswith(f"{tr.__version__} (")
    headings = [change.partition("\n")[0] for change in CHANGES]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading) for heading in headings), headings


def test_the_changelog_names_the_versions_of_files() -> None:
    files = f"models {MODEL.version}, traces {TRACE.version}, recordings of gradients {GRADIENTS.version}"
    assert f"Files: {files}, programs {program_file.VERSION}." in CHANGES[0]


def test_the_source_distribution_has_what_is_told() -> None:
    setup = (ROOT / "setup.py").read_text()
    for name in ("CHANGELOG.md", "CITATION.cff", "SECURITY.md"):
        assert f'"{name}"' in setup and (ROOT / name).is_file()
