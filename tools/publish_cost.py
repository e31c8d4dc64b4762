#!/usr/bin/env python3
"""Measures the cost of publishes on the server: CPU from /proc, and bytes of the store.

Publishes 10 000 clusters of about 1 KB as YAML, then with one of them changed, then unchanged, then with all of them
changed; and the same as encoded resources. Prints a table; fails if a publish that changes one resource stores much
more than one.

    tools/publish_cost.py --chancery target/release/chancery [--resources 10000]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill9 import CLUSTER, Server
from processes import StepFailed, environment

# Bytes that a publish of one changed resource of 1 KB may add to the store: the resource, and the records that name it.
ONE_CHANGED = 64_000


def cpu_seconds(process: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def clusters(count: int, changed: range, mark: str) -> str:
    """Clusters of about 1 KB, some of them with other content."""
    texts = []
    for number in range(count):
        content = (mark if number in changed else "first").ljust(780, "x")
        texts.append(
            f'- "@type": {CLUSTER}\n'
            f"  name: cluster-{number:05}\n"
            f"  type: EDS\n"
            f"  connect_timeout: 1s\n"
            f"  alt_stat_name: {content}\n"
            f"  eds_cluster_config:\n"
            f"    eds_config: {{ads: {{}}, resource_api_version: V3}}\n"
            f"  circuit_breakers:\n"
            f"    thresholds: [{{max_connections: 1000, max_requests: 2000, max_retries: 3}}]\n"
        )
    return "resources:\n" + "".join(texts)


class Measured:
    """A server, with measurements of the cost of each call."""

    def __init__(self, chancery: Path, directory: Path) -> None:
        directory.mkdir()
        self.chancery = chancery
        self.server = Server(chancery, directory / "data", 50, directory / "server.log")
        self.admin = self.server.admin()

    def run(self, *arguments: str) -> str:
        command = [self.chancery, "--admin", self.admin, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        if ran.returncode != 0:
            raise StepFailed(f"{arguments} ended with {ran.returncode}: {ran.stderr[-2000:]}")
        return ran.stdout

    def backup_bytes(self, directory: Path) -> int:
        """The stored bytes, without the space that the database keeps in reserve."""
        path = directory / "size.backup"
        self.run("backup", "--out", str(path))
        size = path.stat().st_size
        path.unlink()
        return size

    def publish(self, what: str, file: Path, directory: Path) -> int:
        """Publishes, prints the cost, and returns the number of added bytes."""
        stored, begun, clock = self.backup_bytes(directory), cpu_seconds(self.server.process.pid), time.monotonic()
        answer = json.loads(self.run("replace", "-g", "g", "-f", str(file), "-o", "json", "--allow-removals"))
        cpu, seconds = cpu_seconds(self.server.process.pid) - begun, time.monotonic() - clock
        added = self.backup_bytes(directory) - stored
        changed = sum(len(change[kind]) for change in answer["changes"] for kind in ("added", "changed", "removed"))
        print(f"  {what:42} {changed:7} changed  {cpu:6.2f} s CPU  {seconds:6.2f} s in all  {added:+12,} bytes stored")
        return added


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chancery", type=Path, required=True, help="the binary, a release build")
    parser.add_argument("--resources", type=int, default=10_000)
    arguments = parser.parse_args()
    count, none = arguments.resources, range(0)
    states = {
        "all new": (none, ""),
        "one of them changed": (range(count // 2, count // 2 + 1), "second"),
        "nothing changed": (range(count // 2, count // 2 + 1), "second"),
        "all changed": (range(count), "third"),
    }
    failed = False
    with tempfile.TemporaryDirectory(prefix="chancery-publish-cost-") as name, contextlib.ExitStack() as servers:
        directory = Path(name)

        def start(what: str) -> Measured:
            measured = Measured(arguments.chancery.resolve(), directory / what)
            servers.callback(measured.server.kill)
            return measured

        try:
            encoder = start("encoder")
            for form in ("YAML", "encoded"):
                measured = start(form)
                for what, (changed, mark) in states.items():
                    file = directory / "clusters.yaml"
                    file.write_text(clusters(count, changed, mark))
                    if form == "encoded":
                        file = encoded(encoder, file, directory)
                    added = measured.publish(f"{form}, {count} resources, {what}", file, directory)
                    if what == "one of them changed" and added > ONE_CHANGED:
                        print(f"  one changed resource stores {added} bytes, at most {ONE_CHANGED} were expected")
                        failed = True
        except StepFailed as error:
            print(f"publish_cost: FAILED: {error}")
            return 1
    print("publish_cost: FAILED" if failed else "publish_cost: ok")
    return int(failed)


def encoded(encoder: Measured, file: Path, directory: Path) -> Path:
    """The resources as an encoded DiscoveryResponse, made with another server."""
    encoder.run("replace", "-g", "encoder", "-f", str(file), "--allow-removals")
    path = directory / "clusters.pb"
    encoder.run("export", "-g", "encoder", "--out", str(path), "--force")
    return path


if __name__ == "__main__":
    sys.exit(main())
