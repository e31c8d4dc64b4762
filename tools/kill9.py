#!/usr/bin/env python3
"""Repeated kill -9 during publishes: no acknowledged publish is lost, and none is stored twice.

Every publish has an idempotency key. The script kills the server at a random moment of the publish, starts it again on
the same directory, and repeats a publish without an answer. After every start the served versions must be those of the
last publishes; at the end the history must match all answers, and the store must be sound.

    tools/kill9.py --chancery target/release/chancery [--publishes 1000] [--kills 1000] [--seed 1]
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import StepFailed, environment

GROUPS = ["edge", "mesh", "*"]
# Clusters of a snapshot; a publish changes one of them, and now and then many.
CLUSTERS = 20
# One of this many starts is killed before the server is ready.
EARLY = 10
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


class Server:
    """`chancery serve` on free ports."""

    def __init__(self, chancery: Path, data: Path, keep: int, log: Path) -> None:
        ports = [f"--{name}-addr=127.0.0.1:0" for name in ("xds", "admin", "http")]
        command = [chancery, "serve", "--data-dir", data, "--keep-revisions", str(keep), *ports]
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment(CHANCERY_LOG="warn"),
                start_new_session=True,
            )

    def admin(self) -> str:
        """Waits until the server serves, and returns the address of its admin API."""
        for line in self.process.stdout:
            name, _, address = line.decode().strip().partition(" listening on ")
            if name == "admin":
                return f"http://{address}"
        raise StepFailed(f"the server ended with {self.process.wait()}; see {self.log}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


class Run:
    """The publishes of a run, and the expected content of the store."""

    def __init__(self, arguments: argparse.Namespace, directory: Path) -> None:
        self.chancery = arguments.chancery.resolve()
        self.publishes = arguments.publishes
        self.random = random.Random(arguments.seed)
        self.data = directory / "data"
        self.log = directory / "server.log"
        self.file = directory / "clusters.json"
        self.clusters = {group: dict.fromkeys(range(CLUSTERS), "0") for group in GROUPS}
        # Group → its revisions, newest last: (number, version of the clusters).
        self.expected: dict[str, list[tuple[int, str]]] = {group: [] for group in GROUPS}
        self.counts: collections.Counter[str] = collections.Counter()
        # Seconds from the start of the client to its answer, from which the time of the kill is drawn.
        self.took = 0.05
        self.killed_at = sorted(self.random.sample(range(self.publishes), min(arguments.kills, self.publishes)))

    def client(self, admin: str, *arguments: str) -> subprocess.Popen:
        command = [self.chancery, "--admin", admin, "-o", "json", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment())

    def ask(self, admin: str, *arguments: str) -> dict:
        """Runs a command that must succeed."""
        client = self.client(admin, *arguments)
        stdout, stderr = client.communicate()
        if client.returncode != 0:
            raise StepFailed(f"{arguments} ended with {client.returncode}: {stderr.decode()}")
        return json.loads(stdout)

    def start(self) -> tuple[Server, str]:
        """Starts a server and checks the served versions; some servers are killed before that."""
        while self.random.randrange(EARLY) == 0:
            early = Server(self.chancery, self.data, self.publishes + 1, self.log)
            time.sleep(self.random.uniform(0, 0.1))
            early.kill()
            self.counts["killed while starting"] += 1
        server = Server(self.chancery, self.data, self.publishes + 1, self.log)
        admin = server.admin()
        self.counts["starts"] += 1
        self.check_heads(admin)
        return server, admin

    def check_heads(self, admin: str) -> None:
        """Checks that the last publishes are served."""
        listed = self.ask(admin, "get")["snapshots"]
        found = {snapshot["group"]: revision_of(snapshot) for snapshot in listed}
        expected = {group: revisions[-1] for group, revisions in self.expected.items() if revisions}
        if found != expected:
            raise StepFailed(f"after a restart {found} is served, expected {expected}")

    def publish(self, number: int, server: Server, admin: str, kill: bool) -> tuple[Server, str]:
        """Makes one publish, with or without a kill during it."""
        group = self.random.choice(GROUPS)
        some = self.random.sample(range(CLUSTERS), 1 if self.random.random() < 0.9 else CLUSTERS // 2)
        self.clusters[group].update(dict.fromkeys(some, str(number)))
        self.file.write_text(document(self.clusters[group]))
        call = ["replace", "-g", group, "-f", str(self.file), "--idempotency-key", f"publish-{number}"]
        begun = time.monotonic()
        client = self.client(admin, *call)
        if kill:
            time.sleep(self.random.uniform(0, 1.3 * self.took))
            server.kill()
            self.counts["kills"] += 1
        stdout, stderr = client.communicate()
        if client.returncode == 0:
            answer = json.loads(stdout)
            if not kill:
                self.took += (time.monotonic() - begun - self.took) / 4
            self.counts["acknowledged"] += 1
            if answer["repeated"]:
                raise StepFailed(f"publish {number} was never sent before: {answer}")
            self.expect(group, answer)
            if kill:
                self.counts["killed after the answer"] += 1
        elif not kill:
            raise StepFailed(f"publish {number} ended with {client.returncode}: {stderr.decode()}")
        if not kill:
            return server, admin
        if client.returncode == 0:
            return self.start()
        # The publish may or may not be stored. A repetition reports which, and the publish is stored once.
        server = Server(self.chancery, self.data, self.publishes + 1, self.log)
        admin = server.admin()
        self.counts["starts"] += 1
        answer = self.ask(admin, *call)
        self.counts["answer lost, was kept" if answer["repeated"] else "answer lost, was not kept"] += 1
        self.expect(group, answer)
        self.check_heads(admin)
        return server, admin

    def expect(self, group: str, answer: dict) -> None:
        versions = [change["version"] for change in answer["changes"]]
        if not answer["changed"] or len(versions) != 1:
            raise StepFailed(f"it changed clusters, and the answer says {answer}")
        newest = max((revisions[-1][0] for revisions in self.expected.values() if revisions), default=0)
        if answer["revision"] <= newest:
            raise StepFailed(f"revision {answer['revision']} comes after {newest}")
        self.expected[group].append((answer["revision"], versions[0]))

    def check_history(self, admin: str) -> None:
        """Checks that every revision is stored, under the version in its answer."""
        for group, revisions in self.expected.items():
            found = self.ask(admin, "history", "-g", group)["revisions"] if revisions else []
            found = [revision_of(revision) for revision in reversed(found)]
            if found != revisions:
                missing = [revision for revision in revisions if revision not in found]
                raise StepFailed(
                    f"group {group} has {len(found)} revisions of {len(revisions)}; missing: {missing[:5]}"
                )
            self.counts["revisions found"] += len(found)

    def check_sound(self) -> None:
        """Verifies the store, which no server has open."""
        command = [self.chancery, "-o", "json", "verify", self.data]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        if ran.returncode != 0:
            raise StepFailed(f"verify ended with {ran.returncode}: {ran.stderr}")
        self.counts["integrity checks"] += 1

    def run(self) -> None:
        server, admin = self.start()
        kills = set(self.killed_at)
        try:
            for number in range(self.publishes):
                server, admin = self.publish(number, server, admin, number in kills)
                if (number + 1) % 100 == 0:
                    print(f"  {number + 1} publishes, {self.counts['kills']} kills", flush=True)
            self.check_history(admin)
        finally:
            server.kill()
        self.check_sound()
        server, admin = self.start()
        try:
            self.check_history(admin)
        finally:
            server.kill()


def revision_of(snapshot: dict) -> tuple[int, str]:
    """The revision's number, and the version of its clusters."""
    return snapshot["revision"], next((row["version"] for row in snapshot["types"] if row["type_url"] == CLUSTER), "")


