"""Writes docs/metrics.md from the metrics in the code: `python -m tools.metrics_table`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from services.common import metrics as common
from services.common.metrics import Gauges
from services.embedder import metrics as embedder
from services.indexer import metrics as indexer
from services.search import metrics as search
from services.store import metrics as store

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

MODULES = {"All services": common, "Embedder": embedder, "Store": store, "Indexer": indexer, "Search": search}

INTRODUCTION = """# Metrics

Written by `make docs` from the metrics in the code. Each service serves its own at `/metrics`, by HTTP, on the address
of its setting `METRICS_LISTEN`, beside those of the process (`process_resident_memory_bytes` and others).
`deploy/grafana/videosearch.json` is a dashboard of them, and `deploy/prometheus/alerts.yaml` has alerts, which
[the runbook](runbook.md) answers. Both expect these jobs:

```yaml
rule_files: [alerts.yaml]
scrape_configs:
  - {job_name: videosearch-embedder, static_configs: [{targets: ["127.0.0.1:9051"]}]}
  - {job_name: videosearch-store, static_configs: [{targets: ["127.0.0.1:9052"]}]}
  - {job_name: videosearch-indexer, static_configs: [{targets: ["127.0.0.1:9053"]}]}
  - {job_name: videosearch-search, static_configs: [{targets: ["127.0.0.1:9054"]}]}
```

A histogram has the series `…_bucket`, `…_sum` and `…_count`. The gauges of the store are absent while it loads.

Stages are parts of the work for a call or a job:

* embedder: `prepare` (tokens, pixels), `model` (waiting for it, and its work);
* store: `choose` (what the filter lets through), `rank` with its parts `approximate` and `score`, `commit` (to disk);
* indexer: `fetch` (and the digest), `decode` (which goes on beside `embed`, a batch each), `store`;
* search: `embed`, `find` (the store's answer).
"""

HEADER = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |"


@dataclass(frozen=True, slots=True)
class Exported:
    name: str
    """As it is scraped, but for the suffixes of a histogram's series."""
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        if self.kind == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def exported(module: ModuleType) -> Iterator[Exported]:
    """The metrics of a module, in their order."""
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase | Gauges):
            labels = getattr(value, "_labelnames", ())
            for family in value.describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                yield Exported(name, family.type, tuple(getattr(family, "_labelnames", labels)), family.documentation)


def document() -> str:
    """The whole text of docs/metrics.md."""
    return "\n".join([INTRODUCTION, *_sections(), ""])


def _sections() -> Iterator[str]:
    for number, (title, module) in enumerate(MODULES.items()):
        yield f"{chr(10) if number else ''}## {title}\n\n{HEADER}"
        for each in exported(module):
            labels = ", ".join(f"`{label}`" for label in each.labels)
            yield f"| `{each.name}` | {each.kind} | {labels} | {each.meaning} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
