"""What all tests need."""

import signal

# A job that a shell runs in the background ignores SIGINT, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
