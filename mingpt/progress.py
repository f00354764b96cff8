"""How far a download is, told a few times a second."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class Progress:
    """How far a download is. `total` may be about right only until the hub has named the size."""

    done: int  # bytes
    total: int  # bytes
    rate: float  # bytes per second, over the last few seconds
    seconds_left: float | None  # None while nothing arrives


OnProgress = Callable[[Progress], None]


class Meter:
    """Makes Progress, a few times a second, of the byte counts that a download reports."""

    INTERVAL = 0.2  # seconds
    SAMPLES = 25  # the rate is that of the last five seconds

    def __init__(self, on_progress: OnProgress | None):
        self._on_progress = on_progress
        self._samples: deque[tuple[float, int]] = deque(maxlen=self.SAMPLES)  # (seconds, bytes)

    def read(self, before: int, expected: int, after: int, done: int, size: int | None) -> None:
        """`done` of `size` bytes of one file (None: `expected`), between others of `before` and
        `after` bytes."""
        if self._on_progress is None:
            return
        now, done = monotonic(), before + done
        total = max(done, before + (size or expected) + after)
        if self._samples and done < self._samples[-1][1]:  # a file was started over
            self._samples.clear()
        if self._samples and now - self._samples[-1][0] < self.INTERVAL and done < total:
            return
        self._samples.append((now, done))
        first, done_at_first = self._samples[0]
        rate = (done - done_at_first) / (now - first) if now > first else 0.0
        seconds_left = (total - done) / rate if rate else None
        self._on_progress(Progress(done, total, rate, seconds_left))
