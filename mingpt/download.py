"""One file from a hub: resumed after a drop, verified, and moved into place only when it is right;
and what a hub answers to a question.

A hub is whatever serves files as huggingface.co does: one URL per file, often redirecting to
another host, with the checksum of the content in the headers. This module does not know which
files make a model, nor where they belong on this machine; `mingpt.hub` does, and reads the
environment variables that the advice in error messages names. Addresses may hold passwords and
signatures: a message shows them without, and nothing that another library says of a request.

While FILE is on its way, the folder holds `FILE.part` (the bytes so far), `FILE.part.etag` (the
version that they belong to) and `FILE.lock` (locked by the process that writes the other two).
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from time import sleep, time
from typing import BinaryIO, TypeVar

import requests

CHUNK = 1 << 16  # bytes read at a time
CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
TRIES = 7  # failures in a row, none of them bringing a byte; about a minute of waiting
TRIES_UNREACHED = 2  # the same while no answer ever came: a person offline should hear of it soon
LONGEST_WAIT = 300.0  # seconds; a hub that asks for more is reported, not waited for
TICK = 0.2  # seconds between two reports while waiting

LONGEST_ANSWER = 1 << 25  # bytes of an answer that is no file

Came = TypeVar("Came")
Report = Callable[[int, int | None], None]  # (bytes so far, bytes in all where known)


class DownloadError(RuntimeError):
    """A file could not be had: the text says what happened and what to do about it."""


class Refused(DownloadError):
    """The hub answered 401, 403 or 404. `code` is its own word for why, such as "GatedRepo", or
    empty."""

    def __init__(self, message: str, status: int, code: str):
        super().__init__(message)
        self.status = status
        self.code = code


class _Interrupted(Exception):
    """An attempt failed, and the next may not.

    `wait`: seconds that the server asks for, if it does. `reached`: whether it answered at all.
    """

    def __init__(self, reason: str, fix: str, wait: float | None = None, reached: bool = True):
        super().__init__(reason)
        self.fix = fix
        self.wait = wait
        self.reached = reached


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
        try:
            size = (folder / self.name).stat().st_size
        except OSError:
            return False
        return size == self.size if self.checksum else size > 0

    def bytes_in(self, folder: Path) -> int:
        """How much of it `folder` has: the whole file, or what a broken-off download left."""
        if self.is_in(folder):
            return (folder / self.name).stat().st_size
        return _Part(folder / self.name).size


class _Part:
    """The bytes of a file that have arrived, and the ETag of the version they belong to."""

    def __init__(self, target: Path):
        self.path = target.with_name(f"{target.name}.part")
        self._etag_path = target.with_name(f"{target.name}.part.etag")

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def etag(self) -> str | None:
        """None where nothing is known: such bytes cannot be continued safely."""
        try:
            return self._etag_path.read_text(encoding="ascii") or None
        except (OSError, ValueError):
            return None

    def restart(self, etag: str | None) -> None:
        """Make it empty, to become the version `etag`."""
        with _explaining(self.path):
            self.path.write_bytes(b"")  # first: old bytes must never stand beside a new ETag
            self._etag_path.write_text(etag or "", encoding="ascii")

    def discard(self) -> None:
        with _explaining(self.path):
            self.path.unlink(missing_ok=True)
            self._etag_path.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Move into place, on the disk before it is under its name."""
        with _explaining(target):
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
            self.path.replace(target)
            self._etag_path.unlink(missing_ok=True)


def download(url: str, folder: Path, file: File, report: Report, token: str | None = None) -> None:
    """Fetch `file` from `url` into `folder`, going on from where an earlier download stopped.

    Where another process is fetching the same file, waits for it. `token` goes to the host of
    `url` alone. `report` is called after every chunk and, while waiting, several times a second;
    what it raises ends the download and passes through, and the bytes so far stay for the next.
    Raises DownloadError.
    """
    part = _Part(folder / file.name)
    lock = folder / f"{file.name}.lock"
    with _explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(lock, while_waiting=lambda: report(part.size, None)):
        if not file.is_in(folder):
            checksum = _receive(url, file, part, report, token)
            _verify(part, checksum, url)
            part.become(folder / file.name)
        with suppress(OSError):  # Windows keeps open files
            lock.unlink()  # whoever waits for it still gets it, and then finds the file


def ask(url: str, token: str | None = None) -> object:
    """What a hub answers to a question, which is JSON. Raises DownloadError, Refused for what it
    does not give or have."""
    answer = _until_it_works(partial(_ask_once, url, token), lambda: 0, lambda: None)
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise DownloadError(
            f"{shown(url)} is no answer of a hub. Check HF_ENDPOINT, and that nothing between here"
            " and the hub answers in its place, such as a login page."
        ) from None


