"""`buf curl` finds out what there is by reflection, calls every service in every manner, and prints what went wrong."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory

from services.common.clients.store import StoreClient
from services.common.methods import Role
from services.store import backup
from services.store.catalog import Catalog
from tests.certificates import Authority
from tests.clients.buf import SERVICES, curl
from tests.secured import GIVEN, TOKENS, UNKNOWN, counting, tls
from tests.stores import store
from tools.stack import CLIENTS, Stack

OK, INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 0, 3, 5, 7, 8
FAILED_PRECONDITION, UNAUTHENTICATED = 9, 16

STORE = StoreClient.service
PROTOS = ("--schema", "protos")
"""Instead of reflection."""

READING = {
    "embedder": ("GetModel", {}),
    "store": ("ListVideos", {"page_size": 1}),
    "indexer": ("ListIndexJobs", {"page_size": 1}),
    "search": ("SearchVideos", {"text": "rain"}),
}

with_the_services = pytest.mark.asyncio(loop_scope="session")


@with_the_services
@pytest.mark.parametrize("name", CLIENTS)
async def test_reflection_lists_every_rpc_of_a_service_and_health(system: Stack, name: str) -> None:
    said = await curl(system.addresses[name], "", options=("--list-methods",))
    (service,) = (one for one in SERVICES if one.full_name == CLIENTS[name].service)
    ours = {f"{service.full_name}/{method.name}" for method in service.methods}
    health = {f"grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch")}
    assert {line for line in said.output.split() if "reflection" not in line} == ours | health


@with_the_services
@pytest.mark.parametrize("schema", [(), PROTOS], ids=["reflection", "proto files"])
@pytest.mark.parametrize("name", READING)
async def test_each_service_answers(system: Stack, name: str, schema: tuple[str, ...]) -> None:
    method, request = READING[name]
    said = await curl(system.addresses[name], f"{CLIENTS[name].service}/{method}", request, options=schema)
    assert (said.code, len(said.messages)) == (OK, 1), said.complaint


async def test_without_reflection_it_needs_the_proto_files() -> None:
    async with counting(reflection=False) as address:
        blind = await curl(address, f"{STORE}/GetStats", {})
        assert "failed to find service" in blind.complaint
        said = await curl(address, f"{STORE}/GetStats", {}, options=PROTOS)
    assert said.messages == [{"videoCount": "3"}]


def film(video_id: str = "film", model: str = "ours", ordinals: tuple[int, ...] = (0, 1)) -> list[dict[str, Any]]:
    """The messages that put a video, with vectors of one number."""
    embedding = {"model": model, "vector": base64.b64encode(b"\0\0\x80\x3f").decode()}
    scenes = [
        {
            "ordinal": ordinal,
            "segment": {"start_offset": f"{ordinal}s", "end_offset": f"{ordinal + 1}s"},
            "samples": [{"offset": f"{ordinal}.5s", "embedding": embedding}],
        }
        for ordinal in ordinals
    ]
    return [
        {"video": {"video_id": video_id, "uri": "film.mp4", "model": model}},
        *({"scene": scene} for scene in scenes),
    ]


async def test_a_video_that_it_streamed_in_is_in_the_backup_that_it_streams_out(tmp_path: Path) -> None:
    async with store(tmp_path / "store") as videos:
        put = await curl(videos.address, f"{STORE}/PutVideo", *film())
        assert put.messages[0]["video"]["sceneCount"] == 2, put.complaint
        pieces = await curl(videos.address, f"{STORE}/Backup", {})
    file = tmp_path / "backup"
    file.write_bytes(b"".join(base64.b64decode(piece["data"]) for piece in pieces.messages))
    backup.restore(file, tmp_path / "restored")
    with Catalog(tmp_path / "restored") as restored:
        assert restored.video("film").scene_count == 2


def details(error: dict[str, Any]) -> dict[str, Any]:
    """An error's details by their type."""
    found = {}
    for detail in error["details"]:
        message = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(detail["type"]))
        padded = detail["value"] + "=" * (-len(detail["value"]) % 4)
        found[detail["type"].rpartition(".")[2]] = message.FromString(base64.b64decode(padded))
    return found


