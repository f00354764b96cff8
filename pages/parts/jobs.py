"""Long work of a session: where it stands, and whose turn it is. Draws nothing.

Streamlit runs a page anew on every click, and interrupts the run that is under way at its next
drawing command. So long work is not a loop of one run but an iterator kept with the session, which
whichever run is alive drives on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from core.errors import UserError

_ASK_ABOVE = 15.0  # seconds: longer work begins when a person says so
LOOK_EVERY = 0.1  # seconds: how often who waits looks whether it is their turn


class State(Enum):
    ASKS = auto()  # it may be long, and nobody has asked for it yet
    WAITS = auto()  # for its turn, or for a run of the page that drives it
    RUNS = auto()
    STOPPED = auto()  # by a person, who may go on
    FAILED = auto()
    FINISHED = auto()


class Job:
    """Work in steps (`core.steps`) that `begin` begins, and what came out, its `result`. It takes
    about `seconds`, and `memory` bytes until it is done; `of` is what it is done for, if that is
    kept with it. It begins by itself unless it is long or only to be done when `asked`."""

    def __init__(
        self,
        begin: Callable[[], Iterator[float]],
        seconds: float = 0.0,
        memory: int = 0,
        of: Any = None,
        asked: bool = False,
    ):
        self.of = of
        self.seconds = seconds
        self.memory = memory
        self.state = State.ASKS if asked or seconds > _ASK_ABOVE else State.WAITS
        self.fraction = 0.0
        self.problem = ""  # why it failed
        self.result: Any = None
        self._begin = begin
        self._steps: Iterator[float] | None = None
        self._lock = threading.Lock()  # the run before may still be inside a step

    @property
    def nbytes(self) -> int:
        """What is kept of it."""
        return getattr(self.of, "nbytes", 0)

    def go(self) -> None:
        """A person asks for it, or for it to go on, or to be tried again."""
        self.state = State.WAITS

    def stop(self) -> None:
        self.state = State.STOPPED

    @contextmanager
    def driven(self) -> Iterator[None]:
        """While a run of the page drives it; whatever ends that run, the job can be driven on."""
        with self._lock:
            if self.state is State.WAITS:
                self.state = State.RUNS
        try:
            yield
        finally:
            with self._lock:
                if self.state is State.RUNS:
                    self.state = State.WAITS

    def advance(self) -> None:
        """One step."""
        with self._lock:
            if self.state is not State.RUNS:
                return
            try:
                self._steps = self._steps or self._begin()
                self.fraction = next(self._steps)
            except StopIteration as end:
                self.fraction, self.result, self.state = 1.0, end.value, State.FINISHED
                self._steps = None
            except Exception as error:
                self._steps, self.fraction, self.state = None, 0.0, State.FAILED
                self.problem = str(error)
                if not isinstance(error, UserError):
                    self.problem = "Something broke; what it was is in the terminal of the server."
                    logging.exception("A job failed")


class Queue:
    """One job at a time in this process: two at once would take more than twice as long, each
    waiting for the other's threads."""

    def __init__(self):
        self._waiting: list[object] = []

    @contextmanager
    def turn(self, wait: Callable[[int], None]) -> Iterator[None]:
        """Hold the turn. Until it comes, `wait(before)` is called a few times a second; whatever
        it raises, as an interrupted page does, leaves the queue."""
        me = object()
        self._waiting.append(me)
        try:
            while (before := self._waiting.index(me)) > 0:
                wait(before)
                time.sleep(LOOK_EVERY)
            yield
        finally:
            self._waiting.remove(me)
