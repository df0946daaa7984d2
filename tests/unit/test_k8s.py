"""The manifests render, are valid to the letter, and keep the promises of k8s/README.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import Home, KeySettings, load_settings

BASE = Path(__file__).parents[2] / "k8s" / "base"
KUBECTL = shutil.which("kubectl")
Manifest = dict[str, Any]


def rendered() -> list[Manifest]:
    command = [str(KUBECTL), "kustomize", str(BASE)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


def assembled() -> list[Manifest]:
    """What kustomize would make of the files, as far as the assertions here care."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text("utf-8"))
    found = [
        part for name in kustomization["resources"] for part in yaml.safe_load_all((BASE / name).read_text("utf-8"))
    ]
    for generated in kustomization["configMapGenerator"]:
        data = {name: (BASE / name).read_text("utf-8") for name in generated["files"]}
        metadata = {"name": generated["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return found


@pytest.fixture(params=[assembled, *([rendered] if KUBECTL else [])], ids=lambda source: source.__name__)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    source: list[Manifest] = request.param()
    return source


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


@pytest.fixture
def pod(manifests: list[Manifest]) -> Manifest:
    (workload,) = of_kind(manifests, "StatefulSet")
    assert workload["spec"]["replicas"] == 1
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def containers(pod: Manifest) -> dict[str, Manifest]:
    return {container["name"]: container for container in pod["containers"]}


def mounted(pod: Manifest, container: Manifest) -> dict[str, Manifest]:
    """The volumes a container sees, by mount path."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in container["volumeMounts"]}


def key_files(pod: Manifest, container: Manifest) -> set[str]:
    projected = mounted(pod, container)["/run/secrets/relais"]["projected"]["sources"]
    return {item["path"] for source in projected for kind in source.values() for item in kind["items"]}


def test_every_manifest_is_strictly_valid(manifests: list[Manifest]):
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    kinds = {"Namespace", "ServiceAccount", "ConfigMap", "StatefulSet", "Service", "NetworkPolicy"}
    assert {manifest["kind"] for manifest in manifests} == kinds | {"PodDisruptionBudget"}


def test_one_pod_holds_two_containers_of_one_image_over_one_home(
    manifests: list[Manifest], containers: dict[str, Manifest]
):
    assert set(containers) == {"rights", "admin"}
    assert len({container["image"] for container in containers.values()}) == 1
    assert {name: container["args"] for name, container in containers.items()} == {
        "rights": ["serve", "rights"],
        "admin": ["serve", "admin"],
    }
    (workload,) = of_kind(manifests, "StatefulSet")
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "home"
    for container in containers.values():
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["home"] == environment["RELAIS_HOME"]
        assert mounts["settings"] == f"{mounts['home']}/relais.toml"


def test_the_pod_is_restricted(pod: Manifest, manifests: list[Manifest]):
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in (*pod["containers"], *pod["initContainers"]):
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    (account,) = of_kind(manifests, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False


def test_an_empty_volume_becomes_a_home_once(pod: Manifest, tmp_path: Path):
    (container,) = pod["initContainers"]
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(BASE / "relais.toml", home)
    (tmp_path / "trust.json").write_text("{}")
    script = container["args"][0].replace("/etc/relais/", f"{tmp_path}/")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RELAIS_HOME": str(home)}
    for _start in range(2):
        subprocess.run([*container["command"], script], check=True, cwd=home, env=environment, timeout=60)
    assert (home / "trust.json").read_text() == "{}"
    assert {path.name for path in (home / "control").iterdir()} == {"orders.db", "fleet.db"}


def test_probes_ask_our_own_endpoints(containers: dict[str, Manifest]):
    for name, port in {"rights": 8080, "admin": 8081}.items():
        container = containers[name]
        assert container["ports"] == [{"name": name, "containerPort": port}]
        asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {get["port"] for get in asked.values()} == {name}
        assert [get["path"] for get in asked.values()] == ["/livez", "/livez", "/readyz"]


def test_each_container_sees_the_keys_of_its_own_work(pod: Manifest, containers: dict[str, Manifest]):
    public = {"order.pub.jwk", "receipt.pub.jwk", "officer.pub.jwk"}
    assert key_files(pod, containers["rights"]) == public | {"pepper.jwk", "receipt.jwk"}
    assert key_files(pod, containers["admin"]) == public | {"pepper.jwk", "order.jwk"}


def test_private_keys_of_people_are_in_no_volume(pod: Manifest):
    items = [
        item["path"]
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for kind in source.values()
        for item in kind["items"]
    ]
    people = re.compile(r"(signer|root|officer)[^/]*\.jwk")
    assert not [name for name in items if people.fullmatch(name) and not name.endswith(".pub.jwk")]
    # No volume brings in a whole secret, whose further keys nobody here would have named.
    assert not [volume for volume in pod["volumes"] if "secret" in volume]


def test_secrets_are_files_outside_the_home_and_never_variables(pod: Manifest, containers: dict[str, Manifest]):
    for container in containers.values():
        assert not any("secretKeyRef" in str(variable) for variable in container["env"])
        assert "envFrom" not in container
        keys = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/run/secrets/relais"]
        assert [mount["readOnly"] for mount in keys] == [True]
    assert all(volume["projected"]["defaultMode"] == 0o440 for volume in pod["volumes"] if "projected" in volume)


def test_no_secret_is_in_the_repository(manifests: list[Manifest]):
    assert not of_kind(manifests, "Secret")
    assert not [file.name for file in BASE.rglob("*.jwk")]


def test_the_settings_are_ours_and_name_only_mounted_keys(
    manifests: list[Manifest], pod: Manifest, containers: dict[str, Manifest], tmp_path: Path
):
    (settings,) = of_kind(manifests, "ConfigMap")
    (tmp_path / "relais.toml").write_text(settings["data"]["relais.toml"], "utf-8")
    loaded = load_settings(Home(tmp_path), {"RELAIS_INSTANCE_NODE": "relais-0"})
    assert (loaded.rights.host, loaded.rights.port) == ("0.0.0.0", 8080)  # noqa: S104 - a Pod has one address
    assert (loaded.admin.host, loaded.admin.port) == ("0.0.0.0", 8081)  # noqa: S104
    assert not loaded.instance.demo
    names = [getattr(loaded.keys, name) for name in KeySettings.__struct_fields__]
    files = {file for name in names for file in ([name] if isinstance(name, str) else name)}
    assert {Path(file).parent.as_posix() for file in files} == {"/run/secrets/relais"}
    seen = key_files(pod, containers["rights"]) | key_files(pod, containers["admin"])
    assert {Path(file).name for file in files} == seen


def test_no_service_can_overwrite_a_setting(pod: Manifest, manifests: list[Manifest]):
    # Kubernetes announces a service called relais-rights as RELAIS_RIGHTS_PORT=tcp://…, which is a setting of ours.
    assert pod["enableServiceLinks"] is False
    assert not [
        service for service in of_kind(manifests, "Service") if service["metadata"]["name"].startswith("relais")
    ]


def test_the_network_lets_nothing_out_and_only_known_peers_in(manifests: list[Manifest]):
    (policy,) = of_kind(manifests, "NetworkPolicy")
    assert sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["spec"]["egress"] == []
    peers = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    assert peers == {
        "rights": [{"namespaceSelector": {"matchLabels": {"relais-droits/asks": "true"}}}],
        "admin": [{"podSelector": {"matchLabels": {"relais-droits/administers": "true"}}}],
    }


def test_selectors_meet_the_pod(manifests: list[Manifest]):
    (workload,) = of_kind(manifests, "StatefulSet")
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    selectors = [workload["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in of_kind(manifests, "Service")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind(manifests, "PodDisruptionBudget")]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind(manifests, "NetworkPolicy")]
    assert all(selector.items() <= labels for selector in selectors)


def test_an_admin_is_reachable_while_there_is_no_snapshot(manifests: list[Manifest]):
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(manifests, "Service")}
    assert services["admin"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in services["rights"]


def test_an_eviction_waits_for_a_person(manifests: list[Manifest]):
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 0
