import json

import pytest

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.connection import SERVER_OPTIONS, channel_options
from services.common.methods import METHODS

CLIENTS = (EmbedderClient, IndexerClient, SearchClient, StoreClient)


def service_config(client, address: str = "127.0.0.1:1") -> dict:
    return json.loads(dict(channel_options(address, client.service))["grpc.service_config"])


def test_a_client_asks_whether_its_server_is_there_no_more_often_than_the_server_allows():
    client, server = dict(channel_options("127.0.0.1:1", StoreClient.service)), dict(SERVER_OPTIONS)
    assert client["grpc.keepalive_time_ms"] >= 2 * server["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_permit_without_calls"] == server["grpc.keepalive_permit_without_calls"] == 1


def test_a_server_asks_only_where_the_client_does_not():
    client, server = dict(channel_options("127.0.0.1:1", StoreClient.service)), dict(SERVER_OPTIONS)
    assert server["grpc.keepalive_time_ms"] > client["grpc.keepalive_time_ms"] + client["grpc.keepalive_timeout_ms"]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_method_is_told_its_limits_and_only_those_that_may_be_are_asked_again(client):
    told = {
        f"/{name['service']}/{name['method']}": (
            method["maxRequestMessageBytes"],
            method["maxResponseMessageBytes"],
            "retryPolicy" in method,
        )
        for method in service_config(client)["methodConfig"]
        for name in method["name"]
    }
    assert told == {
        name: (method.request_bytes, method.response_bytes, method.idempotent)
        for name, method in METHODS.items()
        if name.startswith(f"/{client.service}/")
    }


@pytest.mark.parametrize(
    ("address", "balanced"),
    [
        ("127.0.0.1:50051", False),
        ("unix:/run/embedder.sock", False),
        ("dns:///embedder:50051", True),
        ("ipv4:10.0.0.1:50051,10.0.0.2:50051", True),
    ],
)
def test_replicas_are_called_in_turn_and_asked_for_their_health(address, balanced):
    config = service_config(EmbedderClient, address)
    assert ("round_robin" in str(config.get("loadBalancingConfig"))) is balanced
    assert (config.get("healthCheckConfig") == {"serviceName": EmbedderClient.service}) is balanced
