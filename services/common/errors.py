"""What can go wrong, named for what the caller may do about it.

`services/common/status.py` gives each error its gRPC status, and nothing else does.
"""


class VideosearchError(Exception):
    """Its text is meant for the caller: what is wrong and what to do. It must hold nothing secret."""


class InvalidInputError(VideosearchError):
    """The request is wrong as written; change it."""


class NotFoundError(VideosearchError):
    """That name does not exist."""


class PreconditionError(VideosearchError):
    """The state must be changed first; the message says how."""


class OverloadedError(VideosearchError):
    """A bound is full; retry later with backoff."""


class UnavailableError(VideosearchError):
    """A peer is down; retry with backoff."""


class DeadlineError(VideosearchError):
    """The time allowed was too short."""


class DataLossError(VideosearchError):
    """Stored data is damaged or cannot be written; a person must look."""


TRANSIENT = (UnavailableError, OverloadedError, DeadlineError)
"""What may be different at the next try."""


class StartupError(Exception):
    """The service cannot start; the text is the one line that an operator reads."""


class FatalError(Exception):
    """The service cannot go on; the text is the one line that an operator reads. A new process may do better."""
