"""The sweep a session is running: it outlives reruns of the page, and rests when the inputs change.

Streamlit runs a page anew on every click, and interrupts the run that is under way at its next
drawing command. So the sweep is not a loop of one run but a generator kept in the session, which
whichever run is alive drives on. Studies are kept a while: going back is free.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from core import models
from core.engine import work
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.study import Study

_KEPT = 8
_ASK_ABOVE = 2.0  # seconds: longer work begins when a person says so
_SHOW_AFTER = 0.4  # seconds: shorter work needs no bar
_BAR_EVERY = 0.1  # seconds
_MAP_EVERY = 0.5  # seconds, and as much for every so many tokens:
_TOKENS_DRAWN_AT_ONCE = 50  # a browser that draws all the time cannot answer a click on Cancel


class Job:
    """A study and how far its sweep is."""

    def __init__(self, study: Study):
        self.study = study
        self.fraction = 0.0
        self.wanted = False  # nobody has asked for it yet, and it may be long
        self.cancelled = False
        self._steps = study.steps()
        self._lock = threading.Lock()  # the run before may still be inside a step

    @property
    def finished(self) -> bool:
        return self.fraction >= 1

    def advance(self) -> None:
        with self._lock:
            self.fraction = next(self._steps, 1.0)


@st.cache_resource(max_entries=2, show_spinner="Loading the model…")
def load(name: str) -> LoadedModel:
    """A model of the catalogue, shared by all sessions."""
    work.choose_threads()
    return models.load(models.named(name))


def job_for(experiment: Experiment, model: LoadedModel) -> Job:
    """The job that answers `experiment`: the one at hand that sweeps the same, or a new one. One
    that no page asks for any more rests where it is."""
    jobs: OrderedDict[Experiment, Job] = st.session_state.setdefault("jobs", OrderedDict())
    if experiment.sweep not in jobs:
        jobs[experiment.sweep] = Job(Study(experiment, model))
    jobs.move_to_end(experiment.sweep)
    while len(jobs) > _KEPT:
        jobs.popitem(last=False)
    st.session_state.job = jobs[experiment.sweep]
    return st.session_state.job


def drive(job: Job, draw_partly: Callable[[float], None]) -> None:
    """Advance a job to its end, with a bar, a way to cancel, and `draw_partly(fraction)` now and
    then. Returns early if it is so long that a person has to ask for it, or was cancelled."""
    place = st.empty()
    if not job.wanted:
        operations, seconds = job.study.estimate
        if seconds <= _ASK_ABOVE:
            job.wanted = True
        else:
            _offer(
                place,
                job,
                f"This sweep takes {operations / 1e12:,.2f} million million operations:"
                f" about {seconds:,.0f} seconds here.",
                "Run it",
            )
            return
    if job.cancelled:
        _offer(place, job, f"Stopped at {job.fraction:.0%}.", "Go on")
        return

    def wait(before: int) -> None:
        place.markdown(f"Sweeps that come before yours: {before}")

    with _line().turn(wait):
        _run(job, place, draw_partly)
    place.empty()


def _offer(place, job: Job, message: str, label: str) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.markdown(message)
        st.button(label, _key("go", job), on_click=_go, args=(job,), type="primary")


def _run(job: Job, place, draw_partly: Callable[[float], None]) -> None:
    bar, bar_due = None, time.monotonic() + _SHOW_AFTER
    map_due, fraction_drawn = bar_due, 0.0
    map_every = _MAP_EVERY * max(1, len(job.study.clean) / _TOKENS_DRAWN_AT_ONCE)
    while not job.finished:
        job.advance()
        now = time.monotonic()
        if now < bar_due:
            continue
        if bar is None:
            with place.container(horizontal=True, vertical_alignment="center"):
                bar = st.empty()
                st.button("Cancel", _key("cancel", job), on_click=_cancel, args=(job,))
        bar.progress(job.fraction, text=f"Patching: {job.fraction:.0%} of the work is done")
        bar_due = now + _BAR_EVERY
        if now >= map_due and job.fraction > fraction_drawn and job.study.some_known:
            draw_partly(job.fraction)
            map_due, fraction_drawn = now + map_every, job.fraction


def _key(name: str, job: Job) -> str:
    """A page may run several sweeps, each with its own buttons."""
    return f"{name}_{id(job)}"


def _go(job: Job) -> None:
    job.wanted, job.cancelled = True, False


def _cancel(job: Job) -> None:
    job.cancelled = True


class Line:
    """One sweep at a time in this process: two at once would take more than twice as long, each
    waiting for the other's threads."""

    def __init__(self):
        self._waiting: list[object] = []

    @contextmanager
    def turn(self, wait: Callable[[int], None]) -> Iterator[None]:
        """Hold the turn. Until it comes, `wait(before)` is called a few times a second; whatever
        it raises, as an interrupted page does, leaves the line."""
        me = object()
        self._waiting.append(me)
        try:
            while (before := self._waiting.index(me)) > 0:
                wait(before)
                time.sleep(_BAR_EVERY)
            yield
        finally:
            self._waiting.remove(me)


@st.cache_resource
def _line() -> Line:
    return Line()
