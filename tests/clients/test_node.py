"""A client in JavaScript, `@grpc/grpc-js`: indexes a real video, finds it, and reads vectors, times and errors."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import google.rpc
import grpc
import numpy as np
import pytest
import pytest_asyncio

from services.common.clients.embedder import EmbedderClient
from tests.clients.buf import ROOT, run
from tools.samples import FOLDER
from tools.stack import Stack

CLIENT = Path(__file__).with_name("node")
PROTOS = (ROOT / "protos", Path(google.rpc.__path__[0]).parents[1])

with_the_services = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, with its packages beside it."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = shutil.copytree(CLIENT, tmp_path_factory.mktemp("node"), dirs_exist_ok=True)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    hurried = ("--prefer-offline", "--fetch-retries=0", "--fetch-timeout=20000")
    npm = subprocess.run(("npm", "ci", *options, *hurried), cwd=folder, check=False, capture_output=True, text=True)
    if npm.returncode:
        assert not re.search("EUSAGE|EINTEGRITY", npm.stderr), f"the lock is wrong: {npm.stderr}"
        reason, _, _ = npm.stderr.partition("\n")
        pytest.skip(f"npm cannot install @grpc/grpc-js: {reason}")
    return folder / "client.js"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def read(client: Path, system: Stack) -> dict[str, Any]:
    """What the program has read."""
    addresses = [system.addresses[name] for name in ("embedder", "indexer", "search")]
    arguments = (*addresses, os.pathsep.join(map(str, PROTOS)), str(FOLDER / "bikes.mp4"))
    said = await run("node", client, *arguments)
    assert said.status == 0, said.complaint
    return json.loads(said.output)


@with_the_services
async def test_it_watches_its_job_to_the_end(read: dict[str, Any]) -> None:
    assert read["job"] == {"state": "INDEX_JOB_STATE_SUCCEEDED", "scene_count": 6, "duration_s": 10}


@with_the_services
async def test_it_finds_the_moment(read: dict[str, Any]) -> None:
    assert read["hit"] == {"video_id": "of-node", "score": pytest.approx(0.387, abs=0.005), "start_s": 5.48}


@with_the_services
async def test_it_reads_the_vector_that_we_read(read: dict[str, Any], system: Stack) -> None:
    async with EmbedderClient(system.addresses["embedder"]) as embedder:
        ours = (await embedder.embed_texts(["people riding bicycles"]))[0]
    np.testing.assert_allclose(read["vector"], ours.vector, atol=1e-5)


@with_the_services
async def test_it_reads_what_an_error_says(read: dict[str, Any]) -> None:
    error = read["error"]
    assert error["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "outside of the indexer's allowed roots" in error["text"]
    assert [one["field"] for one in error["details"]["google.rpc.BadRequest"]["field_violations"]] == ["uri"]
    assert error["details"]["google.rpc.ErrorInfo"]["metadata"]["request_id"]


def test_its_packages_are_locked_by_their_digests_wherever_they_come_from() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all(package["integrity"].startswith("sha512-") and "resolved" not in package for package in packages)
