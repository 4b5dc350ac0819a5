"""Another model's embeddings, made beside those that are searched until they take their place.

They are a generation of their own on disk: a synced batch for each video, and at last one small batch that makes their
generation the one that is searched. A video that is put anew or deleted loses what is kept of it, in the same batch.
What is of neither generation is garbage, and removed bit by bit.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

import numpy as np

from services.common import call
from services.common.errors import DataLossError, InvalidInputError, PreconditionError
from services.common.media import Vector, Video
from services.store import keys, schema
from services.store.damage import damage
from services.store.database import STAGED_KEY, Database, put_embeddings
from services.store.draft import MAX_SAMPLES_PER_SCENE, MAX_SCENES
from services.store.index import Index
from services.store.records import Contents, Staged, encode_contents, encode_staged
from services.store.scenes import Halves, IndexedVideo, SceneTable
from services.store.schema import CONTENTS_KEYS

log = logging.getLogger(__name__)

STEP = 10_000
"""Records removed at a time: others wait half a second to write."""


@dataclass(slots=True, eq=False)
class EmbeddingsDraft:
    """Another model's embeddings of a video on their way in; InvalidInputError names the scene that does not fit."""

    video_id: str
    index_time: datetime
    """Of the video whose images were embedded."""
    model: str
    discard: bool = False
    """Whether what is kept of a third model may be given up for these."""
    _scenes: list[Halves] = field(default_factory=list)  # each (samples, D)

    @property
    def scene_count(self) -> int:
        return len(self._scenes)

    def add(self, vectors: Sequence[Vector]) -> None:
        """Take those of the next scene's samples."""
        if self.scene_count >= MAX_SCENES or len(vectors) > MAX_SAMPLES_PER_SCENE:
            raise InvalidInputError(
                f"scene {self.scene_count}: no video has more than {MAX_SCENES} scenes, and none of them more than"
                f" {MAX_SAMPLES_PER_SCENE} samples; this one came with {len(vectors)} embeddings"
            )
        dimension = self._scenes[0].shape[1] if self._scenes else vectors[0].size if vectors else 0
        if not vectors or any(vector.size != dimension for vector in vectors):
            raise InvalidInputError(
                f"scene {self.scene_count}: it needs an embedding for each of its samples, all of one length"
            )
        self._scenes.append(np.stack(vectors).astype(np.float16))

    def finish(self, scenes: SceneTable) -> Halves:
        """(N, D): one for each sample of the scenes."""
        counts = [len(embeddings) for embeddings in self._scenes]
        if len(counts) != len(scenes):
            raise InvalidInputError(
                f"video {self.video_id!r} has {len(scenes)} scenes; embeddings of {len(counts)} came"
            )
        for ordinal, (count, needed) in enumerate(zip(counts, scenes.sample_counts.tolist(), strict=True)):
            if count != needed:
                raise InvalidInputError(f"scene {ordinal} has {needed} samples; {count} embeddings came")
        return np.concatenate(self._scenes)


def put(database: Database, contents: Contents, video: Video, draft: EmbeddingsDraft) -> None:
    """Keep embeddings of a video that the store holds, in place of those that are kept of that model already."""
    if video.index_time != draft.index_time:
        raise PreconditionError(f"video {video.video_id!r} was put anew since: embed its images as they are now")
    if draft.model == contents.model:
        raise PreconditionError(f"embeddings of model {draft.model} are those that are searched: nothing to keep")
    scenes = database.scenes(video.video_id)
    embeddings = draft.finish(scenes)
    staged = _staged_for(database, contents, draft, dimension=embeddings.shape[1])
    with database.batch(f"embeddings of video {video.video_id!r} were not kept") as batch:
        put_embeddings(batch, video.video_id, scenes, embeddings, staged.generation)
        batch.put(STAGED_KEY, encode_staged(staged))


def missing(database: Database, index: Index, model: str, after: str = "") -> Iterator[Video]:
    """The videos without embeddings of a model, in the order of their ids, from the first one after `after`."""
    if model == index.contents.model:
        return
    staged = database.staged()
    for video_id in sorted(video_id for video_id in index.numbers if video_id > after):
        call.check()
        if staged is None or staged.model != model or not _is_kept(database, video_id, staged.generation):
            yield index.found(video_id)


