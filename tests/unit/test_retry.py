import pytest

from services.common import retry
from services.common.errors import TRANSIENT, NotFoundError, UnavailableError


class Call:
    """Fails with each error in turn, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.001)


@pytest.mark.parametrize("error", TRANSIENT)
async def test_a_transient_failure_is_tried_again(error):
    assert await retry.patiently(Call(error("away"), error("away")), 10) == "done"


async def test_a_failure_that_will_not_pass_is_raised_at_once():
    call = Call(NotFoundError("no"))
    with pytest.raises(NotFoundError):
        await retry.patiently(call, 10)
    assert call.count == 1


async def test_the_last_failure_is_raised_when_patience_ends():
    with pytest.raises(UnavailableError, match="second"):
        await retry.patiently(Call(UnavailableError("first"), *[UnavailableError("second")] * 50), 0.05)


async def test_without_patience_there_is_one_try():
    call = Call(UnavailableError("away"))
    with pytest.raises(UnavailableError):
        await retry.patiently(call, 0)
    assert call.count == 1
