"""The sweep a session is running: it outlives reruns of the page, and ends when the inputs change.

Streamlit runs a page anew on every click, and interrupts the run that is under way at its next
drawing command. So the sweep is not a loop of one run but a generator kept in the session, which
whichever run is alive drives on. Finished studies are kept a while: going back is free.
"""

import threading
import time
from collections import OrderedDict

import streamlit as st

from core import models
from core.experiment import Experiment
from core.models import LoadedModel
from core.study import Study

_KEPT = 8
_SHOW_AFTER = 0.4  # seconds: shorter work needs no bar
_REDRAW_EVERY = 0.1  # seconds


class Job:
    """A study and how far its sweep is."""

    def __init__(self, study: Study):
        self.study = study
        self.fraction = 0.0
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
    return models.load(models.named(name))


def job_for(experiment: Experiment, model: LoadedModel) -> Job:
    """The job that answers `experiment`: one at hand if its texts, model and direction are the
    same, else a new one in place of the one under way."""
    jobs: OrderedDict[Experiment, Job] = st.session_state.setdefault("jobs", OrderedDict())
    for key in [key for key, job in jobs.items() if not job.finished and key != experiment.sweep]:
        del jobs[key]
    if experiment.sweep not in jobs:
        jobs[experiment.sweep] = Job(Study(experiment, model))
    jobs.move_to_end(experiment.sweep)
    while len(jobs) > _KEPT:
        jobs.popitem(last=False)
    st.session_state.job = jobs[experiment.sweep]
    return st.session_state.job


def drive(job: Job, draw_partly) -> None:
    """Advance a job to its end, with a bar, a way to cancel and `draw_partly()` now and then.
    Returns early if it was cancelled; then it can be resumed."""
    place = st.empty()
    if job.cancelled:
        with place.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Stopped at {job.fraction:.0%}.")
            st.button("Go on", on_click=_set_cancelled, args=(job, False))
        return
    started = shown = time.monotonic()
    bar = None
    while not job.finished:
        job.advance()
        now = time.monotonic()
        if now - started < _SHOW_AFTER or now - shown < _REDRAW_EVERY:
            continue
        shown = now
        if bar is None:
            with place.container(horizontal=True, vertical_alignment="center"):
                bar = st.empty()
                st.button("Cancel", on_click=_set_cancelled, args=(job, True))
        bar.progress(job.fraction, text=f"Patching: {job.fraction:.0%} of the work is done")
        draw_partly()
    place.empty()


def _set_cancelled(job: Job, cancelled: bool) -> None:
    job.cancelled = cancelled
