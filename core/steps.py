"""Work in steps: a generator that yields the fraction that is done and returns what came out.

Between two steps it can be drawn, cancelled (by not going on), or left for later.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

Outcome = TypeVar("Outcome")
Steps = Generator[float, None, Outcome]


def finish(steps: Steps[Outcome]) -> Outcome:
    """Take all steps: what came out."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def once(function: Callable[[], Outcome]) -> Steps[Outcome]:
    """Work of a single step."""
    yield 0.0
    return function()


def within(steps: Steps[Outcome], start: float, share: float) -> Steps[Outcome]:
    """Steps as a share of larger work, of which the fraction `start` is done before them."""
    while True:
        try:
            fraction = next(steps)
        except StopIteration as end:
            return end.value
        yield start + share * fraction
