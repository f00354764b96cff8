"""About how much memory values take, with all that they are made of."""

import sys
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

_ALL = 100  # parts with names, or fields: they are as they may be
_SOME = 60  # parts of a list; of its parts' parts fewer


def weigh(*values: Any) -> int:
    """Bytes. Of texts, numbers, containers, data classes and what says its own `nbytes`; of a long
    list some of its parts stand for all. A container that several hold counts once."""
    seen: set[int] = set()
    return sum(_weigh(value, 1, seen) for value in values)


def _weigh(value: Any, depth: int, seen: set[int]) -> int:
    if id(value) in seen:
        return 0
    own, most = sys.getsizeof(value), _ALL
    if isinstance(nbytes := getattr(value, "nbytes", None), int):
        own, parts = nbytes, []
    elif isinstance(value, Mapping):
        parts = [*value.items()]
    elif isinstance(value, (list, tuple, Set)):
        parts, most = [*value], max(1, _SOME // depth**2)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, of.name) for of in fields(value)]
    else:
        return own
    if not isinstance(value, tuple):  # such as an item of a mapping, which is gone again at once
        seen.add(id(value))
    some = parts[:: -(-len(parts) // most) or 1]
    weighed = sum(_weigh(part, depth + 1, seen) for part in some)
    return own + weighed * len(parts) // max(1, len(some))
