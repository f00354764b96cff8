"""Whether a file is still what was downloaded.

Beside a file of the cache, `FILE.checked` keeps the checksum that it was found to have, and its
size and times of change then. While these are the same the file is taken for what it was; where one
is not, it is read again. So a damaged file is noticed whatever its size, and gigabytes are not read
at every start. What no checksum is known of, such as a file brought by hand, can only be unknown.
"""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from mingpt import files

State = Literal["good", "damaged", "unknown"]


class _Note(NamedTuple):
    checksum: str
    size: int  # bytes
    written: int  # nanoseconds
    changed: int  # nanoseconds; nobody can set this one back


def state(path: Path, checksum: str | None = None) -> State:
    """Of a file that is there. `checksum`, where it is known, is what it should have; otherwise
    what is noted beside it is."""
    noted = _noted(path)
    checksum = checksum or (noted.checksum if noted else None)
    if checksum is None:
        return "unknown"
    now = _now(path, checksum)
    if noted == now:
        return "good"
    if noted and noted.checksum == checksum and noted.size != now.size:
        return "damaged"
    if _read(path, now) != checksum:
        return "damaged"
    note(path, checksum)
    return "good"


def note(path: Path, checksum: str) -> None:
    """Keep what a file was found to have. Where that cannot be written it is found out again."""
    with suppress(OSError), files.beside(_beside(path)) as made:
        made.write_text(json.dumps(_now(path, checksum)), encoding="ascii")


def forget(path: Path) -> None:
    """Remove a file, and what is noted of it. Raises OSError."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def checksum_of(path: Path, digits: int) -> str:
    """64 hexadecimal digits of SHA-256, or 40 of the SHA-1 that git gives a blob. Raises
    OSError."""
    if digits == 64:
        start = hashlib.sha256()
    else:
        start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with files.opened(path) as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


@lru_cache
def _read(path: Path, now: _Note) -> str:
    """The checksum of a file that has not changed since it was read."""
    return checksum_of(path, len(now.checksum))


def _now(path: Path, checksum: str) -> _Note:
    there = path.stat()
    return _Note(checksum, there.st_size, there.st_mtime_ns, there.st_ctime_ns)


def _noted(path: Path) -> _Note | None:
    with suppress(OSError, ValueError, TypeError):
        noted = _Note(*files.read_json(_beside(path)))
        if isinstance(noted.checksum, str) and len(noted.checksum) in (40, 64):
            return noted
    return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked")
