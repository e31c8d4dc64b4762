#!/usr/bin/env python3
"""Chancery validates each folder of examples/, and every installed Envoy loads it by file-based discovery.

Chancery must have no finding, not even a warning. Envoy gets the files with two changes: resources from the control
plane's stream (`ads: {}`) are read from their file, and listeners use a free port. A folder passes if Envoy shows each
of its resources as active and counts no rejected update. To test the check itself, a broken copy must fail.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import ROOT, Child, StepFailed, environment, free_port, http_get, wait_until

EXAMPLES = ROOT / "examples"
TOOLS = ROOT / "target" / "tools"
NAME_FIELD = re.compile(r'^- "@type": type\.googleapis\.com/([\w.]+)\n  (?:name|cluster_name): (\S+)$', re.MULTILINE)

# The place of a type's loaded resources in /config_dump: section, list in it, path to the name.
ACTIVE = {
    "envoy.config.cluster.v3.Cluster": ("ClustersConfigDump", "dynamic_active_clusters", ("cluster", "name")),
    "envoy.config.listener.v3.Listener": (
        "ListenersConfigDump",
        "dynamic_listeners",
        ("active_state", "listener", "name"),
    ),
    "envoy.config.route.v3.RouteConfiguration": ("RoutesConfigDump", "dynamic_route_configs", ("route_config", "name")),
    "envoy.config.endpoint.v3.ClusterLoadAssignment": (
        "EndpointsConfigDump",
        "dynamic_endpoint_configs",
        ("endpoint_config", "cluster_name"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chancery", type=Path, required=True, help="the binary that validates the examples")
    arguments = parser.parse_args()
    envoys = sorted(TOOLS.glob("envoy-*/envoy"))
    if not envoys:
        print("examples: no Envoy is installed: run `make tools`", file=sys.stderr)
        return 1
    folders = sorted(path.parent for path in EXAMPLES.glob("*/cds.yaml"))
    try:
        for folder in folders:
            validate(arguments.chancery, folder)
        for envoy in envoys:
            for folder in folders:
                names = load(envoy, {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")})
                print(f"examples: {envoy.parent.name} loads {folder.relative_to(ROOT)}: {', '.join(names)}", flush=True)
        refuses_a_broken_copy(envoys[-1], EXAMPLES / "tutorial")
    except StepFailed as error:
        print(f"examples: {error}", file=sys.stderr)
        return 1
    return 0


def validate(chancery: Path, folder: Path) -> None:
    """Fails if `chancery` has a finding about the files."""
    try:
        done = subprocess.run(
            [str(chancery), "validate", "--deny-warnings", "-f", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env=environment(),
            check=False,
        )
    except OSError as error:
        raise StepFailed(f"{chancery} does not start: {error}") from error
    if done.returncode != 0:
        raise StepFailed(f"chancery validate refuses {folder.relative_to(ROOT)}:\n{done.stdout}")


def refuses_a_broken_copy(envoy: Path, folder: Path) -> None:
    """Tests the check: a listener with an unknown cluster must not pass."""
    files = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    # Envoy checks the clusters of inline routes only.
    files["lds.yaml"] = files["lds.yaml"].replace("cluster: targetCluster", "cluster: noSuchCluster")
    try:
        load(envoy, files)
    except StepFailed as error:
        if "noSuchCluster" in str(error):
            print("examples: a broken copy is refused, as expected")
            return
        raise
    raise StepFailed("a listener that routes to an unknown cluster passed the check")


def load(envoy: Path, files: dict[str, str]) -> list[str]:
    """Runs `envoy` on `files`, and returns the names of its resources once it has all those in the files."""
    expected = {found for text in files.values() for found in NAME_FIELD.findall(text)}
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix="examples-") as scratch:
        folder = Path(scratch)
        for name, text in files.items():
            (folder / name).write_text(from_files(text, folder), encoding="utf-8")
        admin = free_port(9901)
        (folder / "bootstrap.json").write_text(json.dumps(bootstrap(folder, admin)), encoding="utf-8")
        child = Child(
            "Envoy", [str(envoy), "-c", str(folder / "bootstrap.json"), "--disable-hot-restart"], folder / "envoy.log"
        )
        try:

            def settled() -> bool:
                refuse_rejections(admin, child)
                return expected <= loaded(admin)

            wait_until(f"Envoy to load {sorted(name for _, name in expected)}", 30, settled, child)
        finally:
            child.stop()
    return sorted(name for _, name in expected)


def from_files(text: str, folder: Path) -> str:
    """The example with its children read from files instead of the control plane's stream."""
    child = "eds.yaml" if "eds_config:" in text else "rds.yaml"
    text = re.sub(r"ads: \{\}", f'path_config_source: {{ path: "{folder / child}" }}', text)
    return text.replace("port_value: 10000", "port_value: 0")


def bootstrap(folder: Path, admin: int) -> dict[str, Any]:
    """The bootstrap of an Envoy that reads listeners and clusters from `folder`."""

    def source(name: str) -> dict[str, Any]:
        return {"path_config_source": {"path": str(folder / name)}, "resource_api_version": "V3"}

    return {
        "node": {"id": "examples", "cluster": "examples"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "dynamic_resources": {"lds_config": source("lds.yaml"), "cds_config": source("cds.yaml")},
    }


def refuse_rejections(admin: int, child: Child) -> None:
    """Fails as soon as Envoy counts a rejected update, with the end of its log."""
    answer = http_get(f"http://127.0.0.1:{admin}/stats?filter=update_rejected&usedonly")
    if answer and re.search(r"update_rejected: [1-9]", answer[1]):
        raise StepFailed(f"Envoy rejects an example; the end of its log:\n{child.tail(6)}")


def loaded(admin: int) -> set[tuple[str, str]]:
    """Type and name of every resource that Envoy uses now."""
    answer = http_get(f"http://127.0.0.1:{admin}/config_dump?include_eds")
    if not answer or answer[0] != 200:
        return set()
    found = set()
    for section in json.loads(answer[1]).get("configs", []):
        for kind, (dump, field, path) in ACTIVE.items():
            if section["@type"].endswith("." + dump):
                found |= {(kind, name_at(item, path)) for item in section.get(field, [])}
    return found


def name_at(item: dict[str, Any], path: tuple[str, ...]) -> str:
    """The text at `path` in nested objects, or an empty text."""
    for key in path[:-1]:
        item = item.get(key, {})
    return str(item.get(path[-1], ""))


if __name__ == "__main__":
    sys.exit(main())
