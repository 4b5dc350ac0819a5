"""Asks a service for its health: `python -m services.common.probe ADDRESS SERVICE` exits 0 if it can answer calls.

Run every few seconds, so it imports as little as it can.
"""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 4.0


def problem(address: str, service: str) -> str | None:
    """Why the service cannot answer calls, in one line."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        call = stub.Check.future(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        if call.exception():
            return f"{service} at {address}: {call.code().name}: {call.details()}"
        serving = call.result().status == health_pb2.HealthCheckResponse.SERVING
        return None if serving else f"{service} at {address} is not serving"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1], sys.argv[2]))
