"""Which encoder a model's name means."""

from services.embedder.encoder import Encoder, Precision

LITE = "lite"


def load_encoder(name: str, device: str, precision: Precision) -> Encoder:
    """Load "lite", a folder or a hub name, which takes seconds; StartupError says what is missing."""
    from transformers.utils import logging as transformers_logging

    from services.embedder.device import placement

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    place = placement(device, precision)
    if name == LITE:
        from services.embedder.lite import LiteEncoder

        return LiteEncoder(name, place)
    from services.embedder.checkpoint import load_checkpoint
    from services.embedder.clip import ClipEncoder

    return ClipEncoder(name, load_checkpoint(name), place)
