"""Transitions that take more than one frame."""

from collections import deque

from services.indexer.pictures import Picture

FADE_REACH = 50
"""Frames: two seconds of most films. Of a longer fade no more than its end need be remembered."""


class Middles:
    """Tells the middle of each run of frames that belong to a transition, once the run has ended.

    That is the frame at which the next scene begins. Of a run of more than twice `reach` frames only the end counts, so
    that nothing is told later than that many frames after its frame, nor depends on more of them before it.
    """

    def __init__(self, reach: int) -> None:
        self._run: deque[int] = deque(maxlen=2 * reach)

    def add(self, offset_ns: int, *, inside: bool) -> list[int]:
        """Offsets that are known with the frame at this one, which lies inside of a transition or not."""
        if inside:
            self._run.append(offset_ns)
            return []
        middle = [self._run[len(self._run) // 2]] if self._run else []
        self._run.clear()
        return middle


class FadeDetector:
    """Scenes that begin in the middle of the dark, where one has faded out and the next one fades in.

    PySceneDetect's ThresholdDetector does the same with frame numbers, which a variable frame rate puts out of place.
    """

    lag = history = FADE_REACH

    def __init__(self, threshold: float) -> None:
        """`threshold`: the mean of a frame's colors, 0 to 255, below which it is dark."""
        self._threshold = threshold
        self._darks = Middles(FADE_REACH)

    def starts(self, offset_ns: int, small_bgr: Picture) -> list[int]:
        return self._darks.add(offset_ns, inside=bool(small_bgr.mean() < self._threshold))

    def finish(self) -> list[int]:
        return []
