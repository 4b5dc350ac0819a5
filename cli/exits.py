"""How a command ends: its exit code says what kind of failure it was."""

from services.common import errors

FAILED = 1
"""A job failed, or a service did."""

CODES: dict[type[errors.VideosearchError], int] = {
    errors.InvalidInputError: 2,  # as for wrong usage
    errors.NotFoundError: 3,
    errors.PreconditionError: 4,
    errors.UnavailableError: 5,
    errors.OverloadedError: 5,
    errors.DeadlineError: 5,
    errors.DataLossError: 6,
}

MEANINGS = (
    "0 done, 1 a job or a service failed, 2 wrong usage or input, 3 not found, 4 something must be changed first, "
    "5 a service is away or overloaded (try again), 6 stored data is damaged, 130 interrupted."
)


def code_of(error: errors.VideosearchError) -> int:
    return CODES[type(error)]
