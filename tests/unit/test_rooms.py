"""A module of a service is a room, named alike in all of them, or a domain module that import-linter guards."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = ("embedder", "indexer", "search", "store")
ROOMS = {"__init__", "__main__", "servicer", "settings", "convert"}


def test_every_domain_module_is_guarded() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (guarded,) = (set(contract["source_modules"]) for contract in contracts if "domain modules" in contract["name"])
    domain = {
        f"services.{service}.{path.stem}"
        for service in SERVICES
        for path in (ROOT / "services" / service).glob("*.py")
        if path.stem not in ROOMS
    }
    assert {module for module in guarded if not module.startswith("services.common.")} == domain


def test_every_service_has_the_same_rooms() -> None:
    for service in SERVICES:
        assert {path.stem for path in (ROOT / "services" / service).glob("*.py")} >= ROOMS
