#!/usr/bin/env python3
"""Holds the pages and files about the project itself to what is there.

The workflow of the forge must be readable, run existing targets of the Makefile and pin each action to a major version.
Every file, make target, test and link that CONTRIBUTING.md and SECURITY.md name must exist, and `make help` must
tell every target. Run from target/tools/venv, which `make tools` makes.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from processes import ROOT

MAKEFILE = ROOT / "Makefile"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PAGES = ("CONTRIBUTING.md", "SECURITY.md")

TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
HELP_LINE = re.compile(r"^  make ([a-z0-9-]+)  +\S", re.MULTILINE)
ACTION = re.compile(r"[\w.-]+/[\w./-]+@v\d+")
MAKE = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Names of tests are sentences; a long key of a setting looks alike.
SENTENCE = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+){3,}")
WORD = re.compile(r"\w+")
# A name for any file, in capitals.
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")


def main() -> int:
    targets = set(TARGET.findall(MAKEFILE.read_text(encoding="utf-8")))
    wrong = [*of_makefile(targets), *of_workflow(targets)]
    names = set(names_in_sources())
    for page in PAGES:
        wrong += [f"{page}: {what}" for what in of_page(ROOT / page, targets, names)]
    for what in wrong:
        print(f"check_project: {what}", file=sys.stderr)
    if not wrong:
        print(f"check_project: ok, {len(targets)} targets, {len(PAGES)} pages")
    return 1 if wrong else 0


def of_makefile(targets: set[str]) -> Iterator[str]:
    """Targets that `make help` does not tell, or that are no phony ones: a file of that name would hide them."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for target in sorted(targets - set(HELP_LINE.findall(shown.stdout))):
        yield f"Makefile: {target}: is not in `make help`"
    text = MAKEFILE.read_text(encoding="utf-8")
    phony = {name for line in text.splitlines() if line.startswith(".PHONY:") for name in line.split()[1:]}
    for target in sorted(targets - phony):
        yield f"Makefile: {target}: is not in .PHONY"


def of_workflow(targets: set[str]) -> Iterator[str]:
    """Jobs that would fail before they begin."""
    name = WORKFLOW.relative_to(ROOT)
    workflow: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    jobs: dict[str, dict[str, Any]] = workflow["jobs"]
    # YAML 1.1 reads the key `on` as a boolean.
    if not workflow.get("on", workflow.get(True)):
        yield f"{name}: is never run"
    for job, description in jobs.items():
        for needed in description.get("needs", []):
            if needed not in jobs:
                yield f"{name}: {job}: needs {needed}, which is no job"
        if "timeout-minutes" not in description:
            yield f"{name}: {job}: has no timeout-minutes"
        matrix = description.get("strategy", {}).get("matrix", {}).get("target", [])
        called = list(matrix)
        for step in description["steps"]:
            if "uses" in step and not ACTION.fullmatch(step["uses"]):
                yield f"{name}: {job}: {step['uses']} is not pinned to a major version"
            called += MAKE.findall(step.get("run", ""))
        for target in called:
            if target not in targets:
                yield f"{name}: {job}: there is no `make {target}`"


def names_in_sources() -> Iterator[str]:
    """Every word of the sources, the names of tests among them."""
    for folder in ("src", "tests"):
        for file in (ROOT / folder).rglob("*.rs"):
            yield from WORD.findall(file.read_text(encoding="utf-8"))


def of_page(page: Path, targets: set[str], names: set[str]) -> Iterator[str]:
    """What the page names and nobody finds."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        file = ROOT / path if path else page
        if not file.exists():
            yield f"the link {link} leads to no file"
        elif anchor and anchor not in anchors(file):
            yield f"the link {link} leads to no heading"
    for code in CODE.findall(text):
        if code.startswith("make "):
            yield from (f"there is no `make {name}`" for name in MAKE.findall(code) if name not in targets)
        elif SENTENCE.fullmatch(code) and code not in names:
            yield f"there is no test {code}"
        elif is_path(code) and not (ROOT / code).exists():
            yield f"there is no {code}"


def is_path(code: str) -> bool:
    """Texts that begin with a folder of this repository, and have no placeholder in them."""
    first, slash, _ = code.partition("/")
    return bool(slash) and " " not in code and not PLACEHOLDER.search(code) and (ROOT / first).exists()


def anchors(page: Path) -> set[str]:
    """Headings as links of a forge name them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    sys.exit(main())
