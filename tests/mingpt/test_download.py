"""Every way a download can go ends in the right file or in an error that says what to do.

What must never happen: a file in place that is not the announced one.
"""

import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mingpt import download as module
from mingpt import part
from mingpt.download import CHUNK, TRIES, DownloadError, File, download
from tests import hostile
from tests.stand_in_hub import Answer, StandInHub

WEIGHTS = random.Random(0).randbytes(300_000)
OTHER_WEIGHTS = random.Random(1).randbytes(300_000)
CONFIG = b'{"n_layer": 12}'
REPO = "openai-community/gpt2"

PINNED = File("model.safetensors", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
UNPINNED = File("model.safetensors", 1)  # verified by what the hub announces
SMALL = File("config.json", 1)

DROPPED = Answer(cut_after=CHUNK + 1000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def naps(monkeypatch) -> list[float]:
    """Seconds that the downloader meant to sleep; it does not."""
    slept = []
    monkeypatch.setattr(module, "sleep", slept.append)
    return slept


@pytest.fixture
def hub():
    with StandInHub({REPO: {"model.safetensors": WEIGHTS, "config.json": CONFIG}}) as hub:
        yield hub


def get(hub, folder, file=PINNED, report=lambda done, size: None, token=None) -> bytes:
    """The content of `file`, downloaded into `folder`."""
    download(f"{hub.url}/{REPO}/resolve/main/{file.name}", folder, file, report, token)
    return (folder / file.name).read_bytes()


def names_in(folder: Path) -> set[str]:
    """Without what `mingpt.checked` keeps beside a file."""
    return {path.name for path in folder.iterdir() if path.suffix != ".checked"}


class Cancelled(BaseException):
    """As a person's click might arrive: no Exception, like Streamlit's own."""


def cancel_after(bytes_done):
    def report(done, size):
        if done >= bytes_done:
            raise Cancelled

    return report


@pytest.mark.parametrize(
    ("file", "content"), [(PINNED, WEIGHTS), (UNPINNED, WEIGHTS), (SMALL, CONFIG)]
)
def test_the_folder_ends_up_with_the_file_and_nothing_else(hub, tmp_path, file, content):
    folder = tmp_path / "made" / "on the way"
    assert get(hub, folder, file) == content
    assert names_in(folder) == {file.name}


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
@pytest.mark.parametrize(
    "answers",
    [
        [DROPPED, DROPPED, DROPPED],
        [Answer(cut_after=0)],
        [Answer(body=WEIGHTS[:100_000])],
        [DROPPED, Answer(ignores_range=True)],
        [Answer(status=429), Answer(status=429, headers={"Retry-After": "3"})],
        [Answer(status=500), Answer(status=502), Answer(status=503), Answer(status=408)],
    ],
    ids=["dropped thrice", "closed before a byte", "truncated", "Range ignored", "429", "5xx"],
)
def test_trouble_that_passes_ends_in_the_right_file(hub, tmp_path, file, answers):
    hub.plan("model.safetensors", *answers)
    assert get(hub, tmp_path, file) == WEIGHTS
    assert names_in(tmp_path) == {"model.safetensors"}


def test_after_a_drop_only_the_rest_is_fetched(hub, tmp_path):
    hub.plan("model.safetensors", DROPPED)
    get(hub, tmp_path)
    first, second = hub.content_requests("model.safetensors")
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={CHUNK}-"
    assert second.headers["If-Range"].startswith('"')


def test_a_cancelled_download_goes_on_where_it_stopped(hub, tmp_path):
    with pytest.raises(Cancelled):
        get(hub, tmp_path, report=cancel_after(2 * CHUNK))
    assert names_in(tmp_path) >= {"model.safetensors.part"}
    assert PINNED.bytes_in(tmp_path) == 2 * CHUNK

    seen = []
    assert get(hub, tmp_path, report=lambda *counts: seen.append(counts)) == WEIGHTS
    assert seen[0] == (2 * CHUNK, len(WEIGHTS))
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert hub.content_requests("model.safetensors")[-1].headers["Range"] == f"bytes={2 * CHUNK}-"


def test_whatever_report_raises_passes_through(hub, tmp_path):
    def broken_terminal(done, size):
        raise OSError(errno.ENOSPC, "not the download's disk")

    with pytest.raises(OSError, match="not the download's disk"):
        get(hub, tmp_path, report=broken_terminal)


def test_one_can_cancel_while_it_waits_to_try_again(hub, tmp_path):
    hub.plan("model.safetensors", Answer(status=503))
    with pytest.raises(Cancelled):
        get(hub, tmp_path, report=cancel_after(0))
    assert len(hub.content_requests("model.safetensors")) == 1


@pytest.mark.parametrize("answer", [Answer(), Answer(ignores_if_range=True)])
def test_a_file_that_changed_meanwhile_starts_over(hub, tmp_path, answer):
    with pytest.raises(Cancelled):
        get(hub, tmp_path, UNPINNED, report=cancel_after(2 * CHUNK))
    hub.repos[REPO]["model.safetensors"] = OTHER_WEIGHTS
    hub.plan("model.safetensors", answer)
    assert get(hub, tmp_path, UNPINNED) == OTHER_WEIGHTS


def test_a_file_of_the_wrong_size_and_bytes_of_unknown_version_are_replaced(hub, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[:-1])
    (tmp_path / "model.safetensors.part").write_bytes(OTHER_WEIGHTS[:1000])
    assert get(hub, tmp_path) == WEIGHTS
    assert "Range" not in hub.content_requests("model.safetensors")[0].headers


@pytest.mark.parametrize(
    ("here", "requests"), [(WEIGHTS, 1), (WEIGHTS + b"more", 2)], ids=["all", "too many"]
)
def test_when_all_bytes_are_here_they_are_only_verified(hub, tmp_path, here, requests):
    with pytest.raises(Cancelled):
        get(hub, tmp_path, report=cancel_after(len(WEIGHTS)))
    (tmp_path / "model.safetensors.part").write_bytes(here)
    hub.requests.clear()
    assert get(hub, tmp_path) == WEIGHTS
    assert len(hub.content_requests("model.safetensors")) == requests


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        (PINNED, WEIGHTS, OTHER_WEIGHTS),
        (UNPINNED, WEIGHTS, OTHER_WEIGHTS),
        (SMALL, CONFIG, CONFIG.replace(b"12", b"13")),  # which has git's checksum
    ],
)
def test_wrong_bytes_are_deleted_and_reported(hub, tmp_path, file, right, wrong):
    hub.plan(file.name, Answer(body=wrong))
    with pytest.raises(DownloadError, match=r"damaged, and has been deleted.*Try again"):
        get(hub, tmp_path, file)
    assert not names_in(tmp_path) & {file.name, f"{file.name}.part"}
    assert get(hub, tmp_path, file) == right


