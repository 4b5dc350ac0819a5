"""What all tests need."""

import signal

import pytest
from hypothesis import settings

from services.common import call

# A job that a shell runs in the background ignores SIGINT, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing of the property, and much of what else the machine does.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _no_call_is_left_behind():
    """A test that is no coroutine begins its calls in the context of all tests; their ids and deadlines end with it."""
    yield
    call._present.set(call.Call())
