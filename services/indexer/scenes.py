"""Where scenes begin and end: at the cuts that a detector sees, neither too early nor too late."""

from collections import deque
from collections.abc import Iterator

from services.common.media import Detection
from services.indexer.detectors import CutDetector
from services.indexer.pictures import Picture


class SceneFinder:
    """Tells the offsets at which scenes begin.

    A cut within the minimum of the scene's start does not count. A scene that would exceed the maximum is split that
    minimum before it, so that a cut soon after leaves no scene too short; only frames further apart than that make a
    longer one. The last scene may be short. What becomes of a frame is settled when it is as many frames old as the
    detector's lag, for then all cuts up to it are known.
    """

    def __init__(self, detector: CutDetector, detection: Detection, start_ns: int = 0) -> None:
        """`start_ns`: where the first scene begins; frames from before it may come, for the detector's sake."""
        self._detector = detector
        self._min_ns = max(1, detection.min_scene_ns)
        self._max_ns = detection.max_scene_ns
        self._latest_split_ns = detection.max_scene_ns - detection.min_scene_ns
        self._start_ns = start_ns
        self._unsettled: deque[int] = deque()
        self._cuts: set[int] = set()
        self._splits: deque[int] = deque()
        """Where the scene might be split: best at the first, the last frame that is not too late, if there is one."""

    @property
    def settled_ns(self) -> int:
        """No scene will be told that begins before."""
        return self._splits[0] if self._splits else self._start_ns

    def starts(self, offset_ns: int, small_bgr: Picture) -> Iterator[int]:
        """Offsets, known with this frame and in order of time, of frames at which a new scene begins."""
        self._cuts.update(self._detector.starts(offset_ns, small_bgr))
        self._unsettled.append(offset_ns)
        if len(self._unsettled) > self._detector.lag:
            yield from self._settle(self._unsettled.popleft())

    def finish(self, end_ns: int) -> Iterator[int]:
        """Those that are known only when no more frames come; the last one is shown until `end_ns`."""
        self._cuts.update(self._detector.finish())
        for offset_ns in self._unsettled:
            yield from self._settle(offset_ns)
        yield from self._split_before(end_ns)

    def _settle(self, offset_ns: int) -> Iterator[int]:
        yield from self._split_before(offset_ns)
        length_ns = offset_ns - self._start_ns
        cut = offset_ns in self._cuts
        self._cuts.discard(offset_ns)
        if length_ns > self._max_ns or (cut and length_ns >= self._min_ns):
            yield self._begin(offset_ns)
        elif length_ns >= self._min_ns:
            self._splits.append(offset_ns)
            self._drop_early_splits()

    def _split_before(self, offset_ns: int) -> Iterator[int]:
        """Split the scene as long as it is too long for one that ends here."""
        while offset_ns - self._start_ns > self._max_ns and self._splits:
            yield self._begin(self._splits[0])

    def _begin(self, start_ns: int) -> int:
        self._start_ns = start_ns
        self._splits = deque(split for split in self._splits if split - start_ns >= self._min_ns)
        self._drop_early_splits()
        return start_ns

    def _drop_early_splits(self) -> None:
        while len(self._splits) > 1 and self._splits[1] - self._start_ns <= self._latest_split_ns:
            self._splits.popleft()
