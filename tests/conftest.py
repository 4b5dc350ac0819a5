"""What all tests need."""

import signal

from hypothesis import settings

# A job that a shell runs in the background ignores SIGINT, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing of the property, and much of what else the machine does.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