def _receive(url: str, file: File, part: _Part, report: Report, token: str | None) -> str:
    """Complete `part`, trying again after failures; returns the checksum it is to have."""
    return _until_it_works(
        partial(_attempt, url, file, part, report, token),
        arrived=lambda: part.size,
        while_waiting=lambda: report(part.size, None),
    )


def _until_it_works(
    attempt: Callable[[], Came], arrived: Callable[[], int], while_waiting: Callable[[], None]
) -> Came:
    """What `attempt` gives, tried again after failures; `arrived`: bytes that it has brought."""
    failures, limit, furthest = 0, TRIES_UNREACHED, arrived()
    while True:
        try:
            return attempt()
        except _Interrupted as failure:
            if failure.reached:
                limit = TRIES
            failures = 1 if arrived() > furthest else failures + 1
            furthest = max(furthest, arrived())  # bytes that come, go and come are no progress
            if failures >= limit:
                raise DownloadError(
                    f"{failure}, {failures} times in a row. {failure.fix}"
                ) from None
            wait = failure.wait if failure.wait is not None else 2.0 ** (failures - 1)
            _pause(wait, while_waiting)


def _attempt(url: str, file: File, part: _Part, report: Report, token: str | None) -> str:
    """Ask once for what `part` lacks and append it; returns the checksum of the whole."""
    etag = part.etag
    offset = part.size if etag else 0
    range_ = {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
    with _get(url, range_, token) as response:
        _check_status(response, url, bool(token))
        size, checksum = _announced(response, file, url)
        if response.status_code == 416 and offset == size:
            return checksum  # nothing was missing
        if response.status_code != 200 and not _continues(response, offset, etag):
            part.discard()
            raise _Interrupted(f"{site(url)} sent another part of the file", "Try again.")
        _check_disk_space(part, size)
        if response.status_code == 200:
            part.restart(_strong_etag(response))
        _append(response, part, size, report)
    if size is not None and part.size < size:
        raise _lost(response)
    return checksum


def _ask_once(url: str, token: str | None) -> bytes:
    with _get(url, {}, token) as response:
        _check_status(response, url, bool(token))
        answer = bytearray()
        for chunk in _chunks(response):
            answer += chunk
            if len(answer) > LONGEST_ANSWER:
                raise DownloadError(f"{site(url)} gives no end of an answer. Check HF_ENDPOINT.")
    return bytes(answer)


def _get(url: str, headers: dict[str, str], token: str | None) -> requests.Response:
    headers = headers | {"Accept-Encoding": "identity"}  # else lengths and ranges mean other bytes
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return requests.get(
            url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
        )
    except requests.exceptions.SSLError as error:
        raise DownloadError(
            f"no secure connection to {_failed_site(error, url)}. If a proxy inspects your traffic,"
            " set REQUESTS_CA_BUNDLE to its certificate."
        ) from None
    except requests.Timeout as error:
        reason = f"{_failed_site(error, url)} did not answer in time"
        raise _Interrupted(reason, "Try again later.", reached=False) from None
    except requests.ConnectionError as error:
        reason = f"no connection to {_failed_site(error, url)}"
        fix = "Connect to the internet, or check the proxy settings, and try again."
        raise _Interrupted(reason, fix, reached=False) from None
    except Exception as error:  # an address, a proxy or a header that is none; it may be quoted
        raise DownloadError(
            f"the hub cannot be asked ({type(error).__name__}). Check HF_ENDPOINT and the proxy"
            " settings."
        ) from None


def _check_status(response: requests.Response, url: str, with_token: bool) -> None:
    """Raise for every status but 200, 206 and 416."""
    status, host = response.status_code, site(response.url)
    if status in (200, 206, 416):
        return
    code = response.headers.get("X-Error-Code", "")
    if status in (401, 403):
        fix = "HF_TOKEN is set: renew it or unset it" if with_token else "Set HF_TOKEN to a token"
        message = f"{host} refused access (HTTP {status}). {fix}, and try again."
        raise Refused(message, status, code)
    if status == 404:
        message = f"{shown(url)} does not exist (HTTP 404). Check HF_ENDPOINT."
        raise Refused(message, status, code)
    if status not in (408, 429) and status < 500:
        raise DownloadError(f"{host} answered HTTP {status}. Check HF_ENDPOINT and the proxy.")
    wait = _retry_after(response)
    if wait is not None and wait > LONGEST_WAIT:
        raise DownloadError(
            f"{host} asks to be left alone (HTTP {status}). Try again in {wait / 60:.0f} minutes."
        )
    raise _Interrupted(f"{host} answered HTTP {status}", "Try again later.", wait)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait, given as such or as a date."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _announced(response: requests.Response, file: File, url: str) -> tuple[int | None, str]:
    """Size and checksum of the whole file, from what is known of it and the answer's headers.

    Raises DownloadError for a file of another size than the known one (a login page, say), and
    where there is no checksum: nothing enters a cache unverified.
    """
    size = _whole_size(response)
    if file.checksum:
        if size not in (None, file.size):
            raise DownloadError(
                f"{shown(url)} has {size:,} bytes where {file.size:,} are expected. Check that"
                " nothing between here and the hub answers in its place, such as a login page or a"
                " mirror."
            )
        return file.size, file.checksum
    etag = _linked(response, "ETag")
    if etag is None and site(response.url) == site(url):
        etag = response.headers.get("ETag")  # of another host it is not about the content
    checksum = (etag or "").removeprefix("W/").strip('"')
    if not re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", checksum):
        raise DownloadError(
            f"{site(url)} gave no checksum to verify {shown(url)} by. Set HF_ENDPOINT to a hub"
            " that does, or unset it."
        )
    return size, checksum


def _whole_size(response: requests.Response) -> int | None:
    """Bytes of the whole file: the hub's word, or else what the answer says of itself."""
    of_range = response.headers.get("Content-Range", "").rpartition("/")[2]
    length = response.headers.get("Content-Length") if response.status_code == 200 else None
    for size in (_linked(response, "Size"), of_range, length):
        if size and size.isdecimal() and len(size) < 20:
            return int(size)
    return None


def _linked(response: requests.Response, name: str) -> str | None:
    """The header that a hub gives about a file before it redirects to where the file is."""
    for answer in (*response.history, response):
        if value := answer.headers.get(f"X-Linked-{name}"):
            return value
    return None


def _continues(response: requests.Response, offset: int, etag: str | None) -> bool:
    """Whether the answer is the rest of the version `etag`, from byte `offset` on."""
    starts = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    return response.status_code == 206 and starts and _strong_etag(response) in (None, etag)


def _append(response: requests.Response, part: _Part, size: int | None, report: Report) -> None:
    done = part.size
    with _explaining(part.path):
        # Unbuffered, so that a full disk shows where it can be explained and not on closing.
        file = part.path.open("ab", buffering=0)
    with file:
        report(done, size)
        for chunk in _chunks(response):
            with _explaining(part.path):
                _write(file, chunk)
            done += len(chunk)
            report(done, size)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException:
        raise _lost(response) from None


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`; one raw write may take only the part that still fits on the disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _verify(part: _Part, checksum: str, url: str) -> None:
    """Hold `part` against 64 hex digits of SHA-256, or 40 of the SHA-1 that git gives a blob."""
    if len(checksum) == 64:
        start = hashlib.sha256()
    else:
        start = hashlib.sha1(b"blob %d\0" % part.size, usedforsecurity=False)
    with part.path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: start).hexdigest()
    if found != checksum:
        part.discard()
        raise DownloadError(
            f"what came from {shown(url)} was damaged, and has been deleted: its checksum is"
            f" {found}, not {checksum}. Try again; if that does not help, check HF_ENDPOINT and the"
            " proxy."
        )


def _check_disk_space(part: _Part, size: int | None) -> None:
    needed = (size or 0) - part.size
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise DownloadError(
            f"the disk is too full: {part.path.parent} needs {needed / 1e6:,.0f} MB and has"
            f" {free / 1e6:,.0f} MB left. Free some space and try again."
        )


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turn what the file system says about `path` into a DownloadError."""
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
def _locked(path: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`. The system frees it when a process ends, however it ends."""
    with _explaining(path):
        file = path.open("ab")
    with file:
        while not _try_lock(file, path):
            _pause(TICK, while_waiting)
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
        with _explaining(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


def _pause(seconds: float, while_waiting: Callable[[], None]) -> None:
    """Sleep, calling `while_waiting` every TICK: that is how a waiting person can cancel."""
    while seconds > 0:
        while_waiting()
        sleep(min(TICK, seconds))
        seconds -= TICK


def _strong_etag(response: requests.Response) -> str | None:
    """The ETag, if it vouches for every byte; only such a one may continue a download."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def shown(url: str) -> str:
    """A URL as messages may show it: without a user and password, which reach to the last @ however
    they were typed, and without the query, which may be a signature."""
    address = re.split("[?#]", url)[0]
    return re.sub("(?s)^([a-z]+://)?.*@", r"\1", address)


def site(url: str) -> str:
    """Protocol, host and port of a URL, as messages may show them."""
    return "/".join(shown(url).split("/")[:3])


def _failed_site(error: requests.RequestException, url: str) -> str:
    """The host that the request for `url` failed at: after a redirect, not the first one."""
    return site(error.request.url if error.request is not None else url)


def _lost(response: requests.Response) -> _Interrupted:
    reason = f"the connection to {site(response.url)} was lost"
    return _Interrupted(reason, "Try again: the download will go on from where it stopped.")
