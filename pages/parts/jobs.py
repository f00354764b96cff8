"""Long work of a session: where it stands, and whose turn it is. Draws nothing.

Streamlit runs a page anew on every click, and interrupts the run that is under way at its next
drawing command. So long work is not a loop of one run but an iterator kept with the session, which
whichever run is alive drives on.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from core.errors import UserError

LOOK_EVERY = 0.1  # seconds: how often who waits looks whether it is their turn
_SLICE = 0.5  # seconds that a turn lasts at the least, before it goes to others who wait
_PATIENCE = 8.0  # seconds of waiting that count as much as a second less of work


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
    kept with it. It begins by itself unless it is only to be done when `asked`, or is found to be
    long (`pages.parts.running`)."""

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
        self.state = State.ASKS if asked else State.WAITS
        self.was_asked = False  # whether a person wants it, however long it takes
        self.fraction = 0.0
        self.problem = ""  # why it failed
        self.result: Any = None
        self._begin = begin
        self._steps: Iterator[float] | None = None
        self._lock = threading.Lock()  # the run before may still be inside a step

    @property
    def nbytes(self) -> int:
        """What is kept of it; while it is under way, all that it takes."""
        kept = getattr(self.of, "nbytes", 0)
        return max(kept, self.memory) if self._steps else kept

    @property
    def seconds_left(self) -> float:
        """About how long it still takes."""
        return self.seconds * (1 - self.fraction)

    def go(self) -> None:
        """A person asks for it, or for it to go on, or to be tried again."""
        self.state, self.was_asked = State.WAITS, True

    def ask(self) -> None:
        """It is too long to be begun, or gone on with, by itself."""
        self.state = State.ASKS

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


class Allowance:
    """So many `seconds` of work; with a `period`, so many in that many seconds: what was used comes
    back evenly."""

    def __init__(self, seconds: float, period: float = math.inf):
        self._most, self._period = seconds, period
        self._had, self._at = seconds, time.monotonic()

    @property
    def left(self) -> float:
        if math.isinf(self._most):
            return self._most
        came_back = self._most * ((time.monotonic() - self._at) / self._period)
        return min(self._most, self._had + came_back)

    def use(self, seconds: float) -> None:
        """Also more than there is left: then it takes longer to come back."""
        self._had, self._at = self.left - seconds, time.monotonic()

    @property
    def comes_back_in(self) -> float:
        """Seconds until there is something left."""
        return max(0.0, -self.left) * self._period / self._most


class Left(Exception):
    """A place in the queue that is given up: the same session has taken another."""


@dataclass(eq=False)
class Place:
    """In the queue: whose, for how long it has had the turn, since when it waits or has it."""

    session: object
    used: float = 0.0
    since: float = field(default_factory=lambda: time.monotonic())
    is_left: bool = False

    def rank(self, now: float) -> float:
        """Lowest first: who has worked least, or has waited long."""
        return self.used - (now - self.since) / _PATIENCE


class Queue:
    """One job at a time in this process: two at once would take more than twice as long, each
    waiting for the other's threads. Between two steps the turn goes to whoever has worked less, so
    that short work does not wait for the end of long work. A session has one place at the most."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting: list[Place] = []
        self._has_turn: Place | None = None

    def __len__(self) -> int:
        """Those who wait, and the one whose turn it is."""
        return len(self._waiting) + (self._has_turn is not None)

    @contextmanager
    def turn(self, session: object, wait: Callable[[int], None]) -> Iterator[Place]:
        """Hold the turn. Until it comes, `wait(before)` is called a few times a second; whatever
        it raises, as an interrupted page does, leaves the queue. Raises Left if the session waits
        elsewhere meanwhile."""
        place = Place(session)
        with self._lock:
            for other in [other for other in self._waiting if other.session is session]:
                other.is_left = True
                self._waiting.remove(other)
            self._waiting.append(place)
        try:
            self._wait_for(place, wait)
            yield place
        finally:
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
                if self._has_turn is place:
                    self._has_turn = None

    def give_way(self, place: Place, wait: Callable[[int], None]) -> bool:
        """Between two steps of who has the turn: let others go first who have worked less, and wait
        as for a turn. Gives whether there was any."""
        with self._lock:
            now = time.monotonic()
            held = now - place.since
            so_far = place.used + held
            if held < _SLICE or all(other.rank(now) >= so_far for other in self._waiting):
                return False
            place.used, place.since, self._has_turn = so_far, now, None
            self._waiting.append(place)
        self._wait_for(place, wait)
        return True

    def _wait_for(self, place: Place, wait: Callable[[int], None]) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                if place.is_left:
                    raise Left
                own = place.rank(now)
                before = sum(other.rank(now) < own for other in self._waiting)
                if self._has_turn is None and not before:
                    self._waiting.remove(place)
                    self._has_turn, place.since = place, now
                    return
                before += self._has_turn is not None
            wait(before)
            time.sleep(LOOK_EVERY)
