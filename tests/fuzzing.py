"""Damaged videos by the hundred, and a process that analyzes them as the decoder does, one after the other."""

import faulthandler
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import get_args

import av
import numpy as np

from services.common.errors import InvalidInputError
from services.common.media import Detection, Segment
from services.indexer.analysis import Analyzer, Decoded, Event, SampledScene, Task
from services.indexer.decoder import confine
from services.indexer.frames import StreamInfo
from services.indexer.limits import Limits
from services.indexer.messages import decode, encode

HEADER_BYTES = 2048
"""Where containers keep their tables, at the start or the end of these small files."""

LONGEST_S = 60
"""For one file of a few kilobytes, on a machine with much else to do."""

LIMITS = Limits(frame_pixels=4_000_000, frames=2000)


def with_header_first(path: Path) -> Path:
    """A mov whose tables come before the pictures, as they do on the web."""
    copy = path.with_suffix(".mov")
    with av.open(path) as source, av.open(copy, "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return copy


def truncated(data: bytes, percent: int) -> bytes:
    return data[: len(data) * percent // 100]


def damaged(data: bytes, seed: int) -> bytes:
    """The data after one of several kinds of accident, as the seed has it."""
    rng = np.random.default_rng(seed)
    accidents: list[Callable[[np.random.Generator, bytearray], None]] = [_flip, _flip, _swap, _repeat, _zero, _drop]
    damage = bytearray(data)
    rng.choice(accidents)(rng, damage)
    return bytes(damage)


def _flip(rng, data):
    """1 to 200 bits, half of the times in the header or the trailer alone."""
    reach = rng.choice([len(data), HEADER_BYTES])
    start = rng.choice([0, len(data) - reach])
    for position in rng.integers(start, start + reach, int(200 ** rng.random())):
        data[position] ^= 1 << rng.integers(8)


def _swap(rng, data):
    (a, b), length = sorted(_places(rng, data, 2)), _length(rng, data)
    data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]


def _repeat(rng, data):
    a, b = _places(rng, data, 2)
    data[b:b] = data[a : a + _length(rng, data)]


def _zero(rng, data):
    (a,), length = _places(rng, data, 1), _length(rng, data)
    data[a : a + length] = bytes(length)


def _drop(rng, data):
    (a,) = _places(rng, data, 1)
    del data[a : a + _length(rng, data)]


def _places(rng, data, count):
    return [int(place) for place in rng.integers(0, len(data), count)]


def _length(rng, data):
    """Of a chunk: from a byte to a quarter of the file, small ones as often as large ones."""
    return int((len(data) / 4) ** rng.random())


def task_of(path: Path) -> Task:
    return Task(path, Detection(min_scene_ns=0), 32, LIMITS)


def outcome(path: Path) -> str:
    """`indexed`, `refused`, `out of memory`, or what is wrong with the events."""
    try:
        events = list(Analyzer(task_of(path)).events())
    except InvalidInputError:
        return "refused"
    except MemoryError:
        return "out of memory"
    return fault([decode(get_args(Event), b"".join(encode(event))) for event in events]) or "indexed"


def fault(events: Sequence[Event]) -> str:
    """What keeps these from being the events of a video; nothing if they are."""
    info, *_, last = events
    scenes = [event for event in events if isinstance(event, SampledScene)]
    if not isinstance(info, StreamInfo) or not isinstance(last, Decoded):
        return f"first {info}, last {last}"
    edges = [0, *(scene.segment.end_ns for scene in scenes)]
    if [scene.segment for scene in scenes] != [Segment(*edge) for edge in pairwise(edges)]:
        return f"scenes with gaps: {[scene.segment for scene in scenes]}"
    if edges != sorted(set(edges)) or edges[-1] != last.decoded_ns:
        return f"scenes end at {edges}, the video at {last.decoded_ns}"
    for scene in scenes:
        offsets = [sample.offset_ns for sample in scene.samples]
        start_ns, end_ns = scene.segment.start_ns, scene.segment.end_ns
        if not offsets or offsets != sorted(set(offsets)) or not start_ns <= offsets[0] <= offsets[-1] < end_ns:
            return f"samples of {scene.segment} at {offsets}"
    return ""


def main() -> None:
    """Analyze the files named on standard input, a line each; print the outcome of each, a line each."""
    confine(LIMITS.memory_bytes, os.getppid())
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        sys.stdout.write(f"{outcome(Path(line.rstrip()))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
