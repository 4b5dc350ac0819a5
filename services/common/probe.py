"""Asks a service for its health: `python -m services.common.probe ADDRESS SERVICE` exits 0 if it can answer calls.

Run every few seconds, so it imports as little as it can; the environment says how it connects, as to all that calls
services: `VIDEOSEARCH_TLS_CA_FILE`, and `VIDEOSEARCH_TLS_CERTIFICATE_FILE` with its key.
"""

import os
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 4.0


def problem(address: str, service: str) -> str | None:
    """Why the service cannot answer calls, in one line."""
    try:
        channel = _channel(address)
    except OSError as error:
        return f"{service} at {address}: {error}"
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        call = stub.Check.future(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        if call.exception():
            return f"{service} at {address}: {call.code().name}: {call.details()}"
        serving = call.result().status == health_pb2.HealthCheckResponse.SERVING
        return None if serving else f"{service} at {address} is not serving"


def _channel(address: str) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    ca, certificate, key = map(_content, ("CA", "CERTIFICATE", "KEY"))
    if ca is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate), options=options)


def _content(name: str) -> bytes | None:
    """Of the file that the environment names, or None if it names none."""
    file = os.environ.get(f"VIDEOSEARCH_TLS_{name}_FILE")
    return Path(file).read_bytes() if file else None


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1], sys.argv[2]))
