"""What all services measure of themselves, for Prometheus. Each service's own measures are in its `metrics.py`."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

S = TypeVar("S")

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
    "videosearch_stage_seconds",
    "Stages of the work behind calls and jobs, by stage.",
    ["stage"],
    buckets=(*SECONDS, 1800.0, 7200.0),
)
WORK_STOPPED = Counter(
    "videosearch_work_stopped", "Work given up as nobody waited for it any more, by stage.", ["stage"]
)
SERVING = Gauge("videosearch_serving", "1 while the service can answer calls.")


@dataclass(frozen=True, slots=True)
class Seen(Generic[S]):
    """A gauge that is read off something."""

    name: str
    meaning: str
    read: Callable[[S], float | Mapping[Any, float]]
    """With a label, by its value, which is a text."""
    label: str = ""

    def family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.meaning, labels=[self.label] if self.label else [])

    def of(self, seen: S) -> GaugeMetricFamily:
        family, value = self.family(), self.read(seen)
        for label, part in value.items() if isinstance(value, Mapping) else [("", value)]:
            family.add_metric([label] if self.label else [], part)
        return family


class Gauges(Collector, Generic[S]):
    """Gauges of one thing, which is looked at once a scrape, in the scrape's thread.

    They are absent while there is nothing to look at, or when it cannot be looked at; all others are told.
    """

    def __init__(self, *gauges: Seen[S]) -> None:
        self._gauges = gauges
        self._look: Callable[[], S] | None = None
        self._looking = threading.Lock()
        REGISTRY.register(self)

    @contextmanager
    def of(self, look: Callable[[], S]) -> Iterator[None]:
        """While this can be looked at. Nobody looks any more when it ends."""
        self._look = look
        try:
            yield
        finally:
            with self._looking:
                self._look = None

    def describe(self) -> Iterable[Metric]:
        return [gauge.family() for gauge in self._gauges]

    def collect(self) -> Iterable[Metric]:
        with self._looking:
            if self._look is None:
                return []
            try:
                seen = self._look()
                return [gauge.of(seen) for gauge in self._gauges]
            except Exception as error:  # noqa: BLE001 - whatever it is, the other metrics say what goes on
                log.warning("gauges cannot be read", extra={"first": self._gauges[0].name, "reason": str(error)})
                return []
