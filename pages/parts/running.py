"""Driving a job from a page: the offer to run it, the wait, the bar, and what went wrong.

Here alone is decided what begins by itself: no more, all together, than a run of a page may take
without having been asked for it, of which a link that has just been opened has less. What proves
longer than was thought stops there.
"""

import time
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

import streamlit as st

from core.engine import work
from core.views import words
from pages.parts import address, held, html, keeping, sessions
from pages.parts.jobs import Allowance, Job, Left, Queue, State

_SHOW_AFTER = 0.4  # seconds: what is shorter shows nothing on its way
_SAY_EVERY = 0.2  # seconds; a click on Cancel takes that long at the most, and a step
_LARGE = 64e6  # bytes, of memory
_MAP_EVERY = 4.0  # seconds, at the least, and before the whole one is there
_queue = Queue()  # of all sessions
_jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()  # by the keys of their buttons
# A browser takes some ten times as long to draw a map as we do to say what, and where it is on the
# same machine, it takes processors from the work: so that drawing takes a tenth of the time.
_DRAWING_PAUSE = 100  # times as long as we took


def drive(
    job: Job,
    draw_partly: Callable[[float], None] = lambda fraction: None,
    label: str = "Run it",
    every: float | None = None,
) -> bool:
    """Advance a job to its end, with a bar, a way to cancel, and `draw_partly(fraction)` now and
    then, or `every` so many seconds. Gives whether it is finished: if not, it waits for a person,
    and the page says so. `label` is what the button says that begins it."""
    place = st.empty()  # whether it is needed or not: what comes after it keeps its place
    session = sessions.current()
    if job.state in (State.WAITS, State.RUNS, State.ASKS) and (
        problem := held.too_much()
        or _more_than_there_is(job)
        or _more_than_a_session_has(session.account)
    ):
        html.show(html.problem(problem))
        return False
    if job.state is State.WAITS and not job.was_asked and job.seconds_left > session.free.left:
        job.ask()
    if job.state in (State.WAITS, State.RUNS):
        line = _Line(job, place)
        try:
            with _queue.turn(session, line.waits) as turn:
                give_way = partial(_queue.give_way, turn, line.waits)
                _run(job, line, draw_partly, every, session, give_way)
        except Left:
            return False
        place.empty()
        if job.memory > _LARGE and job.state is State.FINISHED:
            keeping.give_back()
    match job.state:
        case State.ASKS:
            memory = words.size(max(job.memory, 1e6))
            takes = f"about {words.duration(job.seconds)} and {memory} of memory"
            _offer(place, job, f"This takes {takes} here.", label)
        case State.STOPPED:
            _offer(place, job, f"Stopped at {job.fraction:.0%}.", "Go on")
        case State.FAILED:
            html.show(html.problem(job.problem))
            _offer(place, job, "It could not be finished.", "Try again")
    return job.state is State.FINISHED


def _more_than_a_session_has(account: Allowance) -> str:
    """What to say to who has had their share of this hour, or nothing."""
    if account.left > 0:
        return ""
    return (
        "You have used all the time that this server has for one person in an hour: there will be"
        f" more in {words.duration(account.comes_back_in)}."
    )


def _more_than_there_is(job: Job) -> str:
    """What to say if this machine has not the memory a job needs, or nothing."""
    if job.fraction:
        return ""
    free, own = work.available_memory(), keeping.room_for(job.memory)
    if free is None or own <= free:
        whose, free = "server may use", max(0, own)
    else:
        whose = "machine has"
    if job.memory <= free:
        return ""
    return (
        f"This needs about {words.size(job.memory)} of memory, and this {whose} {words.size(free)}"
        f"{' left' if whose == 'machine has' else ' more'}: shorten the texts, or choose a smaller"
        " model."
    )


def _offer(place, job: Job, message: str, label: str) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.markdown(message)
        button(label, "go", job, type="primary")


class _Line:
    """What is said of work on its way, waiting or done, with a way to leave it; of short work
    nothing."""

    def __init__(self, job: Job, place):
        self._job, self._place, self._says = job, place, None
        self.begin()

    def begin(self) -> None:
        """With waiting, or with the work."""
        self._due = time.monotonic() + _SHOW_AFTER

    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def says(self):
        """Where it is said, from now on for a moment."""
        if self._says is None:
            address.publish()  # else what was entered would be lost by a reload meanwhile
            with self._place.container(horizontal=True, vertical_alignment="center"):
                self._says = st.empty()
                button("Cancel", "stop", self._job)
        self._due = time.monotonic() + _SAY_EVERY
        return self._says

    def waits(self, before: int) -> None:
        if self.is_due():
            self.says().markdown(f"Work that comes before yours: {before}")


def _run(
    job: Job,
    line: _Line,
    draw_partly: Callable[[float], None],
    every: float | None,
    session: sessions.Session,
    give_way: Callable[[], bool],
) -> None:
    started, begun_at, waited = time.monotonic(), job.fraction, 0.0
    map_due, fraction_drawn = started + (every or _MAP_EVERY), 0.0
    worked = time.thread_time()
    line.begin()
    with job.driven():
        while job.state is State.RUNS:
            job.advance()
            # Its own seconds, however long others keep the processor from it.
            took, worked = time.thread_time() - worked, time.thread_time()
            for allowance in (session.free, session.account):
                allowance.use(took)
            if job.state is not State.RUNS:
                break
            if session.account.left <= 0 or (session.free.left <= 0 and not job.was_asked):
                job.stop()
                break
            now = time.monotonic()
            if give_way():
                waited += time.monotonic() - now
                now = time.monotonic()
            if not line.is_due():
                continue
            done = job.fraction - begun_at
            whole = (now - started - waited) / done if done > 0 else job.seconds
            left = (1 - job.fraction) * whole
            says = f"{job.fraction:.0%}, {words.duration(left)} left"
            line.says().progress(job.fraction, text=says)
            is_worth_it = left > (every or _MAP_EVERY) and job.fraction > fraction_drawn
            if now >= map_due and is_worth_it:
                draw_partly(job.fraction)
                drawn = time.monotonic()
                map_due = now + every if every else drawn + _pause(drawn - now)
                fraction_drawn = job.fraction


def _pause(took: float) -> float:
    """How long to wait before the next map, one having taken us so long."""
    return max(_MAP_EVERY, _DRAWING_PAUSE * took)


def button(label: str, does: str, job: Job, **options) -> None:
    """One that has a job `go` or `stop`. What its callback holds Streamlit keeps for as long as the
    session lasts, which must not be the job, and with it a model."""
    _jobs[key := f"{does}_{id(job)}"] = job  # a page may run several, each with its own buttons
    st.button(label, key, on_click=_press, args=(does, key), **options)


def _press(does: str, key: str) -> None:
    if job := _jobs.get(key):
        getattr(job, does)()


def in_queue() -> int:
    """How many jobs wait, or have the turn."""
    return len(_queue)
