"""A worksheet: tasks in order, each with an experiment, as one small file that a link can hold.

sheet = Worksheet.read(Path("first-steps.json").read_text())
for task in sheet.tasks:
    print(task.title, task.asks)
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from reprlib import repr as brief  # a file may hold anything
from typing import Any, Self

from core.errors import UserError
from core.question.experiment import Experiment
from core.question.sites import SITES

KINDS = {
    "predict": "Predict",
    "map": "Read the map",
    "find": "Find the cell",
    "diagnose": "What is wrong here?",
    "own": "A pair of your own",
    "explain": "Explain",
}
WITH_EXPERIMENT = ("predict", "map", "find", "diagnose")
# What a cell can be that is to be found.
FINDS = {
    "strongest": "the cell that brings most of the answer",
    "away": "the cell that moves it furthest the other way",
    "last position": "the first layer from which on the last position has more than half of it",
}
# What can be wrong with a pair.
WRONG = {
    "no space": "The target lacks the space before it, and is another token.",
    "never comes": "Neither target nor foil is what the model would say here.",
    "no flip": "The same token is ahead after both texts: there is no answer to move.",
    "turned round": "Target and foil stand the wrong way round: all signs are turned over.",
    "two changes": "The texts differ in two places, and one map cannot tell them apart.",
    "at the end": "Only the last token differs, so that no other position can matter.",
    "hardly differs": "What differs is nothing that the answer depends on.",
    "unknown words": "The model does not know these words: it reads them in pieces.",
    "shifted": "The texts have equally many tokens, but not the same words at the same places.",
    "one pair": "Nothing is wrong with the pair; it is one pair, and the claim is about all.",
}
_LONGEST = 200_000  # characters of a file
_MOST = 60  # tasks
_IS = "patchboard worksheet"


@dataclass(frozen=True)
class Task:
    """One thing to do. `find` is one of FINDS, `wrong` one of WRONG, where the kind asks for it."""

    kind: str
    title: str
    asks: str
    experiment: Experiment | None = None
    hint: str = ""
    find: str = ""
    wrong: str = ""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UserError(
                f"There is no kind of task {brief(self.kind)}: choose one of {', '.join(KINDS)}."
            )
        if self.kind in WITH_EXPERIMENT and self.experiment is None:
            raise UserError(f"The task “{self.title}” ({self.kind}) lacks its experiment.")
        if self.experiment and len(SITES[self.experiment.site].axes) != 2:
            raise UserError(
                f"The task “{self.title}” asks for a site with three axes: choose another."
            )
        for value, known in ((self.find, FINDS), (self.wrong, WRONG)):
            if value and value not in known:
                raise UserError(f"{brief(value)} is not one of {', '.join(known)}.")
        if (self.kind == "find") != bool(self.find) or (self.kind == "diagnose") != bool(
            self.wrong
        ):
            raise UserError(
                f"The task “{self.title}” ({self.kind}) lacks what is to be found, or has it and"
                " should not."
            )

    def to_dict(self) -> dict[str, Any]:
        said = {"kind": self.kind, "title": self.title, "asks": self.asks}
        if self.experiment:
            said["experiment"] = self.experiment.to_dict()
        optional = {"hint": self.hint, "find": self.find, "wrong": self.wrong}
        return said | {name: value for name, value in optional.items() if value}


@dataclass(frozen=True)
class Worksheet:
    """Tasks for one model. `pages` are the titles of the pages that are shown meanwhile; none
    means all of them. It has no task only while somebody makes it."""

    title: str
    about: str
    model: str
    tasks: tuple[Task, ...]
    pages: tuple[str, ...] = ()

    def __post_init__(self):
        if len(self.tasks) > _MOST:
            raise UserError(
                f"A worksheet has at most {_MOST} tasks, and this one {len(self.tasks)}."
            )
        pinned = tuple(
            replace(task, experiment=replace(task.experiment, model=self.model))
            if task.experiment
            else task
            for task in self.tasks
        )
        object.__setattr__(self, "tasks", pinned)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Those of its tasks, each once."""
        return tuple(dict.fromkeys(task.experiment for task in self.tasks if task.experiment))

    @cached_property
    def digest(self) -> str:
        """Stands for all that it says."""
        return sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        said = {
            "is": _IS,
            "title": self.title,
            "about": self.about,
            "model": self.model,
            "pages": list(self.pages),
            "tasks": [task.to_dict() for task in self.tasks],
        }
        return json.dumps(said, ensure_ascii=False, indent=1)

    @classmethod
    def read(cls, written: str, unfinished: bool = False) -> Self:
        """The inverse of `to_json`. Raises UserError for what is no worksheet, which has a task at
        least unless it is `unfinished`."""
        said = mapping(written, "worksheet")
        if said.get("is") != _IS:
            raise UserError("The file is not a Patchboard worksheet.", "worksheet")
        text(said, "title", "about", "model")
        tasks, pages = said.get("tasks"), said.get("pages", [])
        if not (isinstance(tasks, list) and all(isinstance(task, dict) for task in tasks)):
            raise UserError("The worksheet has no list of tasks.", "worksheet")
        if not (isinstance(pages, list) and all(isinstance(page, str) for page in pages)):
            raise UserError("The worksheet's pages are not a list of titles.", "worksheet")
        if not (tasks or unfinished):
            raise UserError("A worksheet needs at least one task.", "worksheet")
        found = tuple(_task(number, task) for number, task in enumerate(tasks, start=1))
        return cls(said["title"], said["about"], said["model"], found, tuple(pages))

    def to_link(self) -> str:
        """All of it in a word that an address can hold."""
        return packed(self.to_json())

    @classmethod
    def from_link(cls, word: str, unfinished: bool = False) -> Self:
        """The inverse of `to_link`."""
        return cls.read(unpacked(word), unfinished)


