"""What all services measure of themselves, for Prometheus. Each service's own measures are in its `metrics.py`."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

RPC_SECONDS = Histogram(
    "videosearch_rpc_seconds", "Calls answered, by method and status.", ["method", "code"], buckets=SECONDS
)
RPCS_RUNNING = Gauge("videosearch_rpcs_running", "Calls being worked on, by method.", ["method"])
RPCS_REFUSED = Counter(
    "videosearch_rpcs_refused", "Calls refused before any work, by method and status.", ["method", "code"]
)
PEER_RPC_SECONDS = Histogram(
    "videosearch_peer_rpc_seconds",
    "Calls made to other services, by method and status.",
    ["method", "code"],
    buckets=SECONDS,
)
STAGE_SECONDS = Histogram(
    "videosearch_stage_seconds", "Stages of the work behind calls and jobs, by stage.", ["stage"], buckets=SECONDS
)
WORK_STOPPED = Counter(
    "videosearch_work_stopped", "Work given up as nobody waited for it any more, by stage.", ["stage"]
)
SERVING = Gauge("videosearch_serving", "1 while the service can answer calls.")
