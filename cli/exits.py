"""How a command ends: its exit code says what kind of failure it was."""

import re

from services.common import errors

FAILED = 1
"""A job failed, or a service did."""

CODES: dict[type[errors.VideosearchError], int] = {
    errors.InvalidInputError: 2,  # as for wrong usage
    errors.NotFoundError: 3,
    errors.PreconditionError: 4,
    errors.UnauthenticatedError: 7,
    errors.ForbiddenError: 7,
    errors.UnavailableError: 5,
    errors.OverloadedError: 5,
    errors.DeadlineError: 5,
    errors.DataLossError: 6,
}

OPTIONS = {
    r"liked\[\d+\](\.video_id)?": "--like",
    r"disliked\[\d+\](\.video_id)?": "--unlike",
    r"filter\.video_ids": "--video",
    r"min_score": "--min-score",
    r"relative_cutoff": "--cutoff",
    r"duplicate_similarity": "--distinct",
    r"merge_ratio": "--merge",
    r"softmax_temperature": "--temperature",
    r"scenes_per_video": "--scenes-per-video",
}
"""By what the services call it, which is how they begin when they refuse it."""

MEANINGS = (
    "0 done, 1 a job or a service failed, 2 wrong usage or input, 3 not found, 4 something must be changed first, "
    "5 a service is away or overloaded (try again), 6 stored data is damaged, 7 a token is missing, unknown or of too "
    "low a role, 130 interrupted."
)


def code_of(error: errors.VideosearchError) -> int:
    return CODES[type(error)]


def message_of(error: errors.VideosearchError) -> str:
    """What the error says, with the option's name for what was given with one."""
    message = str(error)
    for field, option in OPTIONS.items():
        message = re.sub(rf"^{field}(?=[ :])", option, message)
    return message
