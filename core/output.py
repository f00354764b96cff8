"""Where a program's output goes: the standard streams, whatever they are, and files."""

import io
import os
import stat
import sys
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from core.errors import UserError

_LONGEST_LINE = 2000  # characters of a message
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a ZIP file can tell


def prepare_streams() -> None:
    """Let both streams exist, and take any text whatever the locale is."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open to the end
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def end(status: int, message: str = "") -> int:
    """The exit status, after a message in one line."""
    line = printable(" ".join(message.split()))
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is sys.stderr and line:
                redraw()
                print(f"patchboard: {line}", file=stream)
            stream.flush()
        except OSError:  # Python would try once more on its way out, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def printable(text: str) -> str:
    """What a terminal would act upon, as its escape: a message may hold what is in a file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def redraw(line: str = "") -> None:
    """Draw over the line before, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def check_places(files: dict[str, str]) -> None:
    """`files` are kinds ("csv", "png" ...) and where to write them, "-" being standard output.
    Raises UserError for a place that cannot be written to, and for two kinds at one."""
    kinds: dict[object, str] = {}
    for kind, path in files.items():
        if (other := kinds.setdefault(_place(path), kind)) != kind:
            raise UserError(f"--{other} and --{kind} cannot both be written to {path}.")


def _place(path: str) -> object:
    """What all spellings of a path have in common. Raises UserError if it cannot be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if path == "-":
        return path
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder.")
    if not os.path.isdir(folder):
        raise UserError(f"cannot write {path}: there is no folder {folder}.")
    place: object = os.path.realpath(path)
    written = [os.path.dirname(place)]
    try:
        with suppress(FileNotFoundError):
            there = os.stat(path)
            place = (there.st_ino, there.st_dev)
            written = [path, *written] if stat.S_ISREG(there.st_mode) else [path]
    except OSError as error:  # a name that is too long, say
        raise UserError(f"cannot write {path}: {error.strerror}.") from error
    if not all(os.access(one, os.W_OK) for one in written):
        raise UserError(f"cannot write {path}: permission denied.")
    return place


def write(path: str | Path, content: str | bytes) -> None:
    """To a file, whole or not at all, or as it is to standard output, for "-". What was in the file
    stays until all that is new is on the disk. Raises UserError."""
    content = encoded(content)
    if path == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        target = Path(os.path.realpath(path))  # a link stays one
        if target.is_file() or not target.exists():
            _replace(target, content)
        else:  # a device or a pipe, which has nothing to lose
            target.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error


def encoded(content: str | bytes) -> bytes:
    """A text in UTF-8, whatever somebody wrote into it."""
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


def zipped(files: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Names and contents as a ZIP file; equal files give equal bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            about = zipfile.ZipInfo(name, _EARLIEST)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, encoded(content))
    return file.getvalue()


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{os.urandom(6).hex()}.new")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
