"""`videosearch store reembed`: to another model, without the videos."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Annotated

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli import output
from cli.pages import collect
from cli.settings import Services
from services.common.clients.embedder import EmbedderClient
from services.common.clients.store import StoreClient
from services.common.errors import NotFoundError, PreconditionError, VideosearchError
from services.common.media import Matrix, Model, Scene, Video
from services.common.retry import patiently

BATCH = 32
"""Images a call: at most 2 MiB."""

PAGE_SIZE = 1000
"""Scenes; a page ends before that at 4 MiB of images."""

IN_FLIGHT = 4
"""Calls at the same time, and videos: small ones fill no batch, and a call may wait in the embedder for others."""

PATIENCE_S = 300.0
"""How long a store or an embedder that is away is waited for."""

MOST_NAMES = 10


def reembed(
    embedder: Annotated[str, typer.Option(metavar="ADDRESS", help="Where an embedder serves the other model.")],
    *,
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up what was made for a third model, and never finished.")
    ] = False,
) -> None:
    """Move the store to another model: embed the kept images of all sampled frames again, then switch at once.

    Until then the old model is searched. Interrupted, it goes on when it is run again.
    """
    try:
        asyncio.run(_reembed(embedder, discard=discard))
    except ExceptionGroup as failures:  # of its tasks; the first has stopped the others
        raise failures.exceptions[0] from None
    except KeyboardInterrupt:
        output.tell("Interrupted. Run the command again and it goes on.")
        raise


async def _reembed(address: str, *, discard: bool) -> None:
    async with Services().store() as store, Services().embedder(address) as embedder:
        model = await embedder.model()
        if (await store.stats()).model == model.fingerprint:
            output.tell(f"The store is searched by {model.name} ({model.fingerprint}) already.")
            return
        with _bars() as bars:
            await Move(store, embedder, model, bars, discard=discard).run()
        count = (await store.stats()).video_count
    output.tell(f"{output.counted(count, 'video')} searched by {model.name} ({model.fingerprint}) from now on.")
    output.tell(f"Start search and indexer anew with VIDEOSEARCH_EMBEDDER_ADDRESS={address}: the old model is refused.")


def _bars() -> Progress:
    console = output.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


class Move:
    def __init__(
        self, store: StoreClient, embedder: EmbedderClient, model: Model, bars: Progress, *, discard: bool
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._model = model
        self._bars = bars
        self._discard = discard
        self._calls = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Embed until nothing is missing, whatever is put meanwhile, and switch."""
        while True:
            while missing := await self._missing():
                await self._embed_all(missing, sample_count=await self._check(missing))
            try:
                await patiently(lambda: self._store.switch_model(self._model.fingerprint), PATIENCE_S)
            except PreconditionError:
                if not await self._missing():
                    raise
            else:
                return

    async def _missing(self) -> list[Video]:
        fetch = partial(self._store.missing_embeddings, self._model.fingerprint)
        return await collect(lambda size, token: patiently(lambda: fetch(size, token), PATIENCE_S))

    async def _check(self, videos: Sequence[Video]) -> int:
        """How many samples there are; PreconditionError before anything is embedded if some of them have no image."""
        sample_count, incomplete = 0, list[str]()
        for video in self._bars.track(videos, description="videos looked at"):
            try:
                has_image = [
                    bool(sample.image)
                    async for page in self._pages(video)
                    for scene in page
                    for sample in scene.samples
                ]
            except NotFoundError:  # deleted meanwhile
                continue
            sample_count += len(has_image)
            if not all(has_image):
                incomplete.append(video.video_id)
        if incomplete:
            raise _incomplete(incomplete, len(videos))
        return sample_count

    async def _embed_all(self, videos: Sequence[Video], sample_count: int) -> None:
        counts = f"{output.counted(len(videos), 'video')}, {output.counted(sample_count, 'sampled frame')}"
        output.tell(f"{counts} to embed with {self._model.name}")
        bar = self._bars.add_task("frames embedded", total=sample_count)
        left = iter(videos)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(self._embed_each(left, bar))

    async def _embed_each(self, videos: Iterator[Video], bar: TaskID) -> None:
        for video in videos:
            try:
                await self._embed(video, bar)
            except VideosearchError:
                if await self._is_still(video):
                    raise

    async def _embed(self, video: Video, bar: TaskID) -> None:
        matrices: list[Matrix] = []
        async for scenes in self._pages(video):
            images = [sample.image for scene in scenes for sample in scene.samples]
            batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
            embedded = await asyncio.gather(*map(self._call, batches))
            ends = np.cumsum([len(scene.samples) for scene in scenes])
            matrices += np.split(np.concatenate(embedded), ends[:-1])
            self._bars.advance(bar, len(images))
        put = partial(self._store.put_embeddings, video, self._model.fingerprint, matrices, discard=self._discard)
        await patiently(put, PATIENCE_S)

    async def _call(self, images: Sequence[bytes]) -> Matrix:
        async with self._calls:
            result = await patiently(lambda: self._embedder.embed_images(images), PATIENCE_S)
        if result.model != self._model.fingerprint:
            raise PreconditionError("the embedder changed its model meanwhile; run the command again")
        return result.matrix

    async def _pages(self, video: Video) -> AsyncIterator[Sequence[Scene]]:
        """The video's scenes with their images, as many at a time as come in one message."""
        fetch = partial(self._store.scenes, video.video_id, PAGE_SIZE, include_images=True)
        token, more = "", True
        while more:
            scenes, token = await patiently(partial(fetch, page_token=token), PATIENCE_S)
            if scenes:  # none behind the end of a video that was put anew meanwhile, and is shorter now
                yield scenes
            more = bool(token)

    async def _is_still(self, video: Video) -> bool:
        """Whether the video is there as it was; if not, it is either gone or missing again."""
        try:
            return (await self._store.video(video.video_id)).index_time == video.index_time
        except NotFoundError:
            return False


def _incomplete(video_ids: Sequence[str], total: int) -> PreconditionError:
    names = ", ".join(video_ids[:MOST_NAMES]) + (", ..." if len(video_ids) > MOST_NAMES else "")
    return PreconditionError(
        f"of {len(video_ids)} of the {output.counted(total, 'video')} to embed, not every sampled frame has an image:"
        f" {names}. Index them again (videosearch index --force) by an indexer with VIDEOSEARCH_INDEXER_IMAGES=samples,"
        " or delete them; nothing was embedded"
    )
