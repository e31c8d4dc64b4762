#!/usr/bin/env python3
"""Scrapes a real Chancery in both text formats; Prometheus' own parsers and docs/metrics.md must agree with it.

Run it from target/tools/venv, which `make tools` makes. Every metric must have a row in the page, with its kind and
labels; every row must have a metric; and the alerts of the page must name existing metrics.
"""

import argparse
import json
import re
import sys
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import yaml
from processes import ROOT, Child, StepFailed, environment, free_port, http_get, wait_until
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

PAGE = ROOT / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|", re.MULTILINE)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Suffixes of the series of a histogram.
PARTS = ("_bucket", "_sum", "_count")

# Each metric's kind and labels, by its name in the page.
Described = dict[str, tuple[str, frozenset[str]]]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--chancery", type=Path, required=True, help="the binary that is scraped")
    try:
        classic, modern = scrape(arguments.parse_args().chancery)
        found = described(parser.text_string_to_metric_families(classic))
        agree("the two formats", found, described(openmetrics_parser.text_string_to_metric_families(modern)))
        agree("docs/metrics.md", found, documented())
        check_alerts(found)
    except (StepFailed, ValueError) as error:
        print(f"metrics: {error}", file=sys.stderr)
        return 1
    print(f"metrics: {len(found)} metrics, each in both formats and in docs/metrics.md")
    return 0


def scrape(chancery: Path) -> tuple[str, str]:
    """The classic text and OpenMetrics of a server with all features."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files" / "demo"
        folder.mkdir(parents=True)
        cluster = {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "a"}
        (folder / "cds.yaml").write_text(json.dumps({"resources": [cluster]}), encoding="utf-8")
        http = free_port(18002)
        flags = ["--ephemeral", "--files", str(folder.parent), "--http-addr", f"127.0.0.1:{http}"]
        flags += ["--xds-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]
        server = Child("Chancery", [str(chancery), "serve", *flags], Path(scratch) / "log", environment())
        try:
            url = f"http://127.0.0.1:{http}"
            wait_until("Chancery to be ready", 30, lambda: http_get(f"{url}/readyz") == (200, "ok\n"), server)
            return get(f"{url}/metrics", "text/plain", ""), get(f"{url}/metrics", "openmetrics", OPENMETRICS)
        finally:
            server.stop()


def get(url: str, kind: str, accept: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"accept": accept}), timeout=10) as response:
        given = response.headers["content-type"]
        if kind not in given:
            raise StepFailed(f"/metrics is {given!r} for a client that accepts {accept!r}")
        return response.read().decode()


def described(families: Iterable[Metric]) -> Described:
    """The metrics that a parser finds in a text; the parser fails on a malformed text."""
    found: Described = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not family.documentation.endswith("."):
            raise StepFailed(f"{name} has no help")
        if not family.samples:
            raise StepFailed(f"{name} has no series")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, frozenset(labels))
    return found


def documented() -> Described:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def agree(what: str, found: Described, other: Described) -> None:
    differ = sorted(name for name in found.keys() | other.keys() if found.get(name) != other.get(name))
    if differ:
        lines = [f"{name}: {found.get(name)}, there {other.get(name)}" for name in differ]
        raise StepFailed(f"{what}: " + "; ".join(lines))


def check_alerts(found: Described) -> None:
    """Every alert names existing metrics."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.+?)^```", text, re.MULTILINE | re.DOTALL)]
    rules = [rule for block in blocks for group in block.get("groups", []) for rule in group["rules"]]
    if not rules:
        raise StepFailed(f"{PAGE.name} has no alerts")
    for rule in rules:
        for name in re.findall(r"\b(?:xds|process)_\w+", rule["expr"]):
            if not {name, *(name.removesuffix(part) for part in PARTS)} & found.keys():
                raise StepFailed(f"alert {rule['alert']}: there is no metric {name}")


if __name__ == "__main__":
    sys.exit(main())
