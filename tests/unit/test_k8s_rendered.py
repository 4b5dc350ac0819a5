"""What kubectl makes of the overlays is what Kubernetes takes, hangs together, and may do no more than it must."""

import re
import shutil
import subprocess
import sysconfig

import pytest

from tests.manifests import OVERLAYS, REPLICATED, ROOT, SERVICES, TEMPLATED, rendered, selects, templates

CHECK = ROOT / "tools/kubernetes.sh"
(USER,) = set(re.findall(r"^USER (\d+):", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE))
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on PATH: nothing is validated")
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def of_kind(objects, kind):
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def checked(folder, **environment):
    """What `make check` says of the manifests in a folder."""
    command = [CHECK, sysconfig.get_path("scripts")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **environment)


@needs_kubectl
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("failureThreshold", "failuresThreshold", "'failuresThreshold' was unexpected"),
        ("apiVersion: apps/v1", "apiVersion: apps/v9", "Couldn't find schema for kind StatefulSet"),
    ],
)
def test_what_kubernetes_does_not_know_is_refused(tmp_path, right, wrong, said):
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    store = tmp_path / "deploy/k8s/base/store.yaml"
    store.write_text(store.read_text().replace(right, wrong))
    refused = checked(tmp_path)
    assert refused.returncode != 0
    assert said in refused.stderr


def test_without_kubectl_the_check_says_that_it_did_not_look(tmp_path):
    (tmp_path / "bash").symlink_to(shutil.which("bash"))
    skipped = checked(ROOT, env={"PATH": str(tmp_path)})
    assert (skipped.returncode, "neither rendered nor validated" in skipped.stdout) == (0, True)


@overlays
def test_all_is_in_one_namespace(overlay):
    objects = rendered(overlay)
    (namespace,) = of_kind(objects, "Namespace")
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {namespace}


@overlays
def test_what_a_pod_refers_to_is_there(overlay):
    objects = rendered(overlay)
    for pod in templates(objects).values():
        (only,) = pod["spec"]["containers"]
        assert {source["configMapRef"]["name"] for source in only["envFrom"]} <= set(of_kind(objects, "ConfigMap"))
        claims = [each["persistentVolumeClaim"] for each in pod["spec"]["volumes"] if "persistentVolumeClaim" in each]
        assert {claim["claimName"] for claim in claims} <= set(of_kind(objects, "PersistentVolumeClaim"))


@overlays
def test_a_mount_has_its_volume_and_a_volume_its_mount(overlay):
    for each in rendered(overlay):
        if each["kind"] in TEMPLATED:
            (pod,) = templates([each]).values()
            claimed = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())]
            mounts = [mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
            assert sorted(mounts) == sorted([*claimed, *(volume["name"] for volume in pod["spec"]["volumes"])])


@overlays
def test_a_service_leads_to_the_pods_of_its_name(overlay):
    objects = rendered(overlay)
    pods = templates(objects)
    assert set(of_kind(objects, "Service")) == set(SERVICES)
    for name, service in of_kind(objects, "Service").items():
        selector = {"matchLabels": service["spec"]["selector"]}
        assert [of for of, pod in pods.items() if selects(selector, pod["metadata"]["labels"])] == [name]


@overlays
def test_workloads_select_their_own_pods_and_spread_them(overlay):
    for each in rendered(overlay):
        if each["kind"] in {"Deployment", "StatefulSet"}:
            (pod,) = templates([each]).values()
            spread = pod["spec"].get("topologySpreadConstraints", [])
            assert bool(spread) == (each["metadata"]["name"] in REPLICATED)
            selectors = [each["spec"]["selector"], *(constraint["labelSelector"] for constraint in spread)]
            assert all(selects(selector, pod["metadata"]["labels"]) for selector in selectors)


@pytest.mark.parametrize("overlay", ["gpu", "secure"])
def test_what_has_replicas_is_scaled_and_never_all_disturbed_at_once(overlay):
    objects = rendered(overlay)
    deployed, pods = of_kind(objects, "Deployment"), templates(objects)
    scaled, kept = of_kind(objects, "HorizontalPodAutoscaler"), of_kind(objects, "PodDisruptionBudget")
    assert set(scaled) == set(kept) == set(REPLICATED)
    for name in REPLICATED:
        assert scaled[name]["spec"]["scaleTargetRef"]["name"] == name
        assert scaled[name]["spec"]["minReplicas"] > kept[name]["spec"]["maxUnavailable"]
        assert selects(kept[name]["spec"]["selector"], pods[name]["metadata"]["labels"])
        assert "replicas" not in deployed[name]["spec"]


@pytest.mark.parametrize("overlay", ["gpu", "secure"])
def test_every_service_is_scraped_under_the_name_that_dashboard_and_alerts_expect(overlay):
    objects = rendered(overlay)
    (monitor,) = of_kind(objects, "ServiceMonitor").values()
    (endpoint,) = monitor["spec"]["endpoints"]
    for service in of_kind(objects, "Service").values():
        assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["relabelings"] == [
        {
            "sourceLabels": ["__meta_kubernetes_service_name"],
            "targetLabel": "job",
            "replacement": "videosearch-$1",
        }
    ]
    assert of_kind(objects, "ConfigMap")["dashboard"]["metadata"]["labels"] == {"grafana_dashboard": "1"}


@overlays
def test_a_pod_can_do_no_more_than_it_must(overlay):
    pods = templates(rendered(overlay))
    assert set(pods) == {*SERVICES, "index"}
    for pod in pods.values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == int(USER)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [each["securityContext"] for each in spec["containers"]] == [CONFINED]
        assert "memory" in spec["containers"][0]["resources"]["limits"]


@overlays
def test_a_pod_may_write_to_tmp(overlay):
    for pod in templates(rendered(overlay)).values():
        assert {"name": "tmp", "mountPath": "/tmp"} in pod["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "tmp", "emptyDir": {}} in pod["spec"]["volumes"]


@overlays
def test_a_probe_is_of_one_kind(overlay):
    for name in SERVICES:
        (only,) = templates(rendered(overlay))[name]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert len({"grpc", "exec", "httpGet", "tcpSocket"} & set(only[probe])) == 1
            assert overlay != "secure" or "grpc" not in only[probe]


def test_on_one_machine_nothing_is_scaled_nor_shared_between_nodes():
    objects = rendered("dev")
    assert not of_kind(objects, "HorizontalPodAutoscaler") | of_kind(objects, "PodDisruptionBudget")
    assert of_kind(objects, "PersistentVolumeClaim")["videos"]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_embedder_gets_a_gpu_and_uses_it():
    (only,) = templates(rendered("gpu"))["embedder"]["spec"]["containers"]
    assert only["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "VIDEOSEARCH_EMBEDDER_DEVICE", "value": "cuda"} in only["env"]


@pytest.mark.parametrize("name", [*SERVICES, "index"])
def test_with_tls_each_program_has_its_own_secret_and_the_shared_one(name):
    volumes = templates(rendered("secure"))[name]["spec"]["volumes"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert secrets == {"shared": "shared", "own": "cli" if name == "index" else name}
