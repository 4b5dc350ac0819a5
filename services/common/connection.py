"""What both ends of a connection are told: limits, keepalive, and by service config how clients balance and retry.

The two sides of keepalive must agree, or a server ends the connections of clients that ask too often
(https://grpc.io/docs/guides/keepalive/); the service config is gRPC's own
(https://github.com/grpc/grpc/blob/master/doc/service_config.md).
"""

import json
from typing import Any

from services.common.addresses import is_balanced
from services.common.methods import LARGE_BYTES, METHODS

Options = list[tuple[str, int | str]]

KEEPALIVE_MS = 30_000
"""A client asks so often whether its server is still there, between calls too: the next one must not find it dead."""

KEEPALIVE_TIMEOUT_MS = 10_000

HUNG_MS = 10_000
"""So long one of several replicas may leave a ping unanswered that goes with its calls, then others are called; else it
were gRPC's minute. Not where there is one only: a ping waits behind an upload over a slow line."""

CONNECTION_AGE_MS = 300_000
"""Then a connection takes no new calls, and its client asks DNS anew: how it learns of replicas that were added."""

RETRY_POLICY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

RETRY_BUDGET = {"maxTokens": 20, "tokenRatio": 0.1}
"""Of a channel: a failure takes a token, a success gives back a tenth, and below a half of them nothing is retried."""

SERVER_OPTIONS: Options = [
    ("grpc.so_reuseport", 0),  # else a second server on a taken port starts and steals calls
    ("grpc.max_receive_message_length", LARGE_BYTES),
    ("grpc.max_send_message_length", LARGE_BYTES),
    ("grpc.keepalive_time_ms", 2 * KEEPALIVE_MS),  # of clients that do not ask
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 3),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
]


def channel_options(address: str, service: str) -> Options:
    """Of a client's channel to `service`, by its full name."""
    of_several: Options = [("grpc.http2.ping_timeout_ms", HUNG_MS)] if is_balanced(address) else []
    return [
        *of_several,
        ("grpc.max_receive_message_length", LARGE_BYTES),
        ("grpc.max_send_message_length", LARGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted peer is found again within seconds
        ("grpc.enable_http_proxy", 0),  # peers are inside; a proxy set for the outside must not take their calls
        ("grpc.service_config", json.dumps(_service_config(address, service))),
        ("grpc.service_config_disable_resolution", 1),  # from DNS
    ]


def _service_config(address: str, service: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "retryThrottling": RETRY_BUDGET,
        "methodConfig": [_method_config(name) for name in METHODS if name.startswith(f"/{service}/")],
    }
    if is_balanced(address):
        config["loadBalancingConfig"] = [{"round_robin": {}}]
        config["healthCheckConfig"] = {"serviceName": service}
    return config


def _method_config(full_name: str) -> dict[str, Any]:
    _, service, name = full_name.split("/")
    method = METHODS[full_name]
    config: dict[str, Any] = {
        "name": [{"service": service, "method": name}],
        "maxRequestMessageBytes": method.request_bytes,
        "maxResponseMessageBytes": method.response_bytes,
    }
    return config | ({"retryPolicy": RETRY_POLICY} if method.idempotent else {})
