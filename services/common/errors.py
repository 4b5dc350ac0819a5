"""What can go wrong, named for what the caller may do about it.

`services/common/status.py` gives each error its gRPC status, and nothing else does.
"""

import contextlib
from collections.abc import Iterator


class VideosearchError(Exception):
    """Its text is meant for the caller: what is wrong and what to do. It must hold nothing secret."""


class InvalidInputError(VideosearchError):
    """The request is wrong as written; change it.

    A text about one field begins with the field's path, as in `filter.video_ids[2] is empty`, and the path goes to the
    caller by itself too.
    """


@contextlib.contextmanager
def within(field: str) -> Iterator[None]:
    """What is said here of fields of one message is about those of the field that holds it."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{field}.{error}") from error


class NotFoundError(VideosearchError):
    """That name does not exist."""


class PreconditionError(VideosearchError):
    """The state must be changed first; the message says how."""


class UnauthenticatedError(VideosearchError):
    """The caller did not show who it is; a token must be given, or another one."""


class ForbiddenError(VideosearchError):
    """The caller is known and may not do this; another role is needed."""


class OverloadedError(VideosearchError):
    """A bound is full; retry later with backoff."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When there may be room again."""


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
