"""What this server keeps: loaded models, and of each session what it has computed on them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

import streamlit as st

from core import models
from core.engine import work
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.result import ModelCard
from core.study import PlainRuns, Study
from pages.parts.jobs import Job

# What a session may keep on one model, in bytes; what was used last stays, however large.
BUDGET = 1 << 30
_MOST = 200  # and how many things, since some are small
_MODELS = 2
_REVISIONS = 8  # of repositories, if they are as small as this
_SMALL = 1.5e9  # bytes
_CHECKPOINTS = 64  # of the bundled model, which are small
_RUNS = "runs"

Kept = TypeVar("Kept", Job, PlainRuns)


class _Session:
    """Stands for a session; when that ends, what it kept goes."""


class Shelf:
    """A loaded model and, of each session, what it computed on it: when the model goes to make
    room for another, nothing of that holds it."""

    def __init__(self, model: LoadedModel):
        self.model = model
        self._of: WeakKeyDictionary[_Session, OrderedDict] = WeakKeyDictionary()
        self._shared: OrderedDict[Hashable, Job] = OrderedDict()
        self._lock = threading.Lock()  # of what sessions share

    def keep(self, texts: Experiment | None, what: Hashable, make: Callable[[], Kept]) -> Kept:
        """What this session keeps of some texts (`Experiment.texts`) as `what`, made if it is not
        there. Their plain runs, which all else of them holds, go last."""
        own, key, runs = self._own(), (texts, what), (texts, _RUNS)
        if key not in own:
            own[key] = self._shared.get(key) or make()
        for used in (key, runs):
            if used in own:
                own.move_to_end(used)
        for old in list(own):
            if len(own) <= _MOST and sum(kept.nbytes for kept in own.values()) <= BUDGET:
                break
            # Who asks for the runs is about to ask for something else of these texts.
            if old not in (key, runs) and (what != _RUNS or old[0] != texts):
                del own[old]
        return own[key]

    def share(self, job: Job) -> None:
        """Let every session find a finished job that this one keeps: as after a reload, which
        begins another, or in another tab."""
        key = next(key for key, kept in self._own().items() if kept is job)
        with self._lock:
            self._shared[key] = job
            self._shared.move_to_end(key)
            while len(self._shared) > _MOST or (
                len(self._shared) > 1 and sum(of.nbytes for of in self._shared.values()) > BUDGET
            ):
                self._shared.popitem(last=False)

    def _own(self) -> OrderedDict:
        """What this session keeps here."""
        session = st.session_state.setdefault("session", _Session())
        return self._of.setdefault(session, OrderedDict())


def shelf(name: str) -> Shelf:
    """That of a model of the catalogue, loaded if it is not yet, or if its files have changed.
    Raises UserError for a model that cannot be loaded."""
    entry = models.named(name)
    make = _shelf_of_checkpoint if entry.checkpoint else _shelf
    if entry.is_repository and entry.memory < _SMALL:
        make = _shelf_of_revision
    return make(name, models.version(entry))


@st.cache_resource(max_entries=_MODELS, show_spinner="Loading the model…")
def _shelf(name: str, version: tuple) -> Shelf:
    return _filled(name)


@st.cache_resource(max_entries=_REVISIONS, show_spinner="Loading the model…")
def _shelf_of_revision(name: str, version: tuple) -> Shelf:
    return _filled(name)


@st.cache_resource(max_entries=_CHECKPOINTS, show_spinner=False)
def _shelf_of_checkpoint(name: str, version: tuple) -> Shelf:
    return _filled(name)


def _filled(name: str) -> Shelf:
    work.choose_threads()
    filled = Shelf(models.load(models.named(name)))
    cards()[name] = filled.model.card
    return filled


@st.cache_resource
def cards() -> dict[str, ModelCard]:
    """The card of every model that this server has loaded, by name; models go, their cards stay."""
    return {}


def plain_runs(experiment: Experiment, on: Shelf) -> PlainRuns:
    """Both plain runs of the texts, shared by all that is asked of them."""
    return on.keep(experiment.texts, _RUNS, lambda: PlainRuns(experiment, on.model))


def plain_job(experiment: Experiment, on: Shelf) -> Job:
    """Recording both plain runs, for what needs no sweep."""
    plain = plain_runs(experiment, on)
    seconds = 0.0 if plain.recorded else plain.seconds_for(plain.work)
    return on.keep(
        experiment.texts, "recording", lambda: Job(plain.__iter__, seconds, plain.nbytes)
    )


def study_job(experiment: Experiment, on: Shelf) -> Job:
    """The sweep that answers `experiment`; it is `of` the Study."""
    plain = plain_runs(experiment, on)

    def make() -> Job:
        study = Study(experiment, on.model, plain)
        _, seconds, memory = study.estimate
        return Job(study.__iter__, seconds, memory, of=study)

    return on.keep(experiment.texts, experiment.sweep, make)
