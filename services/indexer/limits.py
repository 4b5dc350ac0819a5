"""What decoding one video may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """A video that goes beyond one of them fails its job with a reason. The defaults are those of the settings."""

    memory_bytes: int = 4 << 30
    """Private writable memory of the decoding process, used or not."""
    silence_s: float = 120.0
    """Wall-clock time in which decoding does not get on."""
    frame_pixels: int = 50_000_000
    """Half as much again as 8K: a few kilobytes can announce frames that fill any memory."""
    frames: int = 10_000_000
    duration_s: float = 86_400.0
    """Of the offsets of the frames, whatever the container says."""