def test_a_login_page_is_refused_by_its_size_and_the_bytes_so_far_are_kept(hub, tmp_path):
    with pytest.raises(Cancelled):
        get(hub, tmp_path, report=cancel_after(2 * CHUNK))
    hub.repos[REPO]["model.safetensors"] = b"<html>Welcome to Hotel Wi-Fi</html>"
    with pytest.raises(DownloadError, match=r"has 35 bytes where 300,000 are expected.*login page"):
        get(hub, tmp_path)
    assert PINNED.bytes_in(tmp_path) == 2 * CHUNK


def test_without_a_checksum_nothing_is_kept(tmp_path):
    repos = {REPO: {"model.safetensors": WEIGHTS, "config.json": CONFIG}}
    with StandInHub(repos, announces_checksums=False) as hub:
        assert get(hub, tmp_path, PINNED) == WEIGHTS
        for file in (SMALL, File("model.safetensors", 1)):
            with pytest.raises(DownloadError, match=r"no checksum to verify .* HF_ENDPOINT"):
                get(hub, tmp_path / "empty", file)
        assert not any(path.is_file() for path in (tmp_path / "empty").glob("*[!k]"))


@pytest.mark.parametrize(
    ("status", "token", "text"),
    [
        (401, None, r"refused access \(HTTP 401\). Set HF_TOKEN"),
        (403, "stale", r"refused access \(HTTP 403\). HF_TOKEN is set: renew it or unset it"),
        (404, None, r"/resolve/main/config.json does not exist \(HTTP 404\). Check HF_ENDPOINT"),
        (418, None, r"answered HTTP 418"),
    ],
)
def test_a_refusal_is_reported_at_once(hub, tmp_path, status, token, text):
    hub.plan("config.json", Answer(status=status))
    with pytest.raises(DownloadError, match=text):
        get(hub, tmp_path, SMALL, token=token)
    assert len(hub.requests) == 1


