"""Build hook: generates the gRPC stubs from `protos/` into `gen/` whenever the project is installed."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsBuildHook(BuildHookInterface[Any]):
    """Runs protoc; the import path of a stub is its path below `gen/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        gen = root / "gen"
        shutil.rmtree(gen, ignore_errors=True)
        gen.mkdir()
        protos = sorted(str(path) for path in (root / "protos").rglob("*.proto"))
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={root / 'protos'}"),
            *(f"--python_out={gen}", f"--grpc_python_out={gen}"),
            *(f"--mypy_out={gen}", f"--mypy_grpc_out={gen}"),
            *protos,
        ]
        subprocess.run(command, check=True)
        for package in ("videosearch", "videosearch/v1"):
            (gen / package / "__init__.py").touch()
