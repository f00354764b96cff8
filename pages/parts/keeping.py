"""What this server keeps: loaded models, and of each session what it has computed on them.

All of it together stays below one budget. What has not been used for longest goes first, whose ever
it is; a model takes all that was computed on it along.
"""

import ctypes
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from weakref import WeakKeyDictionary

import streamlit as st

from core import catalogue, models
from core.catalogue import Entry
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.result import ModelCard
from core.study import PlainRuns, Study
from core.views import words
from pages.parts import sessions
from pages.parts.jobs import Job, State
from pages.parts.sessions import Session
from pages.parts.settings import setting
from pages.parts.sharing import Once, shared

_MOST = 200  # things that a session may keep, since some are small
_OF_A_THING = 20_000  # bytes that each takes besides its tensors, about
_RUNS = "runs"
_WEIGHTS = {".safetensors", ".bin"}
_WORTH_TRIMMING = 32e6  # bytes

Kept = TypeVar("Kept", Job, PlainRuns)
_changing, _loading = threading.RLock(), threading.RLock()
_loaded: dict[tuple, "Shelf"] = {}  # (name, version) -> a model that is ready
counted: list[Callable[[], int]] = []  # what tells of bytes that are kept elsewhere
cards: dict[str, ModelCard] = {}  # of every model that was loaded, by name: models go, these stay


@dataclass
class _Thing:
    kept: Job | PlainRuns
    used: float  # when, last

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes + _OF_A_THING

    @property
    def goes(self) -> bool:
        """Whether its memory comes back when it is dropped: work under way goes on."""
        return getattr(self.kept, "state", None) is not State.RUNS


class _Everybody:
    """Keeps what all sessions may find."""


_EVERYBODY = _Everybody()
Keeper = Session | _Everybody


class Shelf:
    """A loaded model and, of each session, what it computed on it: when the model goes to make
    room for another, nothing of that holds it."""

    def __init__(self, model: LoadedModel):
        self.model = model
        self.used = time.monotonic()
        self._of: WeakKeyDictionary[Session | _Everybody, OrderedDict[Hashable, _Thing]] = (
            WeakKeyDictionary()
        )

    def keep(self, texts: Experiment | None, what: Hashable, make: Callable[[], Kept]) -> Kept:
        """What this session keeps of some texts (`Experiment.texts`) as `what`, made if it is not
        there. Their plain runs, which all else of them holds, go last."""
        session, now = sessions.current(), time.monotonic()
        key, runs = (texts, what), (texts, _RUNS)
        with _changing:
            self.used = now
            own = self._of.setdefault(session, OrderedDict())
            if key not in own and (shared := self._of.get(_EVERYBODY, {}).get(key)):
                own[key] = _Thing(shared.kept, now)
        made = None if key in own else _Thing(make(), now)  # others need not wait for that
        with _changing:
            if key not in own:
                own[key] = made or _Thing(make(), now)
            self._of[session] = own
            for used in (key, runs):
                if used in own:
                    own.move_to_end(used)
                    own[used].used = now
            kept = own[key].kept
            most = setting("PATCHBOARD_SESSION_MEMORY") - session.holds
            for old in list(own):
                if len(own) <= _MOST and sum(thing.nbytes for thing in own.values()) <= most:
                    break
                # Who asks for the runs is about to ask for something else of these texts.
                if old not in (key, runs) and (what != _RUNS or old[0] != texts):
                    del own[old]
            _make_room(0)
        return kept

    def share(self, job: Job) -> None:
        """Let every session find a finished job that this one keeps: as after a reload, which
        begins another, or in another tab. It counts for each who keeps it."""
        with _changing:
            own = self._of[sessions.current()]
            key = next(key for key, thing in own.items() if thing.kept is job)
            shared = self._of.setdefault(_EVERYBODY, OrderedDict())
            shared[key] = _Thing(job, time.monotonic())
            shared.move_to_end(key)
            most = setting("PATCHBOARD_SESSION_MEMORY")
            while len(shared) > _MOST or (
                len(shared) > 1 and sum(thing.nbytes for thing in shared.values()) > most
            ):
                shared.popitem(last=False)
            _make_room(0)

    @property
    def nbytes(self) -> int:
        """What the model itself takes."""
        return self.model.card.memory

    def things(self) -> Iterator[tuple[_Thing, Keeper, Hashable]]:
        """All that is kept on it, with who keeps it and what it is."""
        for session, own in list(self._of.items()):
            for what, thing in list(own.items()):
                yield thing, session, what

    def drop(self, session: Keeper, what: Hashable = None) -> None:
        """One thing of a session, or all."""
        if what is None:
            self._of.pop(session, None)
        elif session in self._of:
            self._of[session].pop(what, None)


def total() -> int:
    """Bytes of all that is kept, and of what was brought and written."""
    held = sum(session.holds for session in sessions.present()) + sum(of() for of in counted)
    with _changing:
        return held + sum(
            shelf.nbytes + sum(thing.nbytes for thing, _, _ in shelf.things())
            for shelf in _loaded.values()
        )


def number_of_models() -> int:
    return len(_loaded)


def room_for(nbytes: int) -> int:
    """Make room for work that takes so many bytes, as far as it can be made by dropping what nobody
    has used for long. Gives how many there are then."""
    with _changing:
        return _make_room(nbytes)


