"""What is done of each pair, kept in a folder, so that work that was broken off goes on.

A line is found again by all that its numbers depend on; one that was written in part is none.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from core.errors import UserError
from core.many.fitting import Fitted
from core.many.values import Screened, Swept, Values
from core.question.experiment import RENAMED, Experiment
from core.result import ModelCard

VALUES = "values.jsonl"  # a line for each pair that is done


class Store:
    """The values of pairs in a folder, which is made if it is not there."""

    def __init__(self, folder: Path):
        self._path = folder / VALUES
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = kept(folder)
            self._file = self._path.open("ab", buffering=0)
            ends = self._file.tell() == 0 or self._path.read_bytes().endswith(b"\n")
        except OSError as error:
            raise UserError(f"{folder} cannot be written to: {error.strerror}.", "out") from error
        if not ends:
            self._write(b"\n")

    def find(self, pair: Fitted, digest: str) -> Swept | None:
        return found(pair, self._lines.get(digest))

    def add(self, digest: str, swept: Swept) -> None:
        """Raises UserError where it cannot be kept."""
        line = [digest, plain(swept.screened), plain(swept.values)]
        self._write(json.dumps(line).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            while line:  # nothing is held back here: what is added survives this process
                line = line[self._file.write(line) :]
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written on: {error.strerror}. What is in it is good: go on"
                " from it with --resume.",
                "out",
            ) from error


def kept(folder: Path) -> dict[str, bytes]:
    """The lines of a folder, by their digests. Raises OSError."""
    path = folder / VALUES
    lines = path.read_bytes().split(b"\n") if path.exists() else ()
    return {line[2:34].decode("ascii", "replace"): line for line in lines}


def found(pair: Fitted, line: bytes | None) -> Swept | None:
    """What a line says of a pair; nothing where there is none, or no whole one."""
    try:
        _, screened, values = json.loads(line or b"")
        return Swept(pair, restored(Screened, screened), restored(Values, values))
    except (ValueError, TypeError, KeyError):
        return None


def digest(
    pair: Fitted, model: ModelCard, asked: Experiment, metrics: Sequence[str], also: str = ""
) -> str:
    """What stands for all that the values of a pair depend on, `also` for what other pairs put
    in."""
    weights = model.fingerprint, model.dtype
    # By its former name, so that what was kept under that is found.
    direction = {new: old for old, new in RENAMED.items()}.get(asked.direction, asked.direction)
    question = asked.site, direction, asked.window, asked.embedding, sorted(metrics)
    tokens = pair.clean, pair.corrupted, pair.target, pair.foil, pair.columns
    whole = json.dumps([weights, question, tokens, *([also] if also else [])])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """A record, or records in tuples and dicts, as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    if is_dataclass(value) or hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in _kinds(type(value))}
    return [*map(plain, value)] if isinstance(value, tuple | list) else value


def restored(kind: Any, value: Any) -> Any:
    """The inverse of `plain`, of a kind of record. Raises KeyError and TypeError for another."""
    of, args = get_origin(kind), get_args(kind)
    if kind is np.ndarray:
        return np.array(value, np.float32)
    if of is dict:
        return {key: restored(args[1], one) for key, one in value.items()}
    if of is tuple:
        kinds = repeat(args[0], len(value)) if args[-1] is ... else args
        return tuple(restored(*one) for one in zip(kinds, value, strict=True))
    if of is UnionType:  # of a record and None
        return value if value is None else restored(args[0], value)
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return kind(**{name: restored(of, value[name]) for name, of in _kinds(kind).items()})
    return value


@cache
def _kinds(record: type) -> dict[str, Any]:
    """The fields of a record and their types."""
    hints = get_type_hints(record)
    names = [of.name for of in fields(record)] if is_dataclass(record) else record._fields
    return {name: hints[name] for name in names}
