#!/usr/bin/env python3
"""`make demo`: Chancery, a real Envoy and two upstreams, with a first publish, a refused publish and its fix.

Each step prints its command and the output. All files are below target/demo/. The demo runs until Ctrl-C, or ends by
itself with DEMO_EXIT=1. If a step fails, the demo ends with a non-zero exit code.
"""

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from processes import ENVOY, ROOT, Child, StepFailed, environment, free_port, http_get, wait_until

GROUP = "demo"
NODE = "demo-envoy"

# The part of examples/tutorial/eds.yaml that the first publish omits.
SECOND_ENDPOINT = """\
    - endpoint:
        address:
          socket_address: { address: 127.0.0.1, port_value: 8082 }
"""

# Timeout of one command. A publish with --wait ends earlier, after 60 s.
COMMAND_SECONDS = 90
# Timeout for the start of a process, and for a publish to reach the traffic.
STEP_SECONDS = 20


@dataclass(frozen=True)
class Ports:
    """The usual port of each part if it is free, otherwise another one."""

    xds: int
    admin: int
    http: int
    envoy_admin: int
    listener: int

    @classmethod
    def pick(cls) -> "Ports":
        return cls(
            xds=free_port(18000),
            admin=free_port(18001),
            http=free_port(18002),
            envoy_admin=free_port(9901),
            listener=free_port(10000),
        )