def _make_room(nbytes: int) -> int:
    """Drop what was not used for longest, until there is room for so many bytes more; but nothing
    that the run of the page which asks has used. Gives how many there are then."""
    left = setting("PATCHBOARD_MEMORY") - total()
    if left >= nbytes:
        return left
    own, freed = sessions.current(), 0
    found = [
        (thing.used, shelf, session, what, thing.nbytes)
        for shelf in _loaded.values()
        for thing, session, what in shelf.things()
        if thing.goes and not (session is own and thing.used >= own.began)
    ]
    found += [(shelf.used, shelf, None, key, shelf.nbytes) for key, shelf in _loaded.items()]
    for _, shelf, session, what, size in sorted(found, key=lambda row: row[0]):
        if left >= nbytes:
            break
        if session is not None:
            shelf.drop(session, what)
        elif shelf.used >= own.began or any(not thing.goes for thing, _, _ in shelf.things()):
            continue
        else:
            size += sum(thing.nbytes for thing, _, _ in shelf.things())
            del _loaded[what]
        left, freed = left + size, freed + size
    if freed > _WORTH_TRIMMING:
        give_back()
    return left


def give_back() -> None:
    """Give what was freed back to the system, which else keeps it for this process; where the C
    library has a way to."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def forget(session: Session) -> None:
    """Drop all that a session keeps."""
    with _changing:
        for shelf in _loaded.values():
            shelf.drop(session)
    give_back()


def shelf(name: str) -> Shelf:
    """That of a model of the catalogue, loaded if it is not yet, or if its files have changed.
    Raises UserError for a model that cannot be loaded, or that this server does not offer."""
    entry = catalogue.named(name)
    require_offered(entry)
    key = entry.name, models.version(entry)
    if found := _loaded.get(key):
        return found
    says = nullcontext() if entry.checkpoint else st.spinner("Loading the model…")
    with _loading, says:  # one at a time, and each once
        return _loaded.get(key) or _load(entry, key)


def bytes_of(entry: Entry) -> int:
    """About what a model that is here takes when it is loaded: the size of its largest files, of
    one kind."""
    sizes: dict[str, int] = {}
    with suppress(OSError):  # whoever loads it is told what is wrong with them
        for path in entry.location.iterdir():
            if path.suffix in _WEIGHTS:
                sizes[path.suffix] = sizes.get(path.suffix, 0) + path.stat().st_size
    return max(sizes.values(), default=0)


def is_loaded(name: str) -> bool:
    return (name, models.version(catalogue.named(name))) in _loaded


def require_offered(entry: Entry) -> None:
    """Raises UserError for a model that is not one of those that this server offers."""
    if not is_offered(entry):
        names = ", ".join((catalogue.TEACHING.name, *setting("PATCHBOARD_ALLOWED")))
        raise UserError(f"This server does not offer {entry.name!r}: choose {names}.", "model")


def is_offered(entry: Entry) -> bool:
    """The bundled model, which pages explain things with, always is."""
    allowed = setting("PATCHBOARD_ALLOWED")
    return not allowed or entry.base in (catalogue.TEACHING.name, *allowed)


def _load(entry: Entry, key: tuple) -> Shelf:
    with _changing:
        for old in [old for old in _loaded if old[0] == entry.name]:
            del _loaded[old]  # its files have changed
        size = bytes_of(entry)
        has = _make_room(size)
    if size > has:
        raise UserError(
            f"{entry.title} takes about {words.size(size)} of memory, and this server may use"
            f" {words.size(max(0, has))} for it: choose a smaller model.",
            "model",
        )
    filled = Shelf(models.load(entry))
    cards[entry.name] = filled.model.card
    with _changing:
        _loaded[key] = filled
    give_back()
    return filled


@lru_cache(maxsize=20)
def checks_of(*version: str) -> list:
    """The last run of the checks on a version of a model, of all sessions; empty before."""
    return []


def plain_runs(experiment: Experiment, on: Shelf) -> PlainRuns:
    """Both plain runs of the texts, shared by all that is asked of them, by whomever."""

    def make() -> PlainRuns:
        return shared(on, (_RUNS, experiment.texts), lambda: PlainRuns(experiment, on.model))

    return on.keep(experiment.texts, _RUNS, make)


def plain_job(experiment: Experiment, on: Shelf) -> Job:
    """Recording both plain runs, for what needs no sweep."""
    plain = plain_runs(experiment, on)
    seconds = 0.0 if plain.recorded else plain.seconds_for(plain.work)
    return on.keep(
        experiment.texts, "recording", lambda: Job(plain.__iter__, seconds, plain.nbytes)
    )


def study_job(experiment: Experiment, on: Shelf) -> Job:
    """The sweep that answers `experiment`, shared by all who ask for it; it is `of` the Study."""
    plain = plain_runs(experiment, on)

    def make() -> Job:
        swept = shared(
            on, ("swept", experiment.sweep), lambda: Once(Study(experiment, on.model, plain))
        )
        _, seconds, memory = (0, 0.0, 0) if swept.is_done else swept.of.estimate
        return Job(swept.__iter__, seconds, memory, of=swept.of)

    return on.keep(experiment.texts, experiment.sweep, make)
