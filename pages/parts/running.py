"""Driving a job from a page: the offer to run it, the wait, the bar, and what went wrong."""

import time
from collections.abc import Callable

import streamlit as st

from core.engine import work
from core.views import words
from pages.parts import html
from pages.parts.jobs import Job, Queue, State

_SHOW_AFTER = 0.4  # seconds: what is shorter shows nothing on its way
_BAR_EVERY = 0.2  # seconds; a click on Cancel takes that long at the most, and a step
_MAP_EVERY = 4.0  # seconds, at the least, and before the whole one is there
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
    if job.state in (State.WAITS, State.RUNS, State.ASKS) and (large := _more_than_there_is(job)):
        html.show(html.problem(large))
        return False
    if job.state in (State.WAITS, State.RUNS):
        started = time.monotonic()
        with _queue().turn(lambda before: _wait(place, before, started)):
            _run(job, place, draw_partly, every)
        place.empty()
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


def _wait(place, before: int, started: float) -> None:
    if time.monotonic() - started >= _SHOW_AFTER:
        place.markdown(f"Work that comes before yours: {before}")


def _more_than_there_is(job: Job) -> str:
    """What to say if this machine has not the memory a job needs, or nothing."""
    free = work.available_memory()
    if job.fraction or free is None or job.memory <= free:
        return ""
    return (
        f"This needs about {words.size(job.memory)} of memory, and this machine has"
        f" {words.size(free)} left: shorten the texts, or choose a smaller model."
    )


def _offer(place, job: Job, message: str, label: str) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.markdown(message)
        st.button(label, _key("go", job), on_click=job.go, type="primary")


def _run(job: Job, place, draw_partly: Callable[[float], None], every: float | None) -> None:
    started, begun_at = time.monotonic(), job.fraction
    bar, bar_due = None, started + _SHOW_AFTER
    map_due, fraction_drawn = started + (every or _MAP_EVERY), 0.0
    with job.driven():
        while job.state is State.RUNS:
            job.advance()
            now = time.monotonic()
            if now < bar_due or job.state is not State.RUNS:
                continue
            if bar is None:
                with place.container(horizontal=True, vertical_alignment="center"):
                    bar = st.empty()
                    st.button("Cancel", _key("cancel", job), on_click=job.stop)
            done = job.fraction - begun_at
            whole = (now - started) / done if done > 0 else job.seconds
            left = (1 - job.fraction) * whole
            bar.progress(job.fraction, text=f"{job.fraction:.0%}, {words.duration(left)} left")
            bar_due = now + _BAR_EVERY
            is_worth_it = left > (every or _MAP_EVERY) and job.fraction > fraction_drawn
            if now >= map_due and is_worth_it:
                draw_partly(job.fraction)
                drawn = time.monotonic()
                map_due = now + every if every else drawn + _pause(drawn - now)
                fraction_drawn = job.fraction


def _pause(took: float) -> float:
    """How long to wait before the next map, one having taken us so long."""
    return max(_MAP_EVERY, _DRAWING_PAUSE * took)


def _key(name: str, job: Job) -> str:
    """A page may run several jobs, each with its own buttons."""
    return f"{name}_{id(job)}"


@st.cache_resource
def _queue() -> Queue:
    return Queue()
