"""Rankings page by page, while others write."""

from dataclasses import replace

import pytest

from services.common.clients.store import StoreClient
from services.common.conditions import VideoIds
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, Segment, VideoFilter
from services.common.ranking import SceneRanking, VideoRanking
from services.store.catalog import Catalog
from tests.stores import SECOND, indexed, process, query_of, scenes, video


async def pages(ask, ranking, between=None):
    """All hits of a ranking, page by page."""
    hits = []
    while True:
        found = await ask(ranking)
        hits.extend(found.hits)
        if not found.next_cursor:
            return hits
        assert len(found.hits) == ranking.top_k
        ranking = replace(ranking, cursor=found.next_cursor)
        if between:
            await between()


@pytest.mark.parametrize(
    "ranking",
    [
        SceneRanking(),
        SceneRanking(scenes_per_video=2),
        SceneRanking(scene_scoring=SceneScoring.SOFTMAX),
        SceneRanking(time_window=Segment(3 * SECOND, 9 * SECOND), scene_scoring=SceneScoring.MEAN),
    ],
)
@pytest.mark.parametrize("top_k", [1, 4, 7])
async def test_pages_of_scenes_make_up_the_whole_ranking(client, ranking, top_k):
    for name in "cab":
        await client.put_video(video(name), scenes(7, seed=1))  # equal ones in each, so that many tie
    query = query_of(scenes(1, seed=5)[0].samples[0].vector)
    whole = (await client.find_scenes(query, replace(ranking, top_k=1000))).hits
    found = await pages(lambda asked: client.find_scenes(query, asked), replace(ranking, top_k=top_k))
    assert tuple(found) == whole


@pytest.mark.parametrize("top_k", [1, 2, 5])
async def test_pages_of_videos_make_up_the_whole_ranking(client, top_k):
    for seed, name in enumerate("cdabe"):
        await client.put_video(video(name), scenes(3, seed=seed % 3))
    query = query_of(scenes(1, seed=5)[0].samples[0].vector)
    whole = (await client.find_videos(query, VideoRanking(top_k=1000))).hits
    assert tuple(await pages(lambda asked: client.find_videos(query, asked), VideoRanking(top_k=top_k))) == whole


async def test_the_last_page_has_no_cursor_though_it_is_full(client):
    await client.put_video(video(), scenes(4))
    query = query_of(scenes(1)[0].samples[0].vector)
    first = await client.find_scenes(query, SceneRanking(top_k=2))
    second = await client.find_scenes(query, SceneRanking(top_k=2, cursor=first.next_cursor))
    assert (first.next_cursor != "", second.next_cursor, len(second.hits)) == (True, "", 2)


async def test_a_cursor_is_good_for_its_own_request_only(client):
    await client.put_video(video(), scenes(4))
    query = query_of(scenes(1)[0].samples[0].vector)
    cursor = (await client.find_scenes(query, SceneRanking(top_k=2))).next_cursor
    assert len((await client.find_scenes(query, SceneRanking(top_k=1, cursor=cursor))).hits) == 1
    other = query_of(scenes(1, seed=1)[0].samples[0].vector)
    for asked, ranking in (
        (other, SceneRanking(cursor=cursor)),
        (query, SceneRanking(cursor=cursor, scenes_per_video=1)),
    ):
        with pytest.raises(InvalidInputError, match="is none that this request has returned"):
            await client.find_scenes(asked, ranking)
    with pytest.raises(InvalidInputError, match="begin without a cursor"):
        await client.find_videos(query, VideoRanking(cursor=cursor))


class Writer:
    """Puts new videos, and replaces and deletes those named other-0 to other-19."""

    def __init__(self, client):
        self.turn, self._client = 0, client

    async def write(self):
        await self._client.put_video(video(f"new-{self.turn}"), scenes(3, seed=self.turn))
        await self._client.put_video(video(f"other-{self.turn % 20}"), scenes(5, seed=self.turn))
        if self.turn < 20 and self.turn % 3 == 0:
            await self._client.delete_video(f"other-{self.turn}")
        self.turn += 1


@pytest.mark.parametrize("kind", ["scenes", "videos"])
async def test_a_ranking_stays_consistent_while_videos_are_put_replaced_and_deleted(client, kind):
    kept, others = ({f"{group}-{n}" for n in range(20)} for group in ("kept", "other"))
    for n, name in enumerate(kept | others):
        await client.put_video(video(name), scenes(3, seed=n % 7))
    writer, query = Writer(client), query_of(scenes(1, seed=50)[0].samples[0].vector)
    if kind == "scenes":
        hits = await pages(lambda asked: client.find_scenes(query, asked), SceneRanking(top_k=3), writer.write)
        found = [(hit.video_id, hit.ordinal) for hit in hits]
        throughout = {(name, ordinal) for name in kept for ordinal in range(3)}
    else:
        hits = await pages(lambda asked: client.find_videos(query, asked), VideoRanking(top_k=2), writer.write)
        found = [(hit.video.video_id,) for hit in hits]
        throughout = {(name,) for name in kept}
    assert writer.turn > 10
    assert len(found) == len(set(found)), "nothing comes twice"
    assert throughout <= set(found), "nothing is left out"
    assert {video_id for video_id, *_ in found} <= kept | others, "nothing is newer"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_a_ranking_goes_on_after_a_restart(tmp_path):
    query = query_of(scenes(1, seed=3)[0].samples[0].vector)
    wanted = VideoFilter(frozenset("abc"), condition=VideoIds(frozenset("abc")))
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(8)))
        whole = catalog.find_scenes(query, SceneRanking(1000, video_filter=wanted)).hits
    ranking, found = SceneRanking(top_k=4, video_filter=wanted), []
    for _ in range(2):
        running = process(tmp_path)
        await running.start()
        await running.ready()
        async with StoreClient(running.address) as client:
            page = await client.find_scenes(query, ranking)
        await running.stop()
        found.extend(page.hits)
        ranking = replace(ranking, cursor=page.next_cursor)
    assert tuple(found) == whole
