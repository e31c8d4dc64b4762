#!/usr/bin/env python3
"""Coverage-guided fuzzing of input from strangers and publishers: every target of tests/fuzz, one after the other.

libFuzzer drives the targets. Passes of the stable compiler count coverage, so no nightly is needed; libFuzzer itself
needs a C++ compiler. Inputs with new coverage are added to target/fuzz/corpus/NAME. A failing input is kept in
target/fuzz/findings/NAME, and the exit code is 1. Once the bug is fixed, add the input to tests/fuzz/corpus/NAME, which
`cargo test` replays.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "tests" / "fuzz" / "corpus"
MANIFEST = ROOT / "tests" / "fuzz" / "engine" / "Cargo.toml"

# Flags for LLVM's coverage passes, which every rustc has and libFuzzer needs.
COVERAGE = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
]

# An input that takes this long, or makes the process this large, is a finding.
SECONDS_OF_AN_INPUT = 10
MEGABYTES = 2048
# Maximum bytes of an input: longer inputs rarely reach new code.
LONGEST = 4096


def main() -> int:
    targets = sorted(path.name for path in SEEDS.iterdir())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="time for each target")
    parser.add_argument("--only", help="targets, comma-separated; all by default: " + ", ".join(targets))
    parser.add_argument("--target-dir", type=Path, default=ROOT / "target", help="the folder of builds and findings")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else targets
    unknown = [name for name in chosen if name not in targets]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    folder = options.target_dir / "fuzz"
    engine = build(folder)
    if engine is None:
        return 1
    results = [(name, fuzz(engine, folder, name, options.seconds)) for name in chosen]
    print()
    for name, (runs, found) in results:
        print(f"{'FINDING' if found else 'ok':8} {name:12} {runs:>12} inputs")
    return 1 if any(found for _, (_, found) in results) else 0


def build(folder: Path) -> Path | None:
    """Builds the instrumented engine with all targets. The given target triple excludes build scripts."""
    host = re.search(r"host: (\S+)", run_text(["rustc", "-vV"])).group(1)
    flags = " ".join([os.environ.get("RUSTFLAGS", ""), *COVERAGE]).strip()
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(MANIFEST)]
    command += ["--target", host, "--target-dir", str(folder / "build")]
    if subprocess.run(command, check=False, env=os.environ | {"RUSTFLAGS": flags}).returncode != 0:
        return None
    return folder / "build" / host / "release" / "chancery-fuzz"


def fuzz(engine: Path, folder: Path, name: str, seconds: int) -> tuple[str, bool]:
    """Runs one target; returns the number of inputs, and whether one of them failed."""
    grown, findings = folder / "corpus" / name, folder / "findings" / name
    for each in (grown, findings):
        each.mkdir(parents=True, exist_ok=True)
    print(f"\n==> {name}, {seconds} s", flush=True)
    command = [str(engine), str(grown), str(SEEDS / name)]
    command += [f"-max_total_time={seconds}", f"-timeout={SECONDS_OF_AN_INPUT}", f"-rss_limit_mb={MEGABYTES}"]
    command += [f"-max_len={LONGEST}", f"-artifact_prefix={findings}/", "-print_final_stats=1", "-verbosity=0"]
    log = folder / f"{name}.log"
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run(
            command, check=False, stdout=out, stderr=out, env=os.environ | {"FUZZ_TARGET": name, "RUST_LOG": "off"}
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    if done.returncode != 0:
        print("\n".join(text.splitlines()[-60:]))
        print(f"{name}: {log} has the whole log, {findings} the input")
    return (runs.group(1) if runs else "?", done.returncode != 0)


def run_text(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