def test_lasting_trouble_is_given_up_after_about_a_minute(hub, tmp_path, naps):
    hub.plan("model.safetensors", *[Answer(status=503)] * 20)
    with pytest.raises(DownloadError, match=rf"HTTP 503, {TRIES} times in a row. Try again later"):
        get(hub, tmp_path)
    assert len(hub.content_requests("model.safetensors")) == TRIES
    assert sum(naps) == pytest.approx(1 + 2 + 4 + 8 + 16 + 32)


def test_progress_resets_the_count_of_failures(hub, tmp_path):
    failing = [Answer(status=503)] * (TRIES - 1)
    hub.plan("model.safetensors", *failing, DROPPED, *failing[1:])
    assert get(hub, tmp_path) == WEIGHTS


def test_a_connection_lost_again_and_again_says_that_it_can_go_on(hub, tmp_path):
    hub.plan("model.safetensors", *[Answer(cut_after=10)] * 30)
    with pytest.raises(DownloadError, match=r"was lost, 7 times in a row. .* where it stopped"):
        get(hub, tmp_path)


@pytest.mark.parametrize("in_words", [False, True], ids=["seconds", "a date"])
def test_a_hub_is_left_alone_for_as_long_as_it_asks(hub, tmp_path, naps, in_words):
    asked = formatdate(time.time() + 100, usegmt=True) if in_words else "100"
    hub.plan("model.safetensors", Answer(status=429, headers={"Retry-After": asked}))
    assert get(hub, tmp_path) == WEIGHTS
    assert sum(naps) == pytest.approx(100, abs=2)


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub, tmp_path, naps):
    hub.plan("model.safetensors", Answer(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(DownloadError, match=r"HTTP 429\). Try again in 60 minutes"):
        get(hub, tmp_path)
    assert not naps


def test_no_connection(tmp_path, naps):
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = f"no connection to {url}, 2 times in a row. Connect to the internet"
        with pytest.raises(DownloadError, match=text):
            download(f"{url}/config.json", tmp_path, SMALL, lambda done, size: None)
    assert sum(naps) < 2


def test_a_silent_hub_times_out(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.05)
    hub.plan("config.json", *[Answer(silent_for=0.3)] * 2)
    with pytest.raises(DownloadError, match=f"{hub.url} did not answer in time, 2 times in a row"):
        get(hub, tmp_path, SMALL)


def test_a_connection_that_stalls_is_made_anew(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.1)
    hub.plan("model.safetensors", Answer(pace=0.4))
    assert get(hub, tmp_path) == WEIGHTS


SECRET = "s3cret"
USER = f"user:{SECRET}@"


def refused(text: str, url: str, folder: Path, file=SMALL, token=None) -> None:
    """Downloading says `text`, and no secret in the whole traceback: neither in the error nor in
    any other that it comes from and does not suppress."""
    with pytest.raises(DownloadError, match=text) as refusal:
        download(url, folder, file, lambda done, size: None, token)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://{USER}hub/x",
        f"{USER}hub/x",
        f"http://{USER}",
        f"http://{USER}hub:port/x",
        f"http://user:{SECRET}/@hub/x",
        f"http://a:{SECRET}?@hub/x",
    ],
)
def test_an_endpoint_that_is_none(tmp_path, url):
    refused("Check HF_ENDPOINT and the proxy settings", url, tmp_path)


