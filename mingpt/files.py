"""Files that anybody may have made, read so that nothing in them does harm; and files of ours,
written so that there never is half of one.

What is no regular file is refused, since a pipe would keep its reader waiting for ever, and so is
what is too large or too deeply nested to be what it should be.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from reprlib import repr as brief
from typing import Any, BinaryIO

LONGEST = 1 << 25  # bytes of a file that is no weights
_DEEPEST = 50  # lists and objects within each other
_LONGEST_MESSAGE = 1500  # characters


class Unusable(ValueError):
    """What stands in files cannot be used: says which file, what is wrong, the fix. Whatever of
    them it quotes, it can be shown."""

    def __init__(self, message: str):
        super().__init__(shown(message))


def shown(text: str, most: int = _LONGEST_MESSAGE) -> str:
    """A text as every encoding can have it, without the middle of a long one."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def reason(error: Exception) -> str:
    """Why a file could not be read, without its name."""
    return getattr(error, "strerror", None) or str(error)


def opened(path: Path) -> BinaryIO:
    """A regular file to read. Raises OSError for any other, and ValueError for a name that no file
    can have."""
    file = open(path, "rb", opener=without_waiting)  # noqa: SIM115 - whoever asked closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is no file")
    return file


def without_waiting(path: str, flags: int) -> int:
    """How to open a file that may be a pipe, of which nobody may be at the other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def size_of(path: Path) -> int | None:
    """The bytes of a regular file; None where there is none, nor could be one of that name."""
    try:
        there = path.stat()
    except (OSError, ValueError):
        return None
    return there.st_size if stat.S_ISREG(there.st_mode) else None


def read(path: Path, most: int = LONGEST) -> bytes:
    """What a file of at most so many bytes holds. Raises OSError and ValueError."""
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def read_json(path: Path, most: int = LONGEST) -> Any:
    """What a JSON file of at most so many bytes says. Raises OSError and ValueError."""
    return parsed(read(path, most))


def parsed(content: bytes) -> Any:
    """What JSON says. Raises ValueError, also where it says one thing twice, of which nobody can
    know which is meant, and where it is nested so deeply that to look through it may fail."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [found]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return found
    raise ValueError("it is nested too deeply")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"it says {brief(twice)} twice")
    return found


def _within(outer: Any) -> Iterator[dict | list]:
    """The lists and objects directly in one."""
    inside = outer.values() if isinstance(outer, dict) else outer
    if isinstance(outer, dict | list):
        yield from (inner for inner in inside if isinstance(inner, dict | list))


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Where to write what is to become the file `path`: whole, it is moved there; until then, and
    where that fails, what was there stays."""
    made = path.with_name(f".{os.urandom(6).hex()}.new")
    try:
        yield made
        made.replace(path)
    except BaseException:
        with suppress(OSError):
            made.unlink()
        raise
