"""How many items a forward pass should take: measured at start, for no two machines agree."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from services.embedder.encoder import Inputs

LONGEST_S = 0.4
"""No size is tried after one whose pass takes this long: a query that arrives meanwhile has to wait for its end."""

WORTHWHILE = 1.05
"""A larger batch must do this much more in a second than each smaller one, or it would only make others wait longer."""

RUNS = 3
"""How often a size is timed, after a pass that warms it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    seconds: Mapping[int, float]
    """Of one pass, by the sizes that are worth while; 1 is always among them."""

    @classmethod
    def measured(cls, encode: Callable[[Sequence[Inputs]], object], example: Inputs, most: int) -> Self:
        """Warm and time each power of two up to `most`, until two in a row bring nothing."""
        kept: dict[int, float] = {}
        size, idle = 1, 0
        while size <= most and idle < 2:
            seconds = _fastest(encode, [example] * size)
            if all(size / seconds >= WORTHWHILE * other / kept[other] for other in kept):
                kept[size], idle = seconds, 0
            else:
                idle += 1
            if seconds >= LONGEST_S:
                break
            size *= 2
        return cls(kept)

    def best(self, waiting: int) -> int:
        """How many of those that wait make the next batch: as many as cost least each."""
        size = min(self.seconds, key=lambda size: self.seconds[size] / min(size, waiting))
        return min(size, waiting)

    def in_ms(self) -> dict[int, float]:
        return {size: round(1000 * seconds, 1) for size, seconds in self.seconds.items()}


def _fastest(encode: Callable[[Sequence[Inputs]], object], batch: Sequence[Inputs]) -> float:
    """Seconds of the best pass: whatever disturbs one only makes it longer."""
    encode(batch)
    timings: list[float] = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        encode(batch)
        timings.append(time.perf_counter() - begun)
    return min(timings)