@pytest.mark.parametrize(
    "proxy", [f"http://{USER}127.0.0.1:1", f"http://{USER}hub:port", f"gopher://{USER}hub", USER]
)
def test_no_proxys_password_is_shown(tmp_path, monkeypatch, proxy):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    refused("the proxy settings", "http://hub.invalid/x", tmp_path)


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}\nX: y", f"{SECRET}ł"])
def test_a_token_that_no_header_can_carry_is_not_shown(hub, tmp_path, token):
    refused("the hub cannot be asked", f"{hub.url}/x", tmp_path, token=token)


@pytest.mark.parametrize(
    ("file", "answers"),
    [
        (SMALL, [Answer(status=404)]),
        (SMALL, [Answer(status=401)]),
        (SMALL, [Answer(status=418)]),
        (SMALL, [Answer(status=503, headers={"Retry-After": "3600"})]),
        (SMALL, [Answer(status=503)] * TRIES),
        (PINNED, [Answer(cut_after=10)] * TRIES),
        (PINNED, [Answer(body=OTHER_WEIGHTS)]),
        (File("model.safetensors", 7, checksum="0" * 64), []),
        (File("nothing", 1), []),
    ],
)
@pytest.mark.parametrize("announces_checksums", [True, False])
def test_no_message_shows_the_password_or_signature_of_an_address(
    tmp_path, file, answers, announces_checksums
):
    repos = {REPO: {"model.safetensors": WEIGHTS, "config.json": CONFIG}}
    with StandInHub(repos, announces_checksums) as hub:
        hub.cdn_url = hub.cdn_url.replace("//", f"//{USER}")
        hub.plan(file.name, *answers)
        url = f"{hub.url.replace('//', f'//{USER}')}/{REPO}/resolve/main/{file.name}?sign={SECRET}"
        refused(r"127\.0\.0\.1", url, tmp_path, file)


def test_a_certificate_that_cannot_be_trusted_is_reported_without_the_address_asked(
    tmp_path, monkeypatch
):
    def refuse(url, **_):
        raise requests.exceptions.SSLError(f"Max retries exceeded with url: {url}")

    monkeypatch.setattr(module.requests, "get", refuse)
    text = r"no secure connection to https://hub\. If a proxy inspects"
    refused(text, f"https://{USER}hub/x?sign={SECRET}", tmp_path)


def test_a_disk_too_full_is_noticed_before_a_byte_is_written(hub, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"too full: .* needs 0 MB and has 0 MB left. Free"):
        get(hub, tmp_path)
    assert PINNED.bytes_in(tmp_path) == 0


def test_a_disk_that_fills_up_keeps_what_it_has(hub, tmp_path, monkeypatch):
    write = part._write

    def write_two_chunks(file, data):
        if os.fstat(file.fileno()).st_size >= 2 * CHUNK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    monkeypatch.setattr(part, "_write", write_two_chunks)
    with pytest.raises(DownloadError, match=r"disk is full: .*Free some space"):
        get(hub, tmp_path)
    assert PINNED.bytes_in(tmp_path) == 2 * CHUNK
    monkeypatch.setattr(part, "_write", write)
    assert get(hub, tmp_path) == WEIGHTS


def test_a_folder_that_cannot_be_made(hub, tmp_path):
    (tmp_path / "a file").write_text("where a folder should be")
    with pytest.raises(DownloadError, match=r"could not be written .*PATCHBOARD_CACHE"):
        get(hub, tmp_path / "a file" / "gpt2")


