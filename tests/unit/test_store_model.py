"""The store against a dictionary: random operations, with restarts.

The environment may set MODEL_OPERATIONS to ask for more of them, and MODEL_SEED to repeat a run.
"""

import os
import random
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from services.common import vectors
from services.common.errors import NotFoundError, PreconditionError
from services.common.media import VideoFilter
from services.common.ranking import SceneRanking, VideoRanking
from services.store import backup
from services.store.catalog import Catalog
from tests.stores import MODEL, embeddings_of, image, indexed, query_of, scene, video, with_images

OPERATIONS = int(os.environ.get("MODEL_OPERATIONS", "1500"))
SEED = int(os.environ.get("MODEL_SEED", random.randrange(10**9)))
DIMENSION = 16
OTHER_MODEL = "model-b"


class World:
    """A catalog and what it should hold: by video id, the video and its scenes."""

    def __init__(self, folder, chance):
        self.folder = folder
        self.chance = chance
        self.random = np.random.default_rng(chance.randrange(2**32))
        self.catalog = Catalog(folder)
        self.model = MODEL
        self.videos = {}
        self.staged = {}
        self.newest = None
        self.switches = 0

    def put(self):
        video_id = f"v{self.chance.randrange(6)}"
        made = [self.scene(ordinal) for ordinal in range(self.chance.randrange(1, 8))]
        metadata = {"parity": str(self.chance.randrange(2)), "fill": "x" * self.chance.choice((0, 3000))}
        done = self.catalog.put(indexed(video(video_id, self.model, metadata=metadata), made))
        assert done.replaced == (video_id in self.videos)
        assert self.newest is None or done.video.index_time > self.newest
        self.newest = done.video.index_time
        self.videos[video_id] = done.video, made
        self.staged.pop(video_id, None)

    def scene(self, ordinal):
        samples = [self.vector() for _ in range(self.chance.randrange(1, 4))]
        made = [scene(ordinal, samples)]
        if self.chance.random() < 0.5:
            (made,) = [with_images(made, [image(ordinal, 200), b"", b""][: len(samples)])]
        return made[0]

    def vector(self):
        return vectors.normalize(self.random.standard_normal(DIMENSION))

    def delete(self):
        video_id = self.any_id()
        if self.told_if_missing(video_id, lambda: self.catalog.delete(video_id)):
            del self.videos[video_id]
            self.staged.pop(video_id, None)

    def update(self):
        video_id, title = self.any_id(), str(self.chance.random())
        if self.told_if_missing(video_id, lambda: self.catalog.update(video_id, {"title": title})):
            stored, made = self.videos[video_id]
            self.videos[video_id] = replace(stored, title=title), made

    def read(self):
        video_id = self.any_id()
        if not self.told_if_missing(video_id, lambda: self.catalog.video(video_id)):
            return
        stored, made = self.videos[video_id]
        assert self.catalog.video(video_id) == stored
        first, limit = self.chance.randrange(4), self.chance.randrange(1, 6)
        part, more = self.catalog.scenes(video_id, first, limit, with_images=True)
        wanted = made[first : first + limit]
        assert [(one.ordinal, one.segment, images_of(one)) for one in part] == [
            (one.ordinal, one.segment, images_of(one)) for one in wanted
        ]
        assert more == (first + limit < len(made))

    def list(self):
        after, limit = self.any_id(), self.chance.randrange(1, 8)
        later = sorted(video_id for video_id in self.videos if video_id > after)
        found, more = self.catalog.videos(after, limit)
        assert ([stored.video_id for stored in found], more) == (later[:limit], len(later) > limit)

    def find(self):
        vector, parity = self.vector(), str(self.chance.randrange(2))
        ranking = SceneRanking(top_k=1000, video_filter=VideoFilter(metadata={"parity": parity}))
        hits = self.catalog.find_scenes(query_of(vector, self.model), ranking).hits
        found = {(hit.video_id, hit.ordinal): hit.score for hit in hits}
        wanted = {
            (video_id, one.ordinal): max(float(sample.vector @ vector) for sample in one.samples)
            for video_id, (stored, made) in self.videos.items()
            if stored.metadata["parity"] == parity
            for one in made
        }
        assert found == pytest.approx(wanted, abs=2e-3)
        assert [hit.score for hit in hits] == sorted(found.values(), reverse=True)
        videos = self.catalog.find_videos(query_of(vector, self.model), VideoRanking(top_k=1000)).hits
        assert {hit.video.video_id for hit in videos} == set(self.videos)

    def stage(self):
        """Embeddings of the other model of a video; when all videos have some, they may take over."""
        if self.videos:
            self.stage_one(self.chance.choice(sorted(self.videos)))

    def stage_one(self, video_id):
        stored, made = self.videos[video_id]
        other = [scene(one.ordinal, [self.vector() for _ in one.samples]) for one in made]
        self.catalog.put_embeddings(embeddings_of(stored, other, self.other_model))
        self.staged[video_id] = [
            replace(
                one,
                samples=tuple(
                    replace(old, vector=new.vector) for old, new in zip(one.samples, another.samples, strict=True)
                ),
            )
            for one, another in zip(made, other, strict=True)
        ]

    def switch(self):
        if self.chance.random() < 0.3:
            for video_id in sorted(set(self.videos) - set(self.staged)):
                self.stage_one(video_id)
        missing = set(self.videos) - set(self.staged)
        listed, _ = self.catalog.missing_embeddings(self.other_model, "", 1000)
        assert {stored.video_id for stored in listed} == missing
        if missing:
            with pytest.raises(PreconditionError, match=f"missing for {len(missing)} of {len(self.videos)} videos"):
                self.catalog.switch_model(self.other_model)
        elif self.videos:
            assert self.catalog.switch_model(self.other_model) == len(self.videos)
            self.model = self.other_model
            self.switches += 1
            self.videos = {
                video_id: (replace(stored, model=self.model), self.staged[video_id])
                for video_id, (stored, _) in self.videos.items()
            }
            self.staged = {}

    def restart(self):
        self.catalog.__exit__()
        self.catalog = Catalog(self.folder)
        self.check_all()

    def restore(self):
        """Go on with the restored backup of what is there."""
        file, following = self.folder.with_name("backup"), self.folder.with_name(self.folder.name + "+")
        file.write_bytes(b"".join(self.catalog.backup()))
        self.catalog.__exit__()
        backup.restore(file, following)
        self.folder, self.catalog = following, Catalog(following)
        self.check_all()

    def check_all(self):
        stats = self.catalog.stats()
        made = [one for _, its_scenes in self.videos.values() for one in its_scenes]
        counts = (len(self.videos), len(made), sum(len(one.samples) for one in made))
        assert (stats.video_count, stats.scene_count, stats.sample_count, stats.read_only_reason) == (*counts, "")
        assert {stored.video_id: stored for stored in self.catalog.videos("", 1000)[0]} == {
            video_id: stored for video_id, (stored, _) in self.videos.items()
        }

    @property
    def other_model(self):
        return OTHER_MODEL if self.model == MODEL else MODEL

    def any_id(self):
        return f"v{self.chance.randrange(7)}"

    def told_if_missing(self, video_id, call):
        """Make the call; whether the video was there."""
        if video_id in self.videos:
            call()
            return True
        with pytest.raises(NotFoundError):
            call()
        return False


def images_of(one):
    return [sample.image for sample in one.samples]


OPERATION_WEIGHTS = {
    World.put: 6,
    World.delete: 3,
    World.update: 3,
    World.read: 6,
    World.list: 3,
    World.find: 5,
    World.stage: 8,
    World.switch: 2,
    World.restart: 0.5,
    World.restore: 0.1,
}


@pytest.mark.timeout(120 + OPERATIONS // 10)
def test_the_store_does_what_a_dictionary_does(tmp_path, capsys):
    chance = random.Random(SEED)
    world, done = World(tmp_path / "store", chance), Counter()
    for step in range(OPERATIONS):
        (operation,) = chance.choices(list(OPERATION_WEIGHTS), list(OPERATION_WEIGHTS.values()))
        try:
            operation(world)
        except BaseException as error:
            error.add_note(f"operation {step}, {operation.__name__}; seed {SEED}")
            raise
        done[operation.__name__] += 1
    world.check_all()
    world.catalog.__exit__()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{OPERATIONS} operations, {world.switches} changes of the model, 0 differences: {dict(done)}\n"
        )
    assert world.switches
