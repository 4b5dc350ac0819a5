import importlib
import re
from pathlib import Path

import pytest
import yaml

from cli.settings import Services

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS = COMPOSE["services"]
SERVICES = ("embedder", "store", "indexer", "search")


def build_stages() -> dict[str, str]:
    """The instructions of each stage of the Dockerfile, without comments and line breaks inside them."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    parts = re.split(r"^FROM \S+ AS (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


STAGES = build_stages()
TARGETS = {name: stage for name, stage in STAGES.items() if "ENTRYPOINT" in stage}


def settings_of(service):
    module = importlib.import_module(f"services.{service}.settings")
    return getattr(module, f"{service.capitalize()}Settings")


def port_of(service):
    return settings_of(service).model_fields["listen"].default.rpartition(":")[2]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def mounts(container):
    """Where each volume is seen inside the container, and how."""
    volumes = [re.sub(r"\$\{.*?\}", "FOLDER", volume).split(":") for volume in CONTAINERS[container]["volumes"]]
    return {path: (source, mode) for source, path, *mode in volumes}


def test_each_target_is_the_container_of_its_name():
    assert set(TARGETS) == set(CONTAINERS) == {*SERVICES, "cli"}
    assert all(container["build"]["target"] == name for name, container in CONTAINERS.items())


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_the_extra_of_its_name_and_the_indexers_object_stores_too(target):
    extras = "indexer,objects" if target == "indexer" else target
    assert re.findall(r"\.whl\)\[([\w,]+)\]", TARGETS[target]) == [extras]


@pytest.mark.parametrize("stage", STAGES)
def test_model_and_torch_are_in_the_embedder_image_alone(stage):
    assert bool(re.search("torch|weights|embedder", STAGES[stage])) == (stage == "embedder")


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_runs_as_root(target):
    (user,) = re.findall(r"^USER (\d+):\d+$", TARGETS[target], flags=re.MULTILINE)
    assert int(user) > 0
    assert f"--uid {user}" in STAGES["base"]
    assert "user" not in CONTAINERS[target]
    assert "privileged" not in CONTAINERS[target]


def test_what_the_dockerfile_copies_is_sent_to_the_builder():
    copied = {
        source
        for stage in STAGES.values()
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", stage, flags=re.MULTILINE)
        for source in sources.split()
    }
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("service", SERVICES)
def test_each_variable_is_a_setting_of_its_service(service):
    settings = settings_of(service)
    known = {settings.variable(field) for field in settings.model_fields}
    assert {name for name in CONTAINERS[service]["environment"] if name.startswith("VIDEOSEARCH_")} - known == set()


def test_each_variable_of_the_command_line_is_an_address_of_its_own():
    known = {f"VIDEOSEARCH_{field}".upper() for field in Services.model_fields}
    assert set(CONTAINERS["cli"]["environment"]) == known


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_listens_where_it_is_published_and_probed(service):
    port = port_of(service)
    container = CONTAINERS[service]
    assert container["environment"][f"VIDEOSEARCH_{service.upper()}_LISTEN"] == f"0.0.0.0:{port}"
    assert container["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert container["healthcheck"]["test"][-2] == f"localhost:{port}"


@pytest.mark.parametrize("service", SERVICES)
def test_health_is_asked_of_the_service_itself(service):
    command = CONTAINERS[service]["healthcheck"]["test"]
    stubs = importlib.import_module(f"videosearch.v1.{service}_pb2")
    (descriptor,) = stubs.DESCRIPTOR.services_by_name.values()
    assert command[:4] == ["CMD", "python", "-m", "services.common.probe"]
    assert command[-1] == descriptor.full_name


@pytest.mark.parametrize("container", CONTAINERS)
def test_addresses_lead_to_the_services(container):
    environment = CONTAINERS[container]["environment"]
    for service in SERVICES:
        assert environment.get(f"VIDEOSEARCH_{service.upper()}_ADDRESS") in (None, f"{service}:{port_of(service)}")


@pytest.mark.parametrize("service", ["indexer", "search"])
def test_a_service_waits_until_those_it_calls_are_healthy(service):
    called = {"embedder", "store"}
    assert CONTAINERS[service]["depends_on"] == {name: {"condition": "service_healthy"} for name in called}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_can_do_no_more_than_it_must(container):
    assert CONTAINERS[container]["read_only"] is True
    assert CONTAINERS[container]["cap_drop"] == ["ALL"]
    assert CONTAINERS[container]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", SERVICES)
def test_running_calls_have_their_grace_before_a_container_is_killed(service):
    grace_s = settings_of(service).model_fields["grace_s"].default
    assert seconds(CONTAINERS[service]["stop_grace_period"]) > grace_s


@pytest.mark.parametrize(("service", "volume"), [("store", "store"), ("indexer", "jobs")])
def test_what_a_service_writes_is_on_a_volume_of_its_own(service, volume):
    folder = CONTAINERS[service]["environment"][f"VIDEOSEARCH_{service.upper()}_DATA_FOLDER"]
    assert mounts(service)[folder] == (volume, [])
    assert volume in COMPOSE["volumes"]


def test_videos_are_mounted_read_only_where_the_indexer_may_read():
    root = CONTAINERS["indexer"]["environment"]["VIDEOSEARCH_INDEXER_VIDEO_ROOTS"]
    assert mounts("indexer")[root] == ("FOLDER", ["ro"])
