import asyncio
import logging

import pytest

from services.common.errors import UnavailableError
from services.search import readiness


class Peer:
    """Gives its answers one after another, then ends the following."""

    def __init__(self, *answers: bool | UnavailableError) -> None:
        self.address = "peer:1"
        self._answers = list(answers)

    async def serving(self) -> bool:
        if not self._answers:
            raise asyncio.CancelledError
        answer = self._answers.pop(0)
        if isinstance(answer, UnavailableError):
            raise answer
        return answer


class Server:
    def __init__(self) -> None:
        self.turns: list[bool] = []

    async def ready(self) -> None:
        self.turns.append(True)

    async def not_ready(self) -> None:
        self.turns.append(False)


AWAY = UnavailableError("EmbedderService at peer:1: connection refused")


@pytest.mark.parametrize(
    ("answers", "turns"),
    [
        ([], []),
        ([True], [True]),
        ([False, False], []),
        ([AWAY, False, True, True], [True]),
        ([True, AWAY, AWAY, True], [True, False, True]),
        ([True, False, AWAY], [True, False]),
    ],
)
async def test_the_server_turns_with_its_peer_and_only_then(answers, turns):
    server = Server()
    with pytest.raises(asyncio.CancelledError):
        await readiness.follow([Peer(*answers)], server, interval_s=0)
    assert server.turns == turns


async def test_the_server_waits_for_every_peer():
    server = Server()
    with pytest.raises(asyncio.CancelledError):
        await readiness.follow([Peer(True, True, True), Peer(AWAY, True)], server, interval_s=0)
    assert server.turns == [True]


async def test_the_reason_to_wait_is_logged_once(caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(asyncio.CancelledError):
        await readiness.follow([Peer(AWAY, AWAY, AWAY)], Server(), interval_s=0)
    assert [record.reason for record in caplog.records] == [str(AWAY)]
