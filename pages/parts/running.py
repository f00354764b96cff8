"""Driving a job from a page: the offer to run it, the wait, the bar, and what went wrong."""

import time
from collections.abc import Callable

import streamlit as st

from core.engine import work
from pages.parts import html
from pages.parts.jobs import Job, Queue, State

_SHOW_AFTER = 0.4  # seconds: shorter work needs no bar
_BAR_EVERY = 0.1  # seconds
_MAP_EVERY = 0.5  # seconds; longer in proportion for texts of more tokens than this:
_TOKENS_DRAWN_AT_ONCE = 50  # a browser that draws all the time cannot answer a click on Cancel


def drive(
    job: Job, draw_partly: Callable[[float], None] = lambda fraction: None, tokens: int = 0
) -> bool:
    """Advance a job to its end, with a bar, a way to cancel, and `draw_partly(fraction)` now and
    then, the less often the more tokens there are to draw. Gives whether it is finished: if not,
    it waits for a person, and the page says so."""
    place = st.empty()
    match job.state:
        case State.FINISHED:
            return True
        case State.ASKS | State.WAITS | State.RUNS if too_large := _more_than_there_is(job):
            html.show(html.problem(too_large))
        case State.ASKS:
            takes = f"about {job.seconds:,.0f} seconds and {job.memory / 1e6:,.0f} MB of memory"
            _offer(place, job, f"This takes {takes} here.", "Run it")
        case State.STOPPED:
            _offer(place, job, f"Stopped at {job.fraction:.0%}.", "Go on")
        case State.FAILED:
            html.show(html.problem(job.problem))
            _offer(place, job, "It could not be finished.", "Try again")
        case State.WAITS | State.RUNS:
            with _queue().turn(lambda n: place.markdown(f"Work that comes before yours: {n}")):
                _run(job, place, draw_partly, max(1.0, tokens / _TOKENS_DRAWN_AT_ONCE))
            place.empty()
            return drive(job)
    return False


def _more_than_there_is(job: Job) -> str:
    """What to say if this machine has not the memory a job needs, or nothing."""
    free = work.available_memory()
    if job.fraction or free is None or job.memory <= free:
        return ""
    return (
        f"This needs about {job.memory / 1e6:,.0f} MB of memory, and this machine has"
        f" {free / 1e6:,.0f} MB left: shorten the texts, or choose a smaller model."
    )


def _offer(place, job: Job, message: str, label: str) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.markdown(message)
        st.button(label, _key("go", job), on_click=job.go, type="primary")


def _run(job: Job, place, draw_partly: Callable[[float], None], slower: float) -> None:
    bar, bar_due = None, time.monotonic() + _SHOW_AFTER
    map_due, fraction_drawn = bar_due, 0.0
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
            bar.progress(job.fraction, text=f"{job.fraction:.0%} of the work is done")
            bar_due = now + _BAR_EVERY
            if now >= map_due and job.fraction > fraction_drawn:
                draw_partly(job.fraction)
                map_due, fraction_drawn = now + _MAP_EVERY * slower, job.fraction


def _key(name: str, job: Job) -> str:
    """A page may run several jobs, each with its own buttons."""
    return f"{name}_{id(job)}"


@st.cache_resource
def _queue() -> Queue:
    return Queue()