def document(clusters: dict[int, str]) -> str:
    """Clusters of about 1 KB each."""
    one = [
        {
            "@type": CLUSTER,
            "name": f"cluster-{number}",
            "alt_stat_name": content.ljust(900, "x"),
            "connect_timeout": "1s",
        }
        for number, content in clusters.items()
    ]
    return json.dumps({"resources": one})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chancery", type=Path, required=True, help="the binary")
    parser.add_argument("--publishes", type=int, default=1000)
    parser.add_argument("--kills", type=int, help="number of publishes with a kill; all by default")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    arguments = parser.parse_args()
    if arguments.kills is None:
        arguments.kills = arguments.publishes
    begun = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="chancery-kill9-"))
    run = Run(arguments, directory)
    try:
        run.run()
    except StepFailed as error:
        print(f"kill9: FAILED with --seed {arguments.seed}: {error}\n  left in {directory}: {dict(run.counts)}")
        return 1
    shutil.rmtree(directory)
    print(f"kill9: {arguments.publishes} publishes in {time.monotonic() - begun:.0f} s, seed {arguments.seed}")
    for what, count in run.counts.items():
        print(f"  {count:6} {what}")
    print("kill9: ok: every acknowledged revision is stored once, under its version; the store is sound")
    return 0


if __name__ == "__main__":
    sys.exit(main())
