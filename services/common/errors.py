"""What can go wrong, named for what the caller may do about it.

VideosearchError
├── InvalidInputError    the request is wrong as written; change it
├── NotFoundError        that name does not exist
├── PreconditionError    the state must be changed first; the message says how
├── OverloadedError      a bound is full; retry later with backoff
├── UnavailableError     a peer is down; retry with backoff
├── DeadlineError        the time allowed was too short
└── DataLossError        stored data is damaged or cannot be written; a person must look

`services/common/status.py` gives each its gRPC status, and nothing else does.
"""


class VideosearchError(Exception):
    """Its text is meant for the caller: what is wrong and what to do. It must hold nothing secret."""


class InvalidInputError(VideosearchError):
    pass


class NotFoundError(VideosearchError):
    pass


class PreconditionError(VideosearchError):
    pass


class OverloadedError(VideosearchError):
    pass


class UnavailableError(VideosearchError):
    pass


class DeadlineError(VideosearchError):
    pass


class DataLossError(VideosearchError):
    pass


TRANSIENT = (UnavailableError, OverloadedError, DeadlineError)
"""What may be different at the next try."""


class StartupError(Exception):
    """The service cannot start; the text is the one line that an operator reads."""