def test_the_token_goes_to_the_hub_alone(hub, tmp_path):
    get(hub, tmp_path, token="secret")
    to_hub, to_cdn = hub.requests
    assert (to_hub.server, to_hub.headers["Authorization"]) == ("hub", "Bearer secret")
    assert to_cdn.server == "cdn"
    assert "Authorization" not in to_cdn.headers


def start_process(hub, folder) -> subprocess.Popen:
    """The same download in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from mingpt.download import File, download\n"
        "url, folder, size, sha256 = sys.argv[1:]\n"
        "file = File('model.safetensors', int(size), sha256)\n"
        "download(url, Path(folder), file, lambda done, size: None)"
    )
    url = f"{hub.url}/{REPO}/resolve/main/model.safetensors"
    return subprocess.Popen(
        [sys.executable, "-c", program, url, folder, str(PINNED.size), PINNED.checksum],
        cwd=Path(__file__).parents[2],
    )


def test_two_processes_download_once(hub, tmp_path):
    hub.plan("model.safetensors", Answer(pace=0.05))  # about a second
    first, second = (start_process(hub, tmp_path) for _ in range(2))
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.content_requests("model.safetensors")) == 1
    assert names_in(tmp_path) == {"model.safetensors"}


def test_a_killed_process_leaves_no_lock_and_its_bytes(hub, tmp_path):
    hub.plan("model.safetensors", Answer(pace=0.2))
    process = start_process(hub, tmp_path)
    try:
        deadline = time.monotonic() + 20
        while PINNED.bytes_in(tmp_path) < CHUNK:
            assert time.monotonic() < deadline, "the other process does not download"
            time.sleep(0.01)
        with pytest.raises(Cancelled):  # while the other holds the lock, its bytes are reported
            get(hub, tmp_path, report=cancel_after(CHUNK))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    assert get(hub, tmp_path) == WEIGHTS
    assert "Range" in hub.content_requests("model.safetensors")[-1].headers


# --- Answers that no hub gives ------------------------------------------------------------------


def chunked(*sizes_and_bytes: bytes) -> Answer:
    """A body in chunks, with their sizes as they are given."""
    return Answer(body=b"\r\n".join(sizes_and_bytes), headers=IN_CHUNKS)


IN_CHUNKS = {"Transfer-Encoding": "chunked", "Content-Length": None}
NO_HTTP = [
    chunked(b"-5", b"hello", b"0", b"", b""),
    chunked(b"-1", b"", b""),
    chunked(b"ffffffffffffffff", b"hello"),
    chunked(b"many", b"hello"),
    chunked(b"5;" + b"x" * 100_000, b"hello"),
    Answer(headers={"Content-Length": "299999"}),
    Answer(headers={"X-Linked-Size": "299999"}),
    Answer(headers={"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
@pytest.mark.parametrize("answer", NO_HTTP)
def test_what_is_no_http_is_tried_again_and_then_given_up_in_a_sentence(
    hub, tmp_path, file, answer
):
    hub.plan("model.safetensors", answer, answer)
    assert get(hub, tmp_path, file) == WEIGHTS
    hub.plan("model.safetensors", *[answer] * TRIES)
    with pytest.raises(DownloadError, match=f"{TRIES} times in a row"):
        get(hub, tmp_path / "again", file)
    assert not names_in(tmp_path / "again") & {file.name}


@pytest.mark.parametrize("etag", ['"é"', '"\x7f"', '"', "", '"a" "b"', 'W/"é"', "é" * 9000])
def test_a_version_that_cannot_be_asked_for_is_begun_anew(hub, tmp_path, etag):
    odd = Answer(cut_after=CHUNK + 1000, headers={"ETag": etag})
    hub.plan("model.safetensors", odd)
    assert get(hub, tmp_path) == WEIGHTS
    assert names_in(tmp_path) == {"model.safetensors"}


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", "//", "http://", "http:///x", "http://.", "http://[::1", "http://a:99999/"),
        *("http://a..b/", "http://%zz/", "http://é" + "x" * 70, "file:///etc/passwd", "/again"),
    ],
)
def test_a_redirect_to_no_address_is_given_up_in_a_sentence(hub, tmp_path, address):
    away = Answer(status=302, headers={"Location": address})
    hub.plan("config.json", *[away] * 99)
    with pytest.raises(DownloadError) as refusal:
        get(hub, tmp_path, SMALL)
    assert str(refusal.value).endswith(".")


def leave_stale(folder: Path, content: bytes, etag: str) -> None:
    """As an earlier download of another version left it."""
    (folder / "model.safetensors.part").write_bytes(content)
    (folder / "model.safetensors.part.etag").write_text(etag)


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
@pytest.mark.parametrize("size", [1, 100_000, 299_999, 300_000, 400_000])
@pytest.mark.parametrize("is_believed", [False, True])
def test_bytes_of_another_version_never_end_a_download_that_would_succeed_without_them(
    hub, tmp_path, monkeypatch, file, size, is_believed
):
    """Also where the hub takes them for those of its own version, and where connections drop."""
    monkeypatch.setattr(module, "TRIES", 3)
    etag = f'"{hashlib.sha256(b"xet" + WEIGHTS).hexdigest()}"' if is_believed else '"another\n"'
    leave_stale(tmp_path, (OTHER_WEIGHTS * 2)[:size], etag)
    hub.plan("model.safetensors", *[Answer(cut_after=CHUNK + 1000)] * 9)
    assert get(hub, tmp_path, file) == WEIGHTS


def test_a_file_that_is_damaged_in_one_piece_is_not_fetched_twice(hub, tmp_path):
    hub.plan("model.safetensors", *[Answer(body=OTHER_WEIGHTS)] * 2)
    with pytest.raises(DownloadError, match="was damaged, and has been deleted"):
        get(hub, tmp_path)
    assert len(hub.content_requests("model.safetensors")) == 1


@pytest.mark.parametrize("answer", [Answer(silent_for=5), Answer(pace=5)])
def test_who_waits_for_an_answer_can_go_at_once_and_another_takes_over(hub, tmp_path, answer):
    hub.plan("model.safetensors", answer)
    left = threading.Event()
    threading.Timer(0.3, left.set).start()

    def report(done, size):
        if left.is_set():
            raise Cancelled

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        get(hub, tmp_path, report=report)
    assert get(hub, tmp_path) == WEIGHTS
    assert time.monotonic() - begun < 0.3 + 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in files here")
@pytest.mark.parametrize("suffix", ["", ".part", ".part.etag", ".lock", ".checked"])
def test_a_pipe_in_the_cache_keeps_nobody_waiting(hub, tmp_path, suffix):
    os.mkfifo(tmp_path / f"model.safetensors{suffix}")
    try:
        assert get(hub, tmp_path) == WEIGHTS
    except DownloadError as error:
        assert "could not be written" in str(error)


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_hub_answers_the_file_comes_or_a_sentence(data, hub, tmp_path_factory):
    """And the file comes, where the trouble passes."""
    folder = tmp_path_factory.mktemp("hostile")
    answers, passes = hostile.answers(data.draw, WEIGHTS)
    hub.forget_plans()
    hub.plan("model.safetensors", *answers)
    if data.draw(st.booleans()):
        version = f'"{hashlib.sha256(b"xet" + WEIGHTS).hexdigest()}"'
        hostile.leave_a_part(data.draw, folder, "model.safetensors", WEIGHTS, version)
    file = data.draw(st.sampled_from([PINNED, UNPINNED]))
    url = f"{hub.url}/{REPO}/resolve/main/{file.name}"
    said = hostile.downloaded(url, folder, file, WEIGHTS)
    assert said == "the file" if passes else said in ("the file", "given up")