@pytest.mark.parametrize(
    ("method", "messages", "code", "field"),
    [
        ("GetVideo", [{"video_id": "nothing"}], NOT_FOUND, None),
        ("GetVideo", [{"video_id": "no id"}], INVALID_ARGUMENT, "video_id"),
        ("ListVideos", [{"page_size": -1}], INVALID_ARGUMENT, "page_size"),
        ("PutVideo", film(ordinals=(0, 2)), INVALID_ARGUMENT, "scene"),
        ("PutVideo", film("other", "theirs"), FAILED_PRECONDITION, None),
        ("SwitchModel", [{"model": "theirs"}], FAILED_PRECONDITION, None),
    ],
)
async def test_it_prints_the_status_and_its_details(
    tmp_path: Path, method: str, messages: list[Any], code: int, field: str | None
) -> None:
    async with store(tmp_path) as videos:
        await curl(videos.address, f"{STORE}/PutVideo", *film())
        request_id = ("--header", "x-request-id: from-buf")
        said = await curl(videos.address, f"{STORE}/{method}", *messages, options=request_id)
    assert said.code == code
    told = details(said.error)
    assert told["ErrorInfo"].metadata["request_id"] == "from-buf"
    bad = [one.field for one in told["BadRequest"].field_violations] if "BadRequest" in told else []
    assert bad == ([field] if field else [])


async def test_it_is_told_when_to_try_again() -> None:
    async with counting(max_calls_per_second_per_caller=1e-3) as address:
        said = [await curl(address, f"{STORE}/GetStats", {}, options=PROTOS) for _ in range(2)]
    assert [one.code for one in said] == [OK, RESOURCE_EXHAUSTED]
    assert details(said[1].error)["RetryInfo"].retry_delay.ToMilliseconds() > 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
async def guarded(authority: Authority) -> AsyncIterator[str]:
    """The address of a service with TLS, tokens and certificates."""
    identity = authority.issue("services")
    async with counting(**tls(identity, authority.file), tokens=GIVEN) as address:
        yield address


def shown(authority: Authority, token: str) -> tuple[str | Path, ...]:
    """A certificate and a token."""
    person = authority.issue("person")
    bearer = f"authorization: Bearer {token}"
    return "--cacert", authority.file, "--cert", person.certificate, "--key", person.key, "--header", bearer


async def test_over_tls_it_is_let_in_with_a_token(authority: Authority, guarded: str) -> None:
    options = (*shown(authority, TOKENS[Role.READ]), "--reflect-header", "*")
    said = await curl(guarded, f"{STORE}/GetStats", {}, options=options, tls=True)
    assert said.messages == [{"videoCount": "3"}], said.complaint


@pytest.mark.parametrize(
    ("token", "code", "name"),
    [(UNKNOWN, UNAUTHENTICATED, "unauthenticated"), (TOKENS[Role.READ], PERMISSION_DENIED, "permission_denied")],
)
async def test_over_tls_it_is_refused_with_another_token(
    authority: Authority, guarded: str, token: str, code: int, name: str
) -> None:
    options = (*shown(authority, token), *PROTOS)
    said = await curl(guarded, f"{STORE}/DeleteVideo", {"video_id": "film"}, options=options, tls=True)
    assert (said.code, said.error["code"]) == (code, name)


async def test_it_does_not_trust_a_service_of_another_authority(tmp_path: Path, guarded: str) -> None:
    other = Authority(tmp_path / "other")
    options = (*shown(other, TOKENS[Role.READ]), *PROTOS)
    said = await curl(guarded, f"{STORE}/GetStats", {}, options=options, tls=True)
    assert "certificate signed by unknown authority" in said.complaint


async def test_without_a_certificate_it_is_not_connected(authority: Authority, guarded: str) -> None:
    said = await curl(guarded, f"{STORE}/GetStats", {}, options=("--cacert", authority.file, *PROTOS), tls=True)
    assert (said.output, said.error["code"] in {"unavailable", "canceled"}) == ("", True)
