"""A file on its way into a folder: the bytes so far, whose they are, and who may write them.

While FILE is on its way, the folder holds `FILE.part` (the bytes so far), `FILE.part.etag` (the
version that they belong to) and `FILE.lock` (locked by the process that writes the other two).
Whatever the file system says against it becomes a DownloadError.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mingpt import checked, files


class DownloadError(RuntimeError):
    """A file could not be had: the text says what happened and what to do about it."""


@dataclass(frozen=True)
class File:
    """A file to have.

    With `checksum` (64 hexadecimal digits of SHA-256, or 40 of the SHA-1 that git gives a blob) the
    content is known beforehand and `size` (bytes) is exact; without it `size` is about right, for
    people to read, and the hub's own checksum is held against the file.
    """

    name: str
    size: int
    checksum: str | None = None

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` has it, whole as far as its size can tell."""
        size = files.size_of(folder / self.name)
        if size is None:
            return False
        return size == self.size if self.checksum else size > 0

    def bytes_in(self, folder: Path) -> int:
        """How much of it `folder` has: the whole file, or what a broken-off download left."""
        if self.is_in(folder):
            return (folder / self.name).stat().st_size
        return Part(folder / self.name).size


def strong(etag: str) -> str | None:
    """An ETag, if it vouches for every byte and can be sent: only such a one may continue a
    download."""
    return etag if etag.startswith('"') and etag.isascii() and etag.isprintable() else None


class Part:
    """The bytes of a file that have arrived, and the ETag of the version they belong to."""

    def __init__(self, target: Path):
        self.path = target.with_name(f"{target.name}.part")
        self._etag_path = target.with_name(f"{target.name}.part.etag")
        self._found = self.size  # bytes of earlier downloads
        self.is_of_one_piece = not self._found  # all that is there came in one answer

    @property
    def size(self) -> int:
        return files.size_of(self.path) or 0

    @property
    def arrived(self) -> int:
        """How much of it has come since this download began."""
        return self.size - self._found

    @property
    def etag(self) -> str | None:
        """None where nothing is known: such bytes cannot be continued safely."""
        try:
            return strong(files.read(self._etag_path).decode("ascii"))
        except (OSError, ValueError):
            return None

    def restart(self, etag: str | None) -> None:
        """Make it empty, to become the version `etag`."""
        self.discard()  # first: old bytes must never stand beside a new ETag
        with explaining(self.path):
            self._etag_path.write_text(etag or "", encoding="ascii")

    def discard(self) -> None:
        with explaining(self.path):
            self.path.unlink(missing_ok=True)
            self._etag_path.unlink(missing_ok=True)
        self._found, self.is_of_one_piece = 0, True

    def append(self, chunks: Iterator[bytes]) -> Iterator[int]:
        """Write what comes, and yield the bytes so far after each chunk."""
        done = self.size
        self.is_of_one_piece = not done
        with explaining(self.path):
            # Unbuffered, so that a full disk shows where it can be explained and not on closing.
            file = open(self.path, "ab", 0, opener=files.without_waiting)  # noqa: SIM115
        with file:
            yield done
            for chunk in chunks:
                with explaining(self.path):
                    _write(file, chunk)
                done += len(chunk)
                yield done

    def check_space(self, size: int | None) -> None:
        """Raise DownloadError where a file of `size` bytes finds no room."""
        needed = (size or 0) - self.size
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise DownloadError(
                f"the disk is too full: {self.path.parent} needs {needed / 1e6:,.0f} MB and has"
                f" {free / 1e6:,.0f} MB left. Free some space and try again."
            )

    def become(self, target: Path, checksum: str) -> None:
        """Move into place, on the disk before it is under its name."""
        with explaining(target):
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
            self.path.replace(target)
            self._etag_path.unlink(missing_ok=True)
        checked.note(target, checksum)


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`; one raw write may take only the part that still fits on the disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"the disk is full: {path} could not be written. Free some space and try again;"
                " the download will go on from where it stopped."
            ) from error
        raise DownloadError(
            f"{path} could not be written ({error.strerror or error}). Make the folder writable,"
            " or set PATCHBOARD_CACHE to one that is."
        ) from error


@contextmanager
def locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; `wait` is called until it is free. The system frees it when a
    process ends, however it ends."""
    with explaining(path):
        file = open(path, "ab", opener=files.without_waiting)  # noqa: SIM115 - it is closed below
    with file:
        while not _try_lock(file, path):
            wait()
        yield


if os.name == "nt":
    import msvcrt

    def _try_lock(file: BinaryIO, path: Path) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:  # no telling a held lock from other trouble
            return False
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO, path: Path) -> bool:
        with explaining(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
