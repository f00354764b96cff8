"""Bytes of a file -> plain values of which the types are known, or why they are none.

A file may have been damaged on its way, be somebody else's, or be meant to do harm. What has passed
here is no larger and no deeper than ours are, has only numbers that are numbers and texts that can
be written, and is of the shape that was asked for.
"""

import json
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Any

from core.errors import UserError

MOST_BYTES = 10_000_000
_DEEPEST = 40
_LARGEST = 1e18


@dataclass(frozen=True)
class Each:
    """Of a dictionary with any names: the shape of each of its values."""

    shape: Any


@dataclass(frozen=True)
class Maybe:
    """What may be missing or null."""

    shape: Any


def check_size(content: bytes) -> None:
    """Raises UserError for a file that is larger than any of ours."""
    if len(content) > MOST_BYTES:
        size, most = len(content) / 1e6, MOST_BYTES // 10**6
        raise UserError(f"It is {size:,.0f} MB, and no file of ours is larger than {most} MB.")


def parse(content: bytes) -> Any:
    """The value of a JSON file. Raises UserError for what is none, or is none of ours."""
    check_size(content)
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        why = {RecursionError: "nested too deeply", UnicodeDecodeError: "not text in UTF-8"}
        raise UserError(f"It is {why.get(type(error), 'damaged, or not a JSON file')}.") from error
    _check_all(value, 0)
    return value


def _no_number(name: str):
    raise UserError(f"It has {name} where a number should be.")


def _check_all(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise UserError("It is nested too deeply.")
    if isinstance(value, dict):
        for key, of in value.items():
            _check_all(key, depth)
            _check_all(of, depth + 1)
    elif isinstance(value, list):
        for of in value:
            _check_all(of, depth + 1)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError("It has text that is not valid Unicode.") from error
    elif isinstance(value, (int, float)) and not abs(value) < _LARGEST:
        raise UserError("It has a number that is too large.")


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_NAMES[list] = "a list"


def check(value: Any, shape: Any, where: str = "") -> None:
    """Raise UserError, saying where, unless a value is of a shape: a type (a whole number is a
    float as well), a list of one shape, a dictionary of names with their shapes (it may have
    others), Each or Maybe."""
    if isinstance(shape, Maybe):
        if value is not None:
            check(value, shape.shape, where)
    elif isinstance(shape, Each):
        _expect(isinstance(value, dict), where, value, "names with values")
        for name, of in value.items():
            check(of, shape.shape, f"{where}.{brief(name)[1:-1]}")
    elif isinstance(shape, dict):
        _expect(isinstance(value, dict), where, value, "names with values")
        for name, of in shape.items():
            at = f"{where}.{name}" if where else name
            if name not in value and not isinstance(of, Maybe):
                raise UserError(f"It has no “{at}”.")
            check(value.get(name), of, at)
    elif isinstance(shape, list):
        _expect(isinstance(value, list), where, value, "a list")
        for i, of in enumerate(value):
            check(of, shape[0], f"{where}[{i}]")
    else:
        fits = isinstance(value, (int, float) if shape is float else shape)
        is_flag = isinstance(value, bool)  # which Python counts among the whole numbers
        _expect(fits and is_flag == (shape is bool), where, value, _NAMES[shape])


def _expect(holds: bool, where: str, value: Any, what: str) -> None:
    if not holds:
        raise UserError(f"Its “{where or 'whole'}” should be {what}, and is {brief(value)}.")