def decoded(content: bytes) -> str:
    """What a file holds. Raises UserError for what is no text."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("The file is not text in UTF-8.", "file") from error


def mapping(written: str, what: str) -> dict[str, Any]:
    """What a JSON file says. Raises UserError where that is no object, or it is too long."""
    if len(written) > _LONGEST * 50:
        raise UserError(f"The {what} is too long: {len(written):,} characters.", what)
    try:
        said = json.loads(written, parse_constant=_refuse)
        json.dumps(said, ensure_ascii=False).encode()  # where half a character is an error as well
    except (ValueError, RecursionError) as error:
        raise UserError(f"The {what} cannot be read as JSON ({_line(error)}).", what) from error
    if not isinstance(said, dict):
        raise UserError(f"The {what} is not a JSON object.", what)
    return said


def text(said: Mapping, *fields: str, what: str = "worksheet") -> None:
    """Raises UserError for a field that is no text, or has half a character."""
    for field in fields:
        value = said.get(field)
        if not isinstance(value, str) or value != value.encode("utf-8", "replace").decode():
            raise UserError(f"The {what} has no text for “{field}”.", what)


def packed(written: str) -> str:
    return base64.urlsafe_b64encode(zlib.compress(written.encode(), 9)).decode().rstrip("=")


def unpacked(word: str) -> str:
    """The inverse of `packed`, of at most so much as a worksheet may be. Raises UserError for what
    is damaged."""
    try:
        raw = base64.urlsafe_b64decode(word.encode() + b"=" * (-len(word) % 4))
        unpacking = zlib.decompressobj()
        written = unpacking.decompress(raw, _LONGEST).decode()
        if not unpacking.eof:
            raise ValueError("it is cut off or too long")
    except (ValueError, zlib.error) as error:
        raise UserError(
            f"The link is damaged ({_line(error)}): ask for it again.", "link"
        ) from error
    return written


def _task(number: int, said: Mapping) -> Task:
    try:
        text(said, "kind", "title", "asks")
        optional = {name: said.get(name, "") for name in ("hint", "find", "wrong")}
        text(optional, *optional)
        asked = said.get("experiment")
        experiment = None if asked is None else experiment_of(asked)
        return Task(said["kind"], said["title"], said["asks"], experiment, **optional)
    except UserError as error:
        raise UserError(f"Task {number}: {error}", "worksheet") from error


def experiment_of(asked: Any) -> Experiment:
    """An experiment as a file says it. Raises UserError for what is none."""
    if not isinstance(asked, dict):
        raise UserError("The experiment is not a JSON object.")
    text(asked, "clean", "corrupted", "target", "foil", what="experiment")
    kinds = {"window": int, "bos": bool, "embedding": bool}
    called = {int: "a whole number", bool: "true or false", str: "a text"}
    for name, value in asked.items():
        kind = kinds.get(name, str)
        if type(value) is not kind:
            raise UserError(f"The experiment's {name} should be {called[kind]}.")
    return Experiment.from_dict(asked)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
