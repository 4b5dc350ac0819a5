import importlib
import re
from pathlib import Path

import pytest
import yaml

from cli.settings import Services
from services.common.settings import CallerSettings
from tools.lock import IMAGES

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS = COMPOSE["services"]
SECURED = yaml.safe_load((ROOT / "deploy/secured.yml").read_text())["services"]
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


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "base"])
def test_an_image_has_what_its_lock_names_and_nothing_unchecked_but_torch(stage):
    installs = re.findall(r"pip (?:install|wheel) ([^&\n]+)", STAGES[stage])
    locks = [
        option
        for install in installs
        if "--require-hashes" in install
        for option in install.split()
        if "locks/" in option
    ]
    lock = "build" if stage == "wheel" else stage
    assert locks[0].endswith(f"locks/{lock}.txt")
    assert all("--no-deps" in install or "requirements-torch" in install for install in installs)
    assert all("--only-binary :all:" in install for install in installs if "--requirement" in install)


def test_each_image_has_its_extra_and_the_indexer_object_stores_too():
    assert set(IMAGES) == set(TARGETS)
    assert {image: set(extras) - {"tracing"} for image, extras in IMAGES.items()} == {
        **{image: {image} for image in IMAGES},
        "indexer": {"indexer", "objects"},
    }
    assert all("tracing" in extras for extras in IMAGES.values())


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
    assert all((ROOT / source).exists() for source in copied)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {source.partition("/")[0] for source in copied} == sent


@pytest.mark.parametrize("service", SERVICES)
def test_each_variable_is_a_setting_of_its_service(service):
    settings = settings_of(service)
    known = {settings.variable(field) for field in settings.model_fields}
    assert {name for name in CONTAINERS[service]["environment"] if name.startswith("VIDEOSEARCH_")} - known == set()


def test_the_command_line_is_told_each_address():
    known = {f"VIDEOSEARCH_{field}".upper() for field in Services.model_fields}
    told = {name for name in CONTAINERS["cli"]["environment"] if name.startswith("VIDEOSEARCH_")}
    assert {name for name in known if name.endswith("_ADDRESS")} <= told <= known


@pytest.mark.parametrize("container", CONTAINERS)
def test_traces_are_sent_by_all_or_by_none(container):
    names = ("VIDEOSEARCH_TRACING", "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert [CONTAINERS[container]["environment"][name] for name in names] == ["${VIDEOSEARCH_TRACING:-false}", None]


@pytest.mark.parametrize("service", SERVICES)
def test_metrics_are_served_inside_the_network_and_not_published(service):
    port = settings_of(service).model_fields["metrics_listen"].default.rpartition(":")[2]
    assert CONTAINERS[service]["environment"][f"VIDEOSEARCH_{service.upper()}_METRICS_LISTEN"] == f"0.0.0.0:{port}"
    assert not [published for published in CONTAINERS[service]["ports"] if published.endswith(port)]


def caller_variables():
    return {CallerSettings.model_fields[field].validation_alias for field in CallerSettings.model_fields}


@pytest.mark.parametrize("container", SECURED)
def test_secured_containers_are_told_what_they_understand(container):
    settings = (
        set() if container == "cli" else set(map(settings_of(container).variable, settings_of(container).model_fields))
    )
    assert set(SECURED[container]["environment"]) - settings - caller_variables() == set()


@pytest.mark.parametrize("service", SERVICES)
def test_secured_services_serve_tls_take_tokens_and_trust_their_own_authority_when_asked_for_health(service):
    environment = SECURED[service]["environment"]
    assert environment["VIDEOSEARCH_TLS_CERTIFICATE_FILE"] == "/run/own/certificate.pem"
    assert environment["VIDEOSEARCH_TLS_KEY_FILE"] == "/run/own/key.pem"
    assert environment["VIDEOSEARCH_TLS_CA_FILE"] == "/run/shared/ca.pem"
    assert environment["VIDEOSEARCH_TOKENS_FILE"] == "/run/shared/tokens"


@pytest.mark.parametrize("container", ["indexer", "search", "cli"])
def test_secured_callers_show_a_token_and_trust_the_authority(container):
    environment = SECURED[container]["environment"]
    assert environment["VIDEOSEARCH_TOKEN_FILE"] == "/run/own/token"
    assert environment["VIDEOSEARCH_TLS_CA_FILE"] == "/run/shared/ca.pem"


def test_each_secured_container_sees_its_own_secrets_and_the_shared_ones_and_cannot_change_them():
    assert set(SECURED) == set(CONTAINERS)
    for name, container in SECURED.items():
        volumes = [re.sub(r"\$\{.*?\}", "FOLDER", volume) for volume in container["volumes"]]
        assert volumes == ["FOLDER/shared:/run/shared:ro", f"FOLDER/{name}:/run/own:ro"]


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