class Demo:
    """The running processes, and the steps of the demo."""

    def __init__(self, chancery: Path, folder: Path, stack: ExitStack) -> None:
        self.chancery = chancery
        self.folder = folder
        self.stack = stack
        self.ports = Ports.pick()
        self.children: list[Child] = []
        self.environment = environment(CHANCERY_ADMIN=f"http://127.0.0.1:{self.ports.admin}")

    # The processes

    def start_upstreams(self) -> list[int]:
        say("Two upstreams answer HTTP with their name.")
        ports = [start_upstream(number, free_port(8080 + number), self.stack) for number in (1, 2)]
        for number, port in enumerate(ports, 1):
            print(f"upstream {number} listens on 127.0.0.1:{port}", flush=True)
        return ports

    def start_chancery(self) -> None:
        say("Chancery starts with an empty data directory, so without any configuration.")
        arguments = ["serve", "--data-dir", relative(self.folder / "data")]
        for flag, port in (
            ("--xds-addr", self.ports.xds),
            ("--admin-addr", self.ports.admin),
            ("--http-addr", self.ports.http),
        ):
            arguments += [flag, f"127.0.0.1:{port}"]
        child = self.start("chancery", self.chancery, arguments)
        ready = f"http://127.0.0.1:{self.ports.http}/readyz"
        wait_until(f"200 from {ready}", STEP_SECONDS, lambda: (http_get(ready) or (0,))[0] == 200, child)
        print(f"$ export CHANCERY_ADMIN={self.environment['CHANCERY_ADMIN']}", flush=True)

    def start_envoy(self) -> None:
        say("Envoy starts from a bootstrap that takes all configuration from Chancery over gRPC (ADS).")
        bootstrap = self.folder / "envoy.yaml"
        node = ("--node-id", NODE, "--node-cluster", GROUP)
        addresses = ("--xds-addr", f"127.0.0.1:{self.ports.xds}", "--admin-port", str(self.ports.envoy_admin))
        self.run("bootstrap", *node, *addresses, into=bootstrap)
        envoy = self.start("envoy", ENVOY, ["-c", relative(bootstrap), "--disable-hot-restart"])

        def connected() -> bool:
            return self.call("status", NODE).returncode == 0

        wait_until(f"node {NODE} to connect to Chancery", STEP_SECONDS, connected, *self.children)
        print(f"Envoy is connected; its own admin page: http://127.0.0.1:{self.ports.envoy_admin}", flush=True)
        envoy.check()

    # The steps

    def publish_first(self, upstreams: list[int]) -> None:
        say("First publish: listener, cluster and ONE endpoint. --wait returns once Envoy has accepted it.")
        self.write("cds.yaml")
        self.write("lds.yaml", self.listener_port())
        self.write("eds.yaml", {SECOND_ENDPOINT: "", "port_value: 8081": f"port_value: {upstreams[0]}"})
        self.run("replace", "-g", GROUP, "-f", relative(self.folder / "config"), "--wait")
        self.traffic({1})

    def add_endpoint(self, upstreams: list[int]) -> None:
        say("A second endpoint: `apply` changes only the resources it is given.")
        self.write("eds.yaml", {f"port_value: {8081 + at}": f"port_value: {port}" for at, port in enumerate(upstreams)})
        self.run("apply", "-g", GROUP, "-f", self.file("eds.yaml"), "--wait")
        self.traffic({1, 2})

    def publish_refused(self) -> None:
        say("A publish that Envoy refuses: a typing error in the name of a cluster. Exit code 1, and Envoy's message.")
        self.write("lds.yaml", self.listener_port() | {"cluster: targetCluster": "cluster: tragetCluster"})
        said = self.run("apply", "-g", GROUP, "-f", self.file("lds.yaml"), "--wait", expect=1)
        # Only Envoy's message has this text; Chancery's own warning about the missing cluster differs.
        if "route: unknown cluster 'tragetCluster'" not in said:
            raise StepFailed("the refused publish does not show Envoy's message")
        say("Traffic still flows: Envoy keeps the configuration that it accepted last.")
        self.traffic({1, 2})
        say("`status` shows which node refused which resource, and why.")
        said = self.run("status")
        if "tragetCluster" not in said:
            raise StepFailed("`chancery status` does not show the refusal")

    def publish_mended(self) -> None:
        say("The fixed listener: Envoy accepts it, and `status` shows no refusal any more.")
        self.write("lds.yaml", self.listener_port())
        self.run("apply", "-g", GROUP, "-f", self.file("lds.yaml"), "--wait")
        said = self.run("status")
        if "tragetCluster" in said:
            raise StepFailed("`chancery status` still shows the refusal")
        self.traffic({1, 2})

    # Helpers of the steps

    def start(self, name: str, program: Path, arguments: list[str]) -> Child:
        """A child that runs until the demo ends; its output goes to a log file."""
        log = self.folder / f"{name}.log"
        print(f"$ {shown(name, arguments)} > {relative(log)} &", flush=True)
        child = Child(name, [str(program), *arguments], log, self.environment)
        self.stack.callback(child.stop)
        self.children.append(child)
        return child

    def run(self, *arguments: str, expect: int = 0, into: Path | None = None) -> str:
        """Runs one `chancery` command and shows its output; any exit code other than `expect` fails the demo."""
        redirect = f" > {relative(into)}" if into else ""
        print(f"$ {shown('chancery', arguments)}{redirect}", flush=True)
        done = self.call(*arguments, merge=into is None)
        if into:
            into.write_text(done.stdout, encoding="utf-8")
            print(done.stderr, end="", flush=True)
        else:
            print(done.stdout, end="", flush=True)
        if expect:
            print(f"$ echo $?\n{done.returncode}", flush=True)
        if done.returncode != expect:
            raise StepFailed(f"`chancery {arguments[0]}` ended with {done.returncode}, not {expect}")
        for child in self.children:
            child.check()
        return done.stdout

    def call(self, *arguments: str, merge: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one `chancery` command without showing it."""
        try:
            return subprocess.run(
                [str(self.chancery), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                text=True,
                timeout=COMMAND_SECONDS,
                env=self.environment,
                cwd=ROOT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"`chancery {arguments[0]}` did not end within {COMMAND_SECONDS} s") from error

    def traffic(self, upstreams: set[int]) -> None:
        """Sends requests through Envoy: once all `upstreams` have answered, shows four in a row, which must succeed."""
        url = f"http://127.0.0.1:{self.ports.listener}/"
        seen: set[str] = set()

        def all_answered() -> bool:
            seen.update(curl(url).stdout.splitlines())
            return {f"hello from upstream {number}" for number in upstreams} <= seen

        # Envoy's workers apply new configuration a moment after Envoy has accepted it.
        wait_until(f"answers from upstreams {sorted(upstreams)} at {url}", STEP_SECONDS, all_answered, *self.children)
        for _ in range(4):
            print(f"$ curl -s {url}", flush=True)
            done = curl(url)
            print(done.stdout, end="", flush=True)
            if done.returncode != 0 or not done.stdout.startswith("hello from upstream"):
                raise StepFailed(f"no answer from an upstream: curl ended with {done.returncode}, {done.stdout!r}")

    def write(self, name: str, changes: dict[str, str] | None = None) -> None:
        """Writes a file of examples/tutorial, with this demo's ports, into the published folder."""
        text = (ROOT / "examples" / "tutorial" / name).read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            if old not in text:
                raise StepFailed(f"examples/tutorial/{name} no longer holds {old!r}")
            text = text.replace(old, new)
        target = self.folder / "config" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def listener_port(self) -> dict[str, str]:
        """The replacement that puts the example's listener on this demo's port."""
        return {"port_value: 10000": f"port_value: {self.ports.listener}"}

    def file(self, name: str) -> str:
        return relative(self.folder / "config" / name)

    def run_until_interrupted(self) -> None:
        say("Everything keeps running until Ctrl-C. In another terminal, from this folder:")
        print(f"$ export PATH={self.chancery.parent}:$PATH CHANCERY_ADMIN={self.environment['CHANCERY_ADMIN']}")
        print(f"$ chancery status\n$ chancery get -g {GROUP} -o yaml\n$ chancery history -g {GROUP}", flush=True)
        while True:
            for child in self.children:
                child.check()
            time.sleep(0.5)


def start_upstream(number: int, port: int, stack: ExitStack) -> int:
    """Starts an HTTP server in a thread, and returns its port."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 (the name is the standard library's)
            body = f"hello from upstream {number}\n".encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing, since the demo's own output shows the requests."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server.server_address[1]


def curl(url: str) -> subprocess.CompletedProcess[str]:
    """Sends one request with curl, as a person would."""
    return subprocess.run(["curl", "-s", "--max-time", "5", url], stdout=subprocess.PIPE, text=True, check=False)


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def shown(program: str, arguments: tuple[str, ...] | list[str]) -> str:
    return shlex.join([program, *arguments])


def relative(path: Path) -> str:
    """The path relative to the repository's folder, where every command runs."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Locks the folder, since two demos in it would overwrite each other's files."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepFailed(f"another demo is running in {relative(folder)}") from error
        yield


def run(chancery: Path, folder: Path, stay: bool) -> None:
    """Runs the whole demo, and stops its processes in any case."""
    for program, remedy in ((chancery, "cargo build --release --locked"), (ENVOY, "make tools")):
        if not program.exists():
            raise StepFailed(f"{relative(program)} is missing: run `{remedy}`")
    if ROOT / "target" not in folder.parents:
        raise StepFailed(f"{folder} is not below target/, and the demo empties its folder first")
    if not shutil.which("curl"):
        raise StepFailed("curl is missing")
    with only_one(folder), ExitStack() as stack:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        demo = Demo(chancery, folder, stack)
        upstreams = demo.start_upstreams()
        demo.start_chancery()
        demo.start_envoy()
        demo.publish_first(upstreams)
        demo.add_endpoint(upstreams)
        demo.publish_refused()
        demo.publish_mended()
        if stay:
            demo.run_until_interrupted()


def interrupt(_number: int, _frame: object) -> None:
    """The first SIGINT or SIGTERM ends the demo; further ones do not interrupt the end, which takes bounded time."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chancery", type=Path, default=ROOT / "target/release/chancery", help="the binary to run")
    parser.add_argument("--dir", type=Path, default=ROOT / "target/demo", help="the folder of all files; emptied first")
    arguments = parser.parse_args()
    stay = os.environ.get("DEMO_EXIT", "") in ("", "0")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        run(arguments.chancery.absolute(), arguments.dir.absolute(), stay)
    except StepFailed as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: ended", flush=True)
        return 0 if stay else 130
    print("\ndemo: ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
