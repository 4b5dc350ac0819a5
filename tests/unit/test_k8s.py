"""The manifests say what the code says: ports, names, settings, probes."""

import re
import subprocess
import tomllib

import pytest
import yaml
from typer.main import get_command

from cli.__main__ import app
from cli.settings import Services
from services.common.addresses import is_balanced
from services.common.probe import TIMEOUT_S
from services.common.server import LIVENESS
from services.common.settings import CallerSettings
from services.embedder.settings import EmbedderSettings
from tests.manifests import (
    K8S,
    REPLICATED,
    ROOT,
    SERVICES,
    client_of,
    container,
    literals,
    port_of,
    settings_of,
    template,
    workload,
    written,
)
from tools.metrics_table import MODULES, exported

GIB = 1 << 30
SECURED = yaml.safe_load((ROOT / "deploy/secured.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
FOLDERS = (
    "base",
    *(f"{kind.name}/{one.name}" for kind in (K8S / "components", K8S / "overlays") for one in kind.iterdir()),
)
MOST_CLOSING_S = 5


def variables(given):
    """Those of a container's own, by name."""
    return {each["name"]: each["value"] for each in given.get("env", ())}


def own(service):
    """What all manifests tell a service by itself."""
    files = [(folder, K8S / folder / f"{service}.yaml") for folder in FOLDERS]
    told = [variables(container(service, folder)) for folder, file in files if file.exists()]
    return {name: value for each in told for name, value in each.items()}


def shared(name):
    """What all kustomizations put into a ConfigMap."""
    return {variable: value for folder in FOLDERS for variable, value in literals(folder).get(name, {}).items()}


def sources(name):
    """The ConfigMaps that a container reads."""
    return [source["configMapRef"]["name"] for source in container(name)["envFrom"]]


def given(name):
    """The variables of a container, in the base."""
    return {k: v for source in sources(name) for k, v in literals("base")[source].items()} | variables(container(name))


def mounts(name):
    """The volume at each path."""
    return {mount["mountPath"]: mount["name"] for mount in container(name)["volumeMounts"]}


def size(quantity):
    (gib,) = re.fullmatch(r"(\d+)Gi", quantity).groups()
    return int(gib) * GIB


def test_the_manifests_are_found():
    assert len(FOLDERS) == 7
    assert all((K8S / "base" / f"{service}.yaml").exists() for service in SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_each_variable_is_a_setting_of_its_service(service):
    settings = settings_of(service)
    known = {settings.variable(field) for field in settings.model_fields} | {CallerSettings.variable("tls_ca_file")}
    told = set(own(service)).union(*map(shared, sources(service)))
    assert {name for name in told if name.startswith("VIDEOSEARCH_")} - known == set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_understands_the_values_it_is_given(service, monkeypatch):
    for name, value in {**shared("server"), **own(service)}.items():
        monkeypatch.setenv(name, value)
    assert settings_of(service).load().grace_s == float(literals("base")["server"]["VIDEOSEARCH_GRACE_S"])


def test_each_variable_of_the_job_is_one_of_the_command_line():
    known = {Services.variable(field) for field in Services.model_fields}
    assert {*shared("caller"), *own("index")} - known == set()


def test_who_calls_services_is_told_so_and_nobody_else():
    callers = {service for service in SERVICES if "embedder_address" in settings_of(service).model_fields}
    assert {name for name in (*SERVICES, "index") if "caller" in sources(name)} == {*callers, "index"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_listens_where_it_is_reached(service):
    grpc, metrics = port_of(service), port_of(service, "metrics_listen")
    told = given(service)
    assert told[f"VIDEOSEARCH_{service.upper()}_LISTEN"] == f"0.0.0.0:{grpc}"
    assert told[f"VIDEOSEARCH_{service.upper()}_METRICS_LISTEN"] == f"0.0.0.0:{metrics}"
    ports = [{"name": "grpc", "containerPort": grpc}, {"name": "metrics", "containerPort": metrics}]
    assert container(service)["ports"] == ports
    assert written(f"base/{service}.yaml")["Service", service]["spec"]["ports"] == [
        {"name": port["name"], "port": port["containerPort"], "targetPort": port["name"]} for port in ports
    ]


@pytest.mark.parametrize("caller", ["indexer", "search", "index"])
def test_addresses_lead_to_services_and_only_those_of_several_replicas_are_balanced(caller):
    addresses = {name: value for name, value in given(caller).items() if name.endswith("_ADDRESS")}
    assert addresses
    for name, address in addresses.items():
        service = name.removeprefix("VIDEOSEARCH_").removesuffix("_ADDRESS").lower()
        assert address.removeprefix("dns:///") == f"{service}:{port_of(service)}"
        headless = written(f"base/{service}.yaml")["Service", service]["spec"].get("clusterIP") == "None"
        assert is_balanced(address) == headless == (service in REPLICATED)


@pytest.mark.parametrize("service", SERVICES)
def test_readiness_is_the_health_of_the_service_and_life_is_that_it_answers(service):
    found, port = container(service), port_of(service)
    assert found["readinessProbe"]["grpc"] == {"port": port, "service": client_of(service).service}
    assert found["livenessProbe"]["grpc"] == found["startupProbe"]["grpc"] == {"port": port, "service": LIVENESS}


@pytest.mark.parametrize("service", SERVICES)
def test_with_tls_readiness_is_asked_as_docker_compose_does_and_life_without_certificates(service):
    secured = container(service, "components/secure")
    assert secured["readinessProbe"]["exec"]["command"] == COMPOSE[service]["healthcheck"]["test"][1:]
    assert container(service)["readinessProbe"]["timeoutSeconds"] > TIMEOUT_S
    for probe in ("startupProbe", "livenessProbe"):
        assert secured[probe] == {"grpc": None, "httpGet": {"path": "/metrics", "port": "metrics"}}


@pytest.mark.parametrize("service", SERVICES)
def test_running_calls_have_their_grace_before_a_pod_is_killed(service):
    pod = template(workload(service))["spec"]
    assert pod["terminationGracePeriodSeconds"] >= float(given(service)["VIDEOSEARCH_GRACE_S"]) + MOST_CLOSING_S


@pytest.mark.parametrize("name", [*SERVICES, "index"])
def test_images_are_those_that_are_built_and_of_this_version(name):
    image = container(name)["image"]
    assert image == COMPOSE["cli" if name == "index" else name]["image"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = yaml.safe_load((K8S / "base/kustomization.yaml").read_text())["images"]
    assert {"name": image, "newTag": version} in images


def test_who_holds_a_folder_is_one_that_ends_before_another_starts():
    store, indexer = workload("store"), workload("indexer")
    assert (store["kind"], indexer["kind"]) == ("StatefulSet", "Deployment")
    assert indexer["spec"]["strategy"] == {"type": "Recreate"}
    assert store["spec"]["replicas"] == indexer["spec"]["replicas"] == 1


def test_what_is_kept_lies_on_a_claim():
    (claimed,) = workload("store")["spec"]["volumeClaimTemplates"]
    assert mounts("store")[given("store")["VIDEOSEARCH_STORE_DATA_FOLDER"]] == claimed["metadata"]["name"]
    volume = mounts("indexer")[given("indexer")["VIDEOSEARCH_INDEXER_DATA_FOLDER"]]
    claims = {"name": volume, "persistentVolumeClaim": {"claimName": "jobs"}}
    assert claims in template(workload("indexer"))["spec"]["volumes"]


def test_a_model_of_the_hub_finds_a_folder_where_docker_compose_has_it():
    assert given("embedder")["HF_HOME"] == COMPOSE["embedder"]["environment"]["HF_HOME"]
    assert given("embedder")["HF_HOME"] in mounts("embedder")


def test_the_indexer_has_the_room_that_its_limits_allow_it():
    told, limits = given("indexer"), settings_of("indexer").model_fields
    claim = written("base/indexer.yaml")["PersistentVolumeClaim", "jobs"]["spec"]["resources"]["requests"]["storage"]
    assert int(told["VIDEOSEARCH_INDEXER_MAX_SPOOL_BYTES"]) < size(claim)
    decoders = limits["max_decode_memory_bytes"].default * limits["max_running_jobs"].default
    assert decoders < size(container("indexer")["resources"]["limits"]["memory"])


def test_the_job_names_videos_as_the_indexer_sees_them():
    command, folder = container("index")["args"]
    assert command in get_command(app).commands
    assert given("indexer")["VIDEOSEARCH_INDEXER_VIDEO_ROOTS"] == folder
    for name in ("index", "indexer"):
        assert {"name": "videos", "mountPath": folder, "readOnly": True} in container(name)["volumeMounts"]


@pytest.mark.parametrize("name", ["server", "caller"])
def test_tls_and_tokens_are_read_where_docker_compose_has_them(name):
    assert literals("components/secure")[name] == SECURED[f"x-{name}"]


@pytest.mark.parametrize("name", [*SERVICES, "index"])
def test_secrets_are_folders_so_that_new_ones_are_seen(name):
    mounts = container(name, "components/secure")["volumeMounts"]
    program = "cli" if name == "index" else name
    assert [f"{mount['mountPath']}:ro" for mount in mounts if mount["readOnly"]] == [
        volume.rpartition("}/")[2].partition(":")[2] for volume in SECURED["services"][program]["volumes"]
    ]
    assert all("subPath" not in mount for mount in mounts)


def test_the_autoscaler_asks_for_a_metric_that_the_embedder_has():
    spec = written("components/monitoring/queue.yaml")["HorizontalPodAutoscaler", "embedder"]["spec"]
    queue, cpu = spec["metrics"]
    name = queue["pods"]["metric"]["name"]
    assert name in {series for each in exported(MODULES["Embedder"]) for series in each.series}
    (rule,) = yaml.safe_load((K8S / "components/monitoring/adapter.yaml").read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert int(queue["pods"]["target"]["averageValue"]) == EmbedderSettings.model_fields["max_batch"].default
    base = written("base/embedder.yaml")["HorizontalPodAutoscaler", "embedder"]["spec"]
    assert base["metrics"] == [cpu]


def test_the_alerts_of_the_operator_are_those_of_every_prometheus():
    script = K8S / "components/monitoring/alerts.sh"
    printed = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    rule = yaml.safe_load(printed)
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
