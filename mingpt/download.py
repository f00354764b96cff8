"""One file from a hub: resumed after a drop, verified, and moved into place only when it is right;
and what a hub answers to a question.

A hub is whatever serves files as huggingface.co does: one URL per file, often redirecting to
another host, with the checksum of the content in the headers. This module does not know which
files make a model, nor where they belong on this machine; `mingpt.hub` does, and reads the
environment variables that the advice in error messages names. Addresses may hold passwords and
signatures: a message shows them without, and nothing that another library says of a request.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from time import sleep, time
from typing import TypeVar

import requests
from urllib3.exceptions import ProtocolError

from mingpt import checked, files
from mingpt.background import in_background
from mingpt.part import DownloadError, File, Part, explaining, locked, strong

__all__ = ["DownloadError", "File", "Refused", "ask", "download", "shown", "site"]

CHUNK = 1 << 16  # bytes read at a time
CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
TRIES = 7  # failures in a row, none of them bringing a byte; about a minute of waiting
TRIES_UNREACHED = 2  # the same while no answer ever came: a person offline should hear of it soon
LONGEST_WAIT = 300.0  # seconds; a hub that asks for more is reported, not waited for
TICK = 0.2  # seconds between two reports while waiting

Came = TypeVar("Came")
Report = Callable[[int, int | None], None]  # (bytes so far, bytes in all where known)


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


def download(url: str, folder: Path, file: File, report: Report, token: str | None = None) -> None:
    """Fetch `file` from `url` into `folder`, going on from where an earlier download stopped.

    Where another process is fetching the same file, waits for it. `token` goes to the host of
    `url` alone. `report` is called after every chunk and, while waiting, several times a second;
    what it raises ends the download and passes through, and the bytes so far stay for the next.
    Raises DownloadError.
    """
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target, lock = folder / file.name, folder / f"{file.name}.lock"
    with locked(lock, wait=lambda: _pause(TICK, lambda: report(Part(target).size, None))):
        if not file.is_in(folder):
            part = Part(target)
            part.become(target, _verified(url, file, part, report, token))
        with suppress(OSError):  # Windows keeps open files
            lock.unlink()  # whoever waits for it still gets it, and then finds the file


def ask(url: str, token: str | None = None) -> object:
    """What a hub answers to a question, which is JSON. Raises DownloadError, Refused for what it
    does not give or have."""
    answer = _until_it_works(partial(_ask_once, url, token), lambda: 0, lambda: None)
    try:
        return files.parsed(answer)
    except ValueError:
        raise DownloadError(
            f"{shown(url)} is no answer of a hub. Check HF_ENDPOINT, and that nothing between here"
            " and the hub answers in its place, such as a login page."
        ) from None


def _verified(url: str, file: File, part: Part, report: Report, token: str | None) -> str:
    """Complete `part`, and hold it against its checksum, which is returned. Pieces of several
    answers that do not make the file are fetched once more, in one."""
    while True:
        checksum = _until_it_works(
            partial(_attempt, url, file, part, report, token),
            arrived=lambda: part.arrived,
            while_waiting=lambda: report(part.size, None),
        )
        found = checked.checksum_of(part.path, len(checksum))
        if found == checksum:
            return checksum
        is_final = part.is_of_one_piece
        part.discard()
        if is_final:
            raise DownloadError(
                f"what came from {shown(url)} was damaged, and has been deleted: its checksum is"
                f" {found}, not {checksum}. Try again; if that does not help, check HF_ENDPOINT and"
                " the proxy."
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


def _attempt(url: str, file: File, part: Part, report: Report, token: str | None) -> str:
    """Ask once for what `part` lacks and append it; returns the checksum of the whole."""
    etag = part.etag
    offset = part.size if etag else 0
    range_ = {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
    with _asked(url, range_, token, lambda: report(part.size, None)) as (response, chunks):
        size, checksum = _announced(response, file, url, offset)
        if response.status_code == 416 and offset == size:
            return checksum  # nothing was missing
        if response.status_code != 200 and not _continues(response, offset, etag):
            part.discard()
            raise _Interrupted(f"{site(url)} sent another part of the file", "Try again.")
        if response.status_code == 200:
            part.restart(strong(response.headers.get("ETag", "")))
        part.check_space(size)
        for done in part.append(chunks):
            if size is not None and done > size:
                part.discard()
                raise _Interrupted(f"{site(url)} sent more than it announced", "Try again later.")
            report(done, size)
    if size is not None and part.size < size:
        raise _lost(response)
    return checksum


def _ask_once(url: str, token: str | None) -> bytes:
    answer = bytearray()
    with _asked(url, {}, token, lambda: None) as (_, chunks):
        for chunk in chunks:
            answer += chunk
            if len(answer) > files.LONGEST:
                raise DownloadError(f"{site(url)} gives no end of an answer. Check HF_ENDPOINT.")
    return bytes(answer)


@contextmanager
def _asked(
    url: str, headers: dict[str, str], token: str | None, while_waiting: Callable[[], None]
) -> Iterator[tuple[requests.Response, Iterator[bytes]]]:
    """The answer to a request, of status 200, 206 or 416, and its body as it comes."""
    headers = headers | {"Accept-Encoding": "identity"}  # else lengths and ranges mean other bytes
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with closing(in_background(_answer(url, headers), while_waiting, TICK)) as answer:
        response = next(answer)
        _check_status(response, url, bool(token))
        yield response, answer


def _answer(url: str, headers: dict[str, str]) -> Iterator[requests.Response | bytes]:
    """The response to a request, then its body in chunks."""
    with _get(url, headers) as response:
        yield response
        try:
            yield from response.iter_content(CHUNK)
        except Exception:  # of what is no HTTP, what reads it raises almost anything
            raise _lost(response) from None


def _get(url: str, headers: dict[str, str]) -> requests.Response:
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
        was_closed = isinstance(next(iter(error.args), None), ProtocolError)  # by who was reached
        raise _Interrupted(reason, fix, reached=was_closed) from None
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
    except (ValueError, OverflowError):
        return None


def _announced(
    response: requests.Response, file: File, url: str, offset: int
) -> tuple[int | None, str]:
    """Size and checksum of the whole file, from what is known of it and the answer's headers, which
    is of what comes after `offset`.

    Raises DownloadError for a file of another size than the known one (a login page, say), and
    where there is no checksum: nothing enters a cache unverified.
    """
    sizes = _whole_sizes(response, offset)
    if len(sizes) > 1:
        said = " and ".join(f"{size:,}" for size in sorted(sizes))
        reason = f"{site(url)} contradicts itself: {file.name} is said to have {said} bytes"
        raise _Interrupted(reason, "Check HF_ENDPOINT and the proxy, or try again later.")
    size = next(iter(sizes), None)
    if file.checksum:
        if size not in (None, file.size):
            raise DownloadError(
                f"{shown(url)} has {size:,} bytes where {file.size:,} are expected. Check that"
                " nothing between here and the hub answers in its place, such as a login page or a"
                " mirror."
            )
        return file.size, file.checksum
    linked = (answer.headers.get("X-Linked-ETag") for answer in (*response.history, response))
    etag = next(filter(None, linked), None)
    if etag is None and site(response.url) == site(url):
        etag = response.headers.get("ETag")  # of another host it is not about the content
    checksum = (etag or "").removeprefix("W/").strip('"')
    if not re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", checksum):
        raise DownloadError(
            f"{site(url)} gave no checksum to verify {shown(url)} by. Set HF_ENDPOINT to a hub"
            " that does, or unset it."
        )
    return size, checksum


def _whole_sizes(response: requests.Response, offset: int) -> set[int]:
    """What is said of the bytes of the whole file: by the hub, and by the answer of itself."""
    of_range = response.headers.get("Content-Range", "").rpartition("/")[2]
    answers = (*response.history, response)
    said = [(of_range, 0), *((answer.headers.get("X-Linked-Size"), 0) for answer in answers)]
    if response.status_code != 416:  # its body is no part of the file
        before = offset if response.status_code == 206 else 0
        said.append((response.headers.get("Content-Length"), before))
    return {
        int(size) + before for size, before in said if size and size.isdecimal() and len(size) < 20
    }


def _continues(response: requests.Response, offset: int, etag: str | None) -> bool:
    """Whether the answer is the rest of the version `etag`, from byte `offset` on."""
    starts = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    return (
        response.status_code == 206
        and starts
        and strong(response.headers.get("ETag", "")) in (None, etag)
    )


def _pause(seconds: float, while_waiting: Callable[[], None]) -> None:
    """Sleep, calling `while_waiting` every TICK: that is how a waiting person can cancel."""
    while seconds > 0:
        while_waiting()
        sleep(min(TICK, seconds))
        seconds -= TICK


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
