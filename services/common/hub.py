"""Models of the hub: fetched into its cache on this machine, or only looked up there."""

import logging
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from services.common.errors import (
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    VideosearchError,
)

CONFIGURATION = ("*.json", "*.txt", "*.model")
"""What transformers reads beside the weights: settings and vocabularies."""

WEIGHTS = (
    ("model.safetensors", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
)
"""By preference; the first of which there are any is enough."""

FOLDERS = ("*/*",)
"""Weights for other programs, pictures and the like; transformers reads none of them."""

TIMEOUT_S = 5.0
"""For the hub's first answer: without a network one wants to know soon."""


def fetch(name: str, *, offline: bool = False, progress: bool = False) -> list[Path]:
    """The files of a model, all in one folder of the cache. Those that are there already are not fetched again.

    With `offline` nothing is asked of the network; `progress` draws bars on stderr. NotFoundError, UnavailableError if
    the hub does not answer, PreconditionError if it wants a token or the cache cannot be written, InvalidInputError if
    this is no name.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what went wrong is said below, once
    if not progress:
        disable_progress_bars()
    offline = offline or constants.HF_HUB_OFFLINE
    try:
        return _fetch(name, offline=offline)
    except (HFValidationError, httpx2.HTTPError, OSError) as error:
        raise _explained(name, error, offline=offline) from None


def _fetch(name: str, *, offline: bool) -> list[Path]:
    if not offline:
        HfApi().model_info(name, timeout=TIMEOUT_S)
    for weights in WEIGHTS:
        wanted = [*CONFIGURATION, *weights]
        folder = snapshot_download(name, local_files_only=offline, allow_patterns=wanted, ignore_patterns=[*FOLDERS])
        if any(next(Path(folder).glob(pattern), None) for pattern in weights):
            return sorted(file for pattern in wanted for file in Path(folder).glob(pattern))
    raise NotFoundError(f"{name!r} has no weights that transformers reads (model.safetensors or pytorch_model.bin)")


def _explained(name: str, error: Exception, *, offline: bool) -> VideosearchError:
    match error:
        case HFValidationError():
            return InvalidInputError(f"{name!r} is no name of a model; they look like owner/model")
        case GatedRepoError():
            advice = "accept them there, and set HF_TOKEN to a token of that account"
            return PreconditionError(f"the owner of {name!r} asks for consent to terms: {advice}")
        case RepositoryNotFoundError():
            return NotFoundError(f"the hub has no model {name!r}; if it is private, set HF_TOKEN")
        case LocalEntryNotFoundError() if offline:
            cache = constants.HF_HUB_CACHE
            return NotFoundError(f"the hub's cache on this machine ({cache}) does not hold all of {name!r}")
        case LocalEntryNotFoundError() | httpx2.HTTPError() | ConnectionError():
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            return UnavailableError(f"no whole answer from the hub at {constants.ENDPOINT} ({reason}); try again")
        case _:
            return PreconditionError(f"{name!r} cannot be kept in {constants.HF_HUB_CACHE}: {error}")
