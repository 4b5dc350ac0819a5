"""What Prometheus would read of a service."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

from services.common import exposition


class Scrape:
    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self._values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Of `videosearch_{name}`; None if it is not there."""
        return self._values.get((f"videosearch_{name}", *sorted(labels.items())))


async def scrape(port: int) -> Scrape:
    return await asyncio.to_thread(_scrape, port)


def _scrape(port: int) -> Scrape:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return Scrape(answer.read().decode())


class Growth:
    """By how much counters of this process grow: other tests have used them too."""

    def __init__(self, port: int, before: Scrape) -> None:
        self.port, self._before = port, before

    async def of(self, *names: str, **labels: str) -> list[float]:
        now = await scrape(self.port)
        return [(now.value(name, **labels) or 0) - (self._before.value(name, **labels) or 0) for name in names]


@asynccontextmanager
async def growing() -> AsyncIterator[Growth]:
    """From here on, over HTTP."""
    with exposition.serving("127.0.0.1:0", "LISTEN") as port:
        yield Growth(port, await scrape(port))