def switched(database: Database, index: Index, model: str) -> Index:
    """The next index, in which the embeddings that are kept of a model are searched. On disk it is so by then."""
    staged, missing_count = database.staged(), sum(1 for _ in missing(database, index, model))
    if missing_count or staged is None:
        raise PreconditionError(
            f"embeddings of model {model} are missing for {missing_count} of {index.contents.video_count} videos:"
            " put them first (videosearch store reembed)"
        )
    contents = replace(index.contents, model=model, dimension=staged.dimension, generation=staged.generation)
    videos = (_read(database, video_id, contents) for video_id in index.numbers)
    following = Index.of(contents, videos)  # first, so that damage is met while nothing has changed
    with database.batch("the model was not switched") as batch:
        schema.put(batch, CONTENTS_KEYS, encode_contents(contents))
        batch.delete(STAGED_KEY)
    log.info("model switched", extra={"model": model, "videos": contents.video_count})
    return following


def _read(database: Database, video_id: str, contents: Contents) -> IndexedVideo:
    call.check()
    return database.indexed(video_id, contents)


class Sweeper:
    """Removes garbage in a thread of its own, in small steps that let others write; killed, it goes on next time."""

    def __init__(self, database: Database, writing: threading.Lock, make_sound: Callable[[], object]) -> None:
        """Who writes to the database holds `writing`, and calls `make_sound` before; DataLossError if it cannot be."""
        self._database = database
        self._writing = writing
        self._make_sound = make_sound
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "sweeper")

    def start(self) -> None:
        """Begin to remove what is garbage now."""
        self._thread.submit(self._sweep)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.shutdown()

    def _sweep(self) -> None:
        try:
            with self._writing:
                self._make_sound()
                garbage = _generations(self._database) - _wanted(self._database)
            for generation in garbage:
                self._remove(generation)
        except DataLossError as error:
            log.warning("old embeddings not removed", extra={"reason": str(error)})

    def _remove(self, generation: int) -> None:
        """A step at least, so that a store that is stopped early and often comes to the end too."""
        prefix, step = keys.embeddings(generation), [b""]
        while True:
            with self._writing:
                self._make_sound()
                step = self._remove_some(prefix, step[-1])
            if len(step) < STEP:
                log.info("old embeddings removed", extra={"generation": generation})
                return
            if self._stopping.is_set():
                return

    def _remove_some(self, prefix: bytes, start: bytes) -> list[bytes]:
        """From the last one that was removed on: LevelDB takes long to pass over what is there no more."""
        step = list(islice(self._database.keys(prefix, start), STEP))
        with self._database.batch("old embeddings were not removed") as batch:
            for key in step:
                batch.delete(prefix + key)
        if step:
            self._database.free(prefix + step[0], prefix + step[-1])
        return step


def _staged_for(database: Database, contents: Contents, draft: EmbeddingsDraft, dimension: int) -> Staged:
    """What the draft belongs to: what is being kept already, or a new generation."""
    staged = database.staged()
    if staged is None or _is_gone(database, staged) or (staged.model != draft.model and draft.discard):
        last = max(contents.generation, staged.generation if staged else 0)
        return Staged(draft.model, dimension, last + 1)  # a number that none had, which may be being removed
    if staged.model != draft.model:
        raise PreconditionError(
            f"embeddings of model {staged.model} are being kept, and not searched yet: see that through, or give them"
            f" up for those of {draft.model} (videosearch store reembed --discard)"
        )
    if staged.dimension != dimension:
        raise InvalidInputError(
            f"an embedding of model {draft.model} has {staged.dimension} components; got {dimension}"
        )
    return staged


def _is_gone(database: Database, staged: Staged) -> bool:
    """Whether all videos of which there were such embeddings are."""
    return next(database.keys(keys.embeddings(staged.generation)), None) is None


def _is_kept(database: Database, video_id: str, generation: int) -> bool:
    """A batch keeps those of all scenes."""
    with damage(f"another model's embeddings of video {video_id!r}"):
        return database.get(keys.embeddings(generation) + keys.pack_scene(video_id, 0)) is not None


def _wanted(database: Database) -> set[int]:
    staged = database.staged()
    return {database.contents().generation} | ({staged.generation} if staged else set())


def _generations(database: Database) -> set[int]:
    """Those of which there are embeddings."""
    found = set[int]()
    with damage("the index of embeddings"):
        key = next(database.keys(b"", keys.ALL_EMBEDDINGS), b"")
        while key.startswith(keys.ALL_EMBEDDINGS):
            generation = keys.generation(key)
            found.add(generation)
            key = next(database.keys(b"", keys.embeddings(generation) + b"\xff"), b"")
    return found
