"""Bars on a terminal: how far work is, and how long it still takes."""

import time
from collections.abc import Iterable, Iterator

from core import output
from core.many.pairs import counted
from core.steps import Outcome, Steps
from core.views.words import duration
from mingpt.hub import Progress


def shown(fractions: Iterable[float]) -> None:
    """Exhaust `fractions`, drawing a bar once the work has taken a second."""
    started = time.perf_counter()
    for fraction in fractions:
        elapsed = time.perf_counter() - started
        if elapsed > 1 and fraction > 0:
            draw_bar(fraction, f"{elapsed / fraction - elapsed:.0f} s left")


def draw_download(progress: Progress) -> None:
    left = "waiting" if progress.seconds_left is None else f"{progress.seconds_left:.0f} s left"
    draw_bar(
        progress.done / progress.total,
        f"{progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB,"
        f" {progress.rate / 1e6:.1f} MB/s, {left}",
    )


def draw_bar(fraction: float, text: str, width: int = 30) -> None:
    """A full bar wipes itself."""
    bar = ("█" * round(fraction * width)).ljust(width, "·")
    output.redraw(f"{bar} {fraction:4.0%}, {text}" if fraction < 1 else "")


def finished(steps: Steps[Outcome]) -> Outcome:
    """Take all steps, drawing a bar: what came out."""
    outcome: list[Outcome] = []

    def fractions() -> Iterator[float]:
        outcome.append((yield from steps))

    shown(fractions())
    return outcome[0]


class Pace:
    """Draws how far pairs are, and how quickly those come that are computed now: what was there
    before it began is done, and took no time."""

    def __init__(self):
        self._began: dict[str, tuple[float, float]] = {}  # of a kind of work: when, how far

    def __call__(self, kind: str, fraction: float, pairs: int) -> None:
        now = time.perf_counter()
        then, before = self._began.setdefault(kind, (now, fraction))
        made, elapsed = fraction - before, now - then
        if fraction == 1:
            draw_bar(1, "")
        elif elapsed > 1 and made:
            text = f"{int(fraction * pairs):,} of {counted(pairs, 'pair')} {kind}, "
            text += f"{made * pairs / elapsed:.1f} a second, "
            draw_bar(fraction, text + f"{duration((1 - fraction) * elapsed / made)} left")
