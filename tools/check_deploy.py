#!/usr/bin/env python3
"""Checks deploy/: every manifest against Kubernetes' own schemas, and all of them against each other.

Run it from target/tools/venv, which `make tools` makes. The real `chancery` checks the settings in the ConfigMap, the
real Envoy the bootstrap of the example. Then the checks run on deliberately broken copies, and must report each.
"""

import argparse
import copy
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from processes import ENVOY, ROOT, environment

MANIFESTS = ROOT / "deploy" / "kubernetes"
# The oldest release still in wide use, and the newest with a schema.
KUBERNETES = ("1.33", "1.37")
# Applied by hand, so not part of the kustomization.
EXAMPLE = "envoy-example.yaml"

Manifest = dict[str, Any]
Problems = Iterator[str]


@dataclass
class Deploy:
    """The parsed input of the checks: manifests with their files, and the files they must agree with."""

    manifests: list[tuple[str, Manifest]]
    kustomization: Manifest
    dockerfile: str
    version: str

    @classmethod
    def read(cls) -> "Deploy":
        files = sorted(path for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml")
        version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
        return cls(
            manifests=[
                (path.name, manifest)
                for path in files
                for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
            ],
            kustomization=yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8")),
            dockerfile=(ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"),
            version=version.group(1) if version else "",
        )

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [manifest for _, manifest in self.manifests if manifest.get("kind") in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        """The manifest of this kind and name, or an empty one."""
        return next((found for found in self.of_kind(kind) if found["metadata"]["name"] == name), {})

    def workloads(self) -> list[Manifest]:
        return self.of_kind("StatefulSet", "Deployment")

    def selected(self, labels: dict[str, str]) -> list[Manifest]:
        """The workloads whose pods carry all of `labels`."""
        return [
            found
            for found in self.workloads()
            if labels.items() <= found["spec"]["template"]["metadata"]["labels"].items()
        ]

    def chancery(self) -> Manifest:
        return self.named("StatefulSet", "chancery")


def title(manifest: Manifest) -> str:
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def pod(workload: Manifest) -> Manifest:
    return workload["spec"]["template"]["spec"]


def containers(workload: Manifest) -> list[Manifest]:
    return pod(workload)["containers"]


def port_names(workload: Manifest) -> set[str]:
    return {port["name"] for container in containers(workload) for port in container.get("ports", [])}


# The checks: each yields a message per problem.


def schemas(deploy: Deploy) -> Problems:
    """Strict: a field that Kubernetes does not know is a problem."""
    for version in KUBERNETES:
        for file, manifest in deploy.manifests:
            try:
                used = kubernetes_validate.validate(manifest, version, strict=True)
                if used != version:
                    yield f"there is no schema of Kubernetes {version}, only of {used}"
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{file}: {title(manifest)}: Kubernetes {version}: {getattr(error, 'message', error)}"


def kustomization(deploy: Deploy) -> Problems:
    listed = set(deploy.kustomization["resources"])
    files = {file for file, _ in deploy.manifests} - {EXAMPLE}
    for file in sorted(listed ^ files):
        yield f"kustomization.yaml: {file} is {'not there' if file in listed else 'not listed'}"


def namespaces(deploy: Deploy) -> Problems:
    known = {found["metadata"]["name"] for found in deploy.of_kind("Namespace")}
    for _, manifest in deploy.manifests:
        if manifest["kind"] != "Namespace" and manifest["metadata"].get("namespace") not in known:
            yield f"{title(manifest)}: its namespace is not declared"


def services(deploy: Deploy) -> Problems:
    for service in deploy.of_kind("Service"):
        selected = deploy.selected(service["spec"]["selector"])
        if len(selected) != 1:
            yield f"{title(service)}: its selector matches {len(selected)} workloads"
        for port in service["spec"]["ports"]:
            for workload in selected:
                if port["targetPort"] not in port_names(workload):
                    yield f"{title(service)}: targetPort {port['targetPort']} is no port of {title(workload)}"


def admin_stays_apart(deploy: Deploy) -> Problems:
    """The Service for all Envoys leads to the xDS port only."""
    targets = [port["targetPort"] for port in deploy.named("Service", "chancery").get("spec", {}).get("ports", [])]
    if targets != ["xds"]:
        yield f"Service chancery leads to {targets}, not to xds alone"


def policies(deploy: Deploy) -> Problems:
    for budget in deploy.of_kind("PodDisruptionBudget"):
        if not deploy.selected(budget["spec"]["selector"]["matchLabels"]):
            yield f"{title(budget)}: its selector matches no workload"
    for policy in deploy.of_kind("NetworkPolicy"):
        selected = deploy.selected(policy["spec"]["podSelector"]["matchLabels"])
        if not selected:
            yield f"{title(policy)}: its selector matches no workload"
        ports = [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]]
        for workload in selected:
            for port in sorted(port_names(workload) ^ set(ports)):
                yield f"{title(policy)}: port {port} is not both open and there"


def workloads_whole(deploy: Deploy) -> Problems:
    """Everything that a workload names exists."""
    for workload in deploy.workloads():
        spec = workload["spec"]
        name = title(workload)
        if not spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items():
            yield f"{name}: its selector does not match its own pods"
        if "serviceName" in spec and not deploy.named("Service", spec["serviceName"]):
            yield f"{name}: there is no Service {spec['serviceName']}"
        account = pod(workload).get("serviceAccountName")
        if account and not deploy.named("ServiceAccount", account):
            yield f"{name}: there is no ServiceAccount {account}"
        volumes = {volume["name"] for volume in pod(workload)["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        for container in containers(workload):
            for mount in container["volumeMounts"]:
                if mount["name"] not in volumes:
                    yield f"{name}: there is no volume {mount['name']}"
            if mounted_file(deploy, workload, container) is None:
                yield f"{name}: no ConfigMap has the file that {container['args']} names"


def mounted_file(deploy: Deploy, workload: Manifest, container: Manifest) -> str | None:
    """The text of the file after `--config` or `-c`, from the mounted ConfigMap."""
    args = container["args"]
    path = Path(next((args[at + 1] for at, arg in enumerate(args[:-1]) if arg in ("--config", "-c")), "/"))
    maps = {volume["name"]: volume["configMap"]["name"] for volume in pod(workload)["volumes"] if "configMap" in volume}
    for mount in container["volumeMounts"]:
        if Path(mount["mountPath"]) == path.parent and mount["name"] in maps:
            return deploy.named("ConfigMap", maps[mount["name"]]).get("data", {}).get(path.name)
    return None


def probes(deploy: Deploy) -> Problems:
    for workload in deploy.workloads():
        for container in containers(workload):
            if "readinessProbe" not in container:
                yield f"{title(workload)}: no readinessProbe"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in port_names(workload):
                    yield f"{title(workload)}: {probe}: port {port} is not there"
    for container in containers(deploy.chancery()):
        asked = {
            probe: container.get(probe, {}).get("httpGet", {}).get("path")
            for probe in ("livenessProbe", "readinessProbe")
        }
        if asked != {"livenessProbe": "/livez", "readinessProbe": "/readyz"}:
            yield f"chancery's probes ask {asked}"


def scraped(deploy: Deploy) -> Problems:
    """Prometheus finds the metrics by the pod's annotations."""
    found = deploy.chancery()["spec"]["template"]["metadata"].get("annotations", {})
    ports = {port["name"]: str(port["containerPort"]) for port in containers(deploy.chancery())[0]["ports"]}
    wanted = {"scrape": "true", "port": ports.get("probe"), "path": "/metrics"}
    for key, value in wanted.items():
        if found.get(f"prometheus.io/{key}") != value:
            yield f"StatefulSet chancery: prometheus.io/{key} is {found.get(f'prometheus.io/{key}')}, not {value}"


def hardening(deploy: Deploy) -> Problems:
    for workload in deploy.workloads():
        spec = pod(workload)
        context = spec.get("securityContext", {})
        wanted = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "seccompProfile RuntimeDefault": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "automountServiceAccountToken false": spec.get("automountServiceAccountToken") is False,
            # The server ends its streams within 10 s; the remaining time is for a slow disk.
            "terminationGracePeriodSeconds of 15 or more": spec.get("terminationGracePeriodSeconds", 0) >= 15,
        }
        for container in containers(workload):
            own = container.get("securityContext", {})
            wanted |= {
                "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
                "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
                "capabilities drop ALL": own.get("capabilities", {}).get("drop") == ["ALL"],
                "resources": {"requests", "limits"} <= container.get("resources", {}).keys(),
            }
        for what, given in wanted.items():
            if not given:
                yield f"{title(workload)}: lacks {what}"


def image(deploy: Deploy) -> Problems:
    expected = f"chancery:{deploy.version}"
    found = [container["image"] for workload in deploy.workloads() for container in containers(workload)]
    ours = [name for name in found if name.startswith("chancery:")] + re.findall(
        r"-t (chancery:\S+)", deploy.dockerfile
    )
    if len(ours) < 2:
        yield "the image is not named in both the workload and the Dockerfile"
    for name in ours:
        if name != expected:
            yield f"image {name} is not {expected}, the version in Cargo.toml"
    exposed = {
        int(port) for line in re.findall(r"^EXPOSE (.+)$", deploy.dockerfile, re.MULTILINE) for port in line.split()
    }
    ports = {port["containerPort"] for container in containers(deploy.chancery()) for port in container["ports"]}
    if exposed != ports:
        yield f"the Dockerfile exposes {sorted(exposed)}, the workload has {sorted(ports)}"
    if not re.search(r"^USER (?!0|root)", deploy.dockerfile, re.MULTILINE):
        yield "the Dockerfile's user is root"


def single_writer(deploy: Deploy) -> Problems:
    if deploy.chancery()["spec"]["replicas"] != 1:
        yield "StatefulSet chancery: the embedded store has a single writer, so replicas must be 1"


def settings(deploy: Deploy, chancery: Path) -> Problems:
    """The server's settings: accepted by the server itself, and in agreement with the workload."""
    container = containers(deploy.chancery())[0]
    text = mounted_file(deploy, deploy.chancery(), container) or ""
    values = yaml.safe_load(text) or {}
    for port in container["ports"]:
        address = values.get(f"{port['name']}_addr")
        if address != f"0.0.0.0:{port['containerPort']}":
            yield f"settings: {port['name']}_addr is {address}, the pod's port {port['containerPort']}"
    claims = {claim["metadata"]["name"] for claim in deploy.chancery()["spec"]["volumeClaimTemplates"]}
    kept = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in claims}
    if values.get("data_dir") not in kept:
        yield f"settings: data_dir {values.get('data_dir')} is on no persistent volume"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "chancery.yaml"
        file.write_text(text, encoding="utf-8")
        yield from refused("settings", [str(chancery), "serve", "--config", str(file), "--check-config"])


def certificates_in(scratch: Path, chancery: Path, text: str) -> str:
    """The bootstrap with existing certificates, which Envoy reads: those of `chancery certs demo`."""
    made = scratch / "certs"
    subprocess.run([str(chancery), "certs", "demo", "--dir", str(made)], check=True, env=environment())
    for mounted, name in (("tls.crt", "client.pem"), ("tls.key", "client.key"), ("ca.crt", "ca.pem")):
        text = text.replace(f"/etc/envoy-tls/{mounted}", str(made / name))
    return text


def bootstrap(deploy: Deploy, chancery: Path) -> Problems:
    """The example's bootstrap: accepted by the real Envoy, and leading to the Service."""
    for workload in deploy.of_kind("Deployment"):
        container = containers(workload)[0]
        text = mounted_file(deploy, workload, container) or ""
        service = deploy.named("Service", "chancery")["metadata"]
        address = f"{service['name']}.{service['namespace']}.svc.cluster.local"
        ports = [port["port"] for port in deploy.named("Service", "chancery")["spec"]["ports"]]
        if not any(f"address: {address}, port_value: {port} " in text for port in ports):
            yield f"{title(workload)}: its bootstrap does not lead to {address} on one of {ports}"
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "envoy.yaml"
            file.write_text(certificates_in(Path(scratch), chancery, text), encoding="utf-8")
            args = ["example-0" if arg == "$(POD_NAME)" else arg for arg in container["args"]]
            args[args.index("-c") + 1] = str(file)
            yield from refused(title(workload), [str(ENVOY), "--mode", "validate", *args])


def refused(what: str, command: list[str]) -> Problems:
    """The output of `command` if it refuses a file."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    if done.returncode != 0:
        yield f"{what}: {Path(command[0]).name} refuses it ({done.returncode}):\n{done.stdout}"


# Tests of the checks: each change must cause the given message.

Change = Callable[[Deploy], object]


def spec(kind: str, name: str) -> Callable[[Deploy], Manifest]:
    """The part that a change below edits: the spec of one manifest."""
    return lambda deploy: deploy.named(kind, name)["spec"]


def setting(where: Callable[[Deploy], Manifest], **values: Any) -> Change:
    return lambda deploy: where(deploy).update(values)


def editing(name: str, key: str, old: str, new: str) -> Change:
    """Replaces a text in a ConfigMap."""

    def change(deploy: Deploy) -> None:
        data = deploy.named("ConfigMap", name)["data"]
        data[key] = data[key].replace(old, new)

    return change


server = spec("StatefulSet", "chancery")
xds_service = spec("Service", "chancery")


def server_pod(deploy: Deploy) -> Manifest:
    return pod(deploy.chancery())


def server_container(deploy: Deploy) -> Manifest:
    return containers(deploy.chancery())[0]


def annotations(deploy: Deploy) -> Manifest:
    return deploy.chancery()["spec"]["template"]["metadata"]["annotations"]


def xds_port(deploy: Deploy) -> Manifest:
    return xds_service(deploy)["ports"][0]


def budget_selector(deploy: Deploy) -> Manifest:
    return spec("PodDisruptionBudget", "chancery")(deploy)["selector"]


BROKEN: list[tuple[str, Change]] = [
    ("'replics' was unexpected", setting(server, replics=1)),
    ("'x' is not of type 'integer'", setting(server, replicas="x")),
    ("services.yaml is not listed", lambda deploy: deploy.kustomization["resources"].remove("services.yaml")),
    ("namespace is not declared", lambda deploy: deploy.chancery()["metadata"].update(namespace="other")),
    ("matches 0 workloads", setting(xds_service, selector={"app": "other"})),
    ("targetPort grpc is no port", setting(xds_port, targetPort="grpc")),
    ("not to xds alone", setting(xds_port, targetPort="admin")),
    ("port xds is not both", lambda deploy: spec("NetworkPolicy", "chancery")(deploy)["ingress"].pop(0)),
    ("matches no workload", setting(budget_selector, matchLabels={"app": "other"})),
    ("no Service other", setting(server, serviceName="other")),
    ("no ServiceAccount other", setting(server_pod, serviceAccountName="other")),
    ("no ConfigMap has the file", lambda deploy: deploy.named("ConfigMap", "chancery").update(data={"other.yaml": ""})),
    ("there is no volume other", lambda deploy: server_container(deploy)["volumeMounts"][0].update(name="other")),
    ("port 8080 is not there", lambda deploy: server_container(deploy)["livenessProbe"]["httpGet"].update(port=8080)),
    ("probes ask", lambda deploy: server_container(deploy)["readinessProbe"]["httpGet"].update(path="/livez")),
    ("prometheus.io/port is 9090", lambda deploy: annotations(deploy).update({"prometheus.io/port": "9090"})),
    ("lacks readOnlyRootFilesystem", lambda deploy: server_container(deploy).pop("securityContext")),
    ("lacks terminationGracePeriodSeconds", setting(server_pod, terminationGracePeriodSeconds=5)),
    ("image chancery:latest is not", setting(server_container, image="chancery:latest")),
    ("single writer", setting(server, replicas=2)),
    ("xds_addr is 0.0.0.0:19000", editing("chancery", "chancery.yaml", "18000", "19000")),
    ("is on no persistent volume", editing("chancery", "chancery.yaml", "/var/lib/chancery", "/tmp")),
    ("chancery refuses it", editing("chancery", "chancery.yaml", "format: json", "fromat: json")),
    ("does not lead to", editing("envoy-example", "envoy.yaml", "port_value: 18000", "port_value: 18001")),
    ("envoy refuses it", editing("envoy-example", "envoy.yaml", "connect_timeout", "conect_timeout")),
]


def unnoticed(deploy: Deploy, chancery: Path) -> Problems:
    """The changes of BROKEN that no check reports."""
    for expected, change in BROKEN:
        broken = copy.deepcopy(deploy)
        change(broken)
        if broken == deploy:
            yield f"self-test: the change for {expected!r} changes nothing"
        elif not any(expected in problem for problem in problems(broken, chancery)):
            yield f"self-test: nothing says {expected!r} of a copy broken on purpose"


CHECKS: list[Callable[[Deploy], Problems]] = [
    schemas,
    kustomization,
    namespaces,
    services,
    admin_stays_apart,
    policies,
    workloads_whole,
    probes,
    scraped,
    hardening,
    image,
    single_writer,
]


def problems(deploy: Deploy, chancery: Path) -> Problems:
    for check in CHECKS:
        yield from check(deploy)
    yield from settings(deploy, chancery)
    yield from bootstrap(deploy, chancery)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chancery", type=Path, required=True, help="the binary that checks the settings")
    arguments = parser.parse_args()
    for program, remedy in ((arguments.chancery, "cargo build --locked"), (ENVOY, "make tools")):
        if not program.exists():
            print(f"deploy: {program} is missing: run `{remedy}`", file=sys.stderr)
            return 1
    deploy = Deploy.read()
    found = list(problems(deploy, arguments.chancery)) or list(unnoticed(deploy, arguments.chancery))
    for problem in found:
        print(f"deploy: {problem}", file=sys.stderr)
    if found:
        return 1
    releases = " and ".join(KUBERNETES)
    print(
        f"deploy: {len(deploy.manifests)} manifests hold, on Kubernetes {releases}; {len(BROKEN)} broken copies do not"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
